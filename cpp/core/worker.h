// One Envoy worker's side of a link: the stream table, the run that applies what the host said, and the hand-over
// of the channel between the worker and the link thread.
//
// Whoever owns the channels may use them: the worker while it has a stream, the link thread while it has none. The
// mutex guards the change of owner (`anchor_`), not the use.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/channel.h"
#include "core/mount.h"

namespace tsf::core {

class Stream;

using Clock = std::chrono::steady_clock;
using Deadline = int64_t;  // nanoseconds of Clock; 0 = none
inline Deadline now_ns() { return Clock::now().time_since_epoch().count(); }

// What a worker asks of its link; any thread.
class LinkSignals {
 public:
  virtual ~LinkSignals() = default;
  // A deadline earlier than the link knows of.
  virtual void deadline_moved() = 0;
  // A channel was condemned.
  virtual void channel_lost() = 0;
  // No host is connected nor being greeted.
  virtual bool down() const = 0;
};

class Worker {
 public:
  Worker(uint32_t index, LinkSignals& link, ProcessMount& process) : index_(index), link_(link), process_(process) {}

  uint32_t index() const { return index_; }
  LinkSignals& link() { return link_; }
  ProcessMount& process() { return process_; }

  // ---- worker thread ----
  StreamId add(Stream& stream);
  // The stream's last frame has been written; its memory goes when no call of ours is on the stack.
  void remove(Stream& stream);
  // The channel for new streams, or null.
  const std::shared_ptr<Channel>& channel();
  // Runs in Envoy's `scheduled`.
  void run();
  // The stream wants a turn outside Envoy's hooks.
  void defer(Stream& stream);
  void wait_for_host(Stream& stream);
  void arm(Deadline deadline);
  void wrote(Channel& channel, Clock::duration stall_timeout);
  // Bytes in module memory, all streams.
  void account(int64_t delta) { pending_ += delta; }
  int64_t pending() const { return pending_; }

  // Marks that our code is on the stack, so that destroyed streams stay in memory until it is left.
  class Scope {
   public:
    explicit Scope(Worker& worker) : worker_(worker) { ++worker_.depth_; }
    ~Scope() {
      if (--worker_.depth_ == 0 && !worker_.graveyard_.empty()) worker_.bury();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Worker& worker_;
  };
  // Keeps a destroyed stream's owner alive while a Scope is open.
  void retire(std::unique_ptr<StreamMount> owner);

  // ---- link thread ----
  void set_channel(std::shared_ptr<Channel> channel);
  // Something happened on one of the channels, or a deadline passed.
  void wake();
  // acquire: pairs with the worker's release store; earliest deadline, 0 = none.
  Deadline next_deadline() const { return next_deadline_.load(std::memory_order_acquire); }
  Deadline stall_check_at() const { return stall_check_at_.load(std::memory_order_acquire); }
  void set_stall_check(Deadline at) { stall_check_at_.store(at, std::memory_order_release); }  // release: link's own word

 private:
  struct Slot {
    Stream* stream = nullptr;
    uint32_t generation = 1;
  };

  Stream* find(uint32_t slot, uint32_t generation) const;
  void adopt_channel();
  void drain(const std::shared_ptr<Channel>& channel);
  bool dispatch(Channel& channel, const Channel::Inbound& frame);
  void drain_without_streams(Channel& channel);
  void log_from_host(const Channel::Inbound& frame);
  void check_deadlines();
  void condemn(Channel& channel, std::string_view reason);
  void request_run();
  void bury();

  const uint32_t index_;
  LinkSignals& link_;
  ProcessMount& process_;

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
  std::shared_ptr<Channel> current_;
  std::vector<std::shared_ptr<Channel>> channels_;  // current and those that still serve streams
  std::vector<StreamId> deferred_;
  std::vector<StreamId> waiting_;
  std::vector<std::unique_ptr<StreamMount>> graveyard_;
  int depth_ = 0;
  int64_t pending_ = 0;

  std::atomic<Deadline> next_deadline_{0};
  std::atomic<Deadline> stall_check_at_{0};
  std::atomic<bool> channel_changed_{false};

  std::mutex mutex_;  // guards what follows
  Stream* anchor_ = nullptr;
  std::unique_ptr<Waker> waker_;
  bool run_requested_ = false;
  std::shared_ptr<Channel> next_channel_;
};

}  // namespace tsf::core
