// The link to one host, and to the one that follows it: a thread that connects, reconnects with back-off, hands
// channels to the workers and wakes them. One per socket and ring size; shared by all configs that name them.
//
// The thread owns itself: when the last config lets go, it is told to stop and ends without anybody waiting for it,
// because configs may die on a worker, where nothing may wait.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/connections.h"
#include "core/line_limit.h"
#include "core/poller.h"
#include "core/registry.h"
#include "core/timers.h"
#include "core/worker.h"

namespace tsf::core {

class Link final : public LinkSignals, private ConnectionEvents, public std::enable_shared_from_this<Link> {
 public:
  // The running link for these settings; starts one if there is none. Main thread.
  static std::shared_ptr<Link> obtain(const Settings& settings, ProcessMount& process, uint32_t concurrency);

  // Registers a config; the host judges it as soon as it can. Any thread.
  std::shared_ptr<JudgedConfig> judge(ConfigText text);
  // See ConfigRegistry. Main thread.
  std::shared_ptr<const Verdict> wait_for_verdict(const JudgedConfig& config, std::chrono::milliseconds limit) {
    return configs_.wait_for_verdict(config, limit);
  }
  Worker& worker(uint32_t index) { return *workers_[std::min<size_t>(index, workers_.size() - 1)]; }

  // ---- LinkSignals ----
  void deadline_moved(Nanos deadline) override;
  void channel_condemned() override { poller_.ring(); }
  void channel_finished() override { poller_.ring(); }
  void run_left() override { poller_.ring(); }
  // acquire: pairs with expect_host
  bool expects_host() const override { return now_ns() < expected_until_.load(std::memory_order_acquire); }
  Nanos stall_limit() const override { return stall_limit_; }
  std::shared_ptr<JudgedConfig> config_of(uint32_t id) override { return configs_.find(id); }

  // ---- Poller::wait ----
  void on_bell();
  void on_socket(uint32_t number) { connections_.on_socket(number); }
  void on_doorbell(uint32_t worker) { workers_[worker]->wake(); }

 private:
  Link(const Settings& settings, ProcessMount& process, uint32_t concurrency);
  void stop();

  // link thread
  void run();
  void try_connect();
  void expect_host(bool expected);
  void wake_workers();
  void say_down(const std::string& what, bool is_news);

  // ---- ConnectionEvents ----
  // One that takes connections and says nothing may be stopped: the next attempt alone promises nothing.
  void on_expected() override {
    if (!is_silent_) expect_host(true);
  }
  void on_welcome() override;
  void on_channel(uint32_t worker, const std::shared_ptr<Channel>& channel) override {
    workers_[worker]->set_channel(channel);
  }
  void on_news(uint32_t worker) override { workers_[worker]->wake(); }
  void on_drained() override;
  void on_lost(std::string_view why, bool is_hopeless) override;

  const std::string socket_path_;
  const Nanos stall_limit_;
  ProcessMount& process_;
  Poller poller_;
  ConfigRegistry configs_;
  std::vector<std::unique_ptr<Worker>> workers_;

  // link thread
  Connections connections_;
  Sleeper sleeper_;
  Backoff backoff_;
  Nanos connect_at_ = 0;
  Nanos connected_at_ = 0;  // the latest attempt
  struct Down {
    bool is_said = false;
    std::string what;
    LineLimit lines;
  } down_;
  bool is_silent_ = false;  // the last one that was connected to has not greeted

  // Until then a host may be there any moment: it is being connected to, or makes a channel.
  std::atomic<Nanos> expected_until_{now_ns() + nanos(kHostGrace)};
  std::atomic<bool> stopping_{false};
};

}  // namespace tsf::core
