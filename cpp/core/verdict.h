// What a host said of a config, and the config it was said of.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/config.h"
#include "core/metrics.h"

namespace tsf::core {

// A host's filters from one start, or one reload, to the next; a number of its own for each. A verdict belongs to one:
// a stream keeps the verdict with which it began, whatever another generation says of the same config.
using GenerationId = uint64_t;  // 0 = none

struct Verdict {
  bool accepted;
  uint32_t phases;
  std::vector<uint32_t> attributes;
  std::string message;
  // Not accepted, but not refused either: the host cannot load the filter now. Another word follows.
  bool unavailable = false;
  bool is_stateless = false;  // the filter says that a new instance may answer what another one has begun
};

// A config as the host sees it.
struct ConfigText {
  std::string name;
  bool route = false;
  std::optional<std::string> json;
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  uint8_t log_level = 2;
  uint32_t stream_window = 0;
  std::vector<MetricSpec> metrics;
  std::vector<ChainedFilter> filters;
  uint64_t max_body_bytes = 0;

  bool operator==(const ConfigText&) const = default;
};

// Configs with the same text share one of these; the last owner's death makes the host forget it.
class JudgedConfig {
 public:
  JudgedConfig(uint32_t id, ConfigText text) : id_(id), text_(std::move(text)) {}

  uint32_t id() const { return id_; }
  const ConfigText& text() const { return text_; }

  // Null: that generation has not judged it yet.
  std::shared_ptr<const Verdict> verdict(GenerationId generation) const {
    const std::lock_guard lock(mutex_);
    for (const Judged& judged : verdicts_)
      if (judged.generation == generation) return judged.verdict;
    return nullptr;
  }
  // The first word counts, unless it, or the one that comes, is that the filter cannot be loaded now.
  void judge(GenerationId generation, Verdict verdict);
  void forget(GenerationId generation);
  // The latest generation by whose verdict the filter has no hooks, 0 = none. relaxed: a number of its own.
  GenerationId hookless_in() const { return hookless_in_.load(std::memory_order_relaxed); }
  // Of log hooks that have a use for access loggers, by the latest verdict; all bits while there was none. relaxed: a
  // hint, and a number of its own.
  uint32_t logger_phases() const { return logger_phases_.load(std::memory_order_relaxed); }

  // Configs with this text that Envoy has loaded.
  void add_metrics(const std::shared_ptr<MetricSink>& sink) {
    const std::lock_guard lock(mutex_);
    std::erase_if(sinks_, [](const auto& known) { return known.expired(); });
    sinks_.push_back(sink);
  }
  // By any of them: a metric of one name is one metric.
  void record(MetricOp op, size_t index, std::span<const std::string_view> labels, uint64_t value) {
    const std::lock_guard lock(mutex_);
    for (const auto& known : sinks_)
      if (const auto sink = known.lock(); sink && sink->record(text_.metrics[index].kind, op, index, labels, value))
        return;
  }

 private:
  void set_hookless(GenerationId generation, bool is_hookless);

  const uint32_t id_;
  const ConfigText text_;
  std::atomic<uint32_t> logger_phases_{UINT32_MAX};
  std::atomic<GenerationId> hookless_in_{0};
  mutable std::mutex mutex_;  // guards what follows
  struct Judged {
    GenerationId generation;
    std::shared_ptr<const Verdict> verdict;
  };
  std::vector<Judged> verdicts_;
  std::vector<std::weak_ptr<MetricSink>> sinks_;
};

// The verdicts of one generation as one worker has met them, so that its streams need no lock. They live as long as
// this; one of a filter that cannot be loaded now, until the next look at it.
class KnownVerdicts {
 public:
  explicit KnownVerdicts(GenerationId generation) : generation_(generation) {}
  GenerationId generation() const { return generation_; }
  // Null: there is none yet.
  const Verdict* of(const std::shared_ptr<const JudgedConfig>& config);

 private:
  struct Known {
    std::weak_ptr<const JudgedConfig> config;
    std::shared_ptr<const Verdict> verdict;
  };
  void forget_dead();

  const GenerationId generation_;
  std::unordered_map<uint32_t, Known> known_;  // by the config's number
  size_t look_for_dead_at_ = 64;               // entries
};

}  // namespace tsf::core
