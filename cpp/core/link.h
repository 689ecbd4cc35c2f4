// The connection to one host: a thread that connects, reconnects with back-off, hands channels to the host and wakes
// the workers. One per socket and ring size; shared by all configs that name them.
//
// The thread owns itself: when the last config lets go, it is told to stop and ends without anybody waiting for it,
// because configs may die on a worker, where nothing may wait.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/control.h"
#include "core/timers.h"
#include "core/verdict.h"
#include "core/worker.h"

namespace tsf::core {

class Link final : public LinkSignals, public std::enable_shared_from_this<Link> {
 public:
  // The running link for these settings; starts one if there is none. Main thread.
  static std::shared_ptr<Link> obtain(const Settings& settings, ProcessMount& process, uint32_t concurrency);
  // Links that run now.
  static std::vector<std::shared_ptr<Link>> all();

  // Registers a config; the host judges it as soon as it can. Any thread.
  std::shared_ptr<JudgedConfig> judge(ConfigText text);
  // Waits for this connection's verdict, not beyond the deadline that all configs of one update share. Null: none
  // came, or no host is there. Main thread.
  const Verdict* wait_for_verdict(const JudgedConfig& config, std::chrono::milliseconds limit);

  Worker& worker(uint32_t index) { return *workers_[std::min<size_t>(index, workers_.size() - 1)]; }

  void deadline_moved(Nanos deadline) override;
  void channel_condemned() override { ring(); }
  void run_left() override { ring(); }
  // acquire: pairs with set_phase.
  bool down() const override { return phase_.load(std::memory_order_acquire) == Phase::kDown; }
  Nanos stall_limit() const override { return stall_limit_; }
  std::shared_ptr<JudgedConfig> config_of(uint32_t id) override;

 private:
  // kGreeting: also before the first attempt has failed.
  enum class Phase : uint8_t { kGreeting, kUp, kDown };

  Link(const Settings& settings, ProcessMount& process, uint32_t concurrency);
  void stop();
  void ring();

  // link thread
  void run();
  void try_connect();
  void retry_in(Nanos pause) { connect_at_ = now_ns() + pause; }
  bool greeting_overdue(Nanos now) const;
  void lose(std::string_view why);
  void set_phase(Phase phase);
  bool on_message(uint32_t kind, std::string_view payload);
  void on_welcome();
  bool make_channels();
  void send_configs();
  void send_config(const JudgedConfig& config);
  void wake_workers();
  Nanos next_own() const;
  void sleep();

  const std::string socket_path_;
  const std::vector<uid_t> allowed_uids_;
  const uint32_t ring_bytes_;
  const Nanos stall_limit_;
  ProcessMount& process_;
  std::vector<std::unique_ptr<Worker>> workers_;
  shm::UniqueFd epoll_;
  shm::UniqueFd wake_fd_;

  // link thread
  ControlSocket control_;
  bool registered_ = false;
  std::vector<std::shared_ptr<Channel>> channels_;  // of this connection, by worker
  Nanos connect_at_ = 0;
  Nanos greeting_until_ = 0;
  Backoff backoff_;
  bool said_down_ = false;

  std::atomic<Phase> phase_{Phase::kGreeting};
  Sleeper sleeper_;
  std::atomic<bool> stopping_{false};

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  uint64_t epoch_ = 0;
  uint32_t last_id_ = 0;
  std::vector<std::weak_ptr<JudgedConfig>> configs_;
  std::vector<uint32_t> unsent_;
  Nanos update_until_ = 0;

  // Of its own: configs can die while mutex_ is held.
  std::mutex forget_mutex_;
  std::vector<uint32_t> forgotten_;
};

}  // namespace tsf::core
