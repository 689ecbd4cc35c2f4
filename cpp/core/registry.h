// The configs that a host is to judge, and what was said of them. Configs with the same text are one; verdicts belong
// to a generation of the host's filters and go with it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/clock.h"
#include "core/verdict.h"

namespace tsf::core {

// How long Envoy's main thread still waits for hosts in one update of its configuration. Configs that come within a
// second belong to one update, whichever sockets they name.
class UpdatePatience {
 public:
  static UpdatePatience& of_process();
  // Until when a config that is loaded now may wait.
  Nanos until(Nanos now, std::chrono::milliseconds limit);

 private:
  std::mutex mutex_;
  Nanos until_ = 0;
};

class ConfigRegistry {
 public:
  // `on_news`: there is something for take_news; any thread.
  explicit ConfigRegistry(std::function<void()> on_news, UpdatePatience& patience = UpdatePatience::of_process())
      : on_news_(std::move(on_news)), patience_(patience) {}

  // ---- any thread ----

  // The config with this text; the last owner's death makes the host forget it. `self` is kept by nobody: the registry
  // may be gone before.
  static std::shared_ptr<JudgedConfig> add(const std::shared_ptr<ConfigRegistry>& self, ConfigText text);
  // Null: nobody has it any more.
  std::shared_ptr<JudgedConfig> find(uint32_t id) const;
  // Waits for the newest generation's verdict, not beyond the deadline that all configs of one update share. Null: none
  // came, or no host is there.
  std::shared_ptr<const Verdict> wait_for_verdict(const JudgedConfig& config, std::chrono::milliseconds limit);

  // ---- link thread ----

  // Grows with every config that comes or goes.
  uint64_t changes() const { return changes_.load(std::memory_order_acquire); }  // acquire: pairs with tell
  // In the order of their numbers.
  std::vector<std::shared_ptr<JudgedConfig>> all() const;
  // A number that no generation of any of the link's hosts has had.
  GenerationId begin_generation();
  void end_generation(GenerationId generation);
  // No host is there, or may come: those who wait for one give up.
  void set_host_expected(bool expected);
  // Null: nobody has the config any more.
  std::shared_ptr<JudgedConfig> judge(uint32_t config, GenerationId generation, Verdict verdict);
  bool has_judged_all(GenerationId generation) const;

 private:
  std::shared_ptr<JudgedConfig> find_locked(uint32_t id) const;
  void tell();

  const std::function<void()> on_news_;
  UpdatePatience& patience_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<std::weak_ptr<JudgedConfig>> configs_;
  uint32_t last_id_ = 0;
  GenerationId newest_ = 0;
  bool host_expected_ = true;

  // Of its own: configs can die while mutex_ is held.
  std::atomic<uint64_t> changes_{0};
};

// What one host has been told of the configs. Link thread.
class ConfigsTold {
 public:
  struct News {
    std::vector<std::shared_ptr<JudgedConfig>> configs;
    std::vector<uint32_t> forgotten;
  };
  // What it has not been told yet.
  News take(const ConfigRegistry& configs);
  size_t count() const { return ids_.size(); }

 private:
  uint64_t seen_ = 0;          // ConfigRegistry::changes
  std::vector<uint32_t> ids_;  // in their order
};

}  // namespace tsf::core
