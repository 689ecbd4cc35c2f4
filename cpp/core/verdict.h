// What a host said of a config, and the config it was said of.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/metrics.h"

namespace tsf::core {

struct Verdict {
  uint64_t epoch;  // the connection it was given on
  bool accepted;
  uint32_t phases;
  std::vector<uint32_t> attributes;
  std::string message;
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

  // acquire: pairs with the release in judge(), which publishes the verdict's fields.
  const Verdict* verdict() const { return current_.load(std::memory_order_acquire); }

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

  // Verdicts live as long as the config: a worker may still be reading the one before.
  void judge(Verdict verdict) {
    const std::lock_guard lock(mutex_);
    auto& kept = history_.emplace_back(std::make_unique<const Verdict>(std::move(verdict)));
    current_.store(kept.get(), std::memory_order_release);  // release: publishes the verdict's fields
  }

 private:
  const uint32_t id_;
  const ConfigText text_;
  std::atomic<const Verdict*> current_{nullptr};
  std::mutex mutex_;
  std::vector<std::unique_ptr<const Verdict>> history_;
  std::vector<std::weak_ptr<MetricSink>> sinks_;
};

}  // namespace tsf::core
