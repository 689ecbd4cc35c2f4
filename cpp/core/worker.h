// One Envoy worker's side of a link: the stream table, the run that applies what the host said, and the hand-over
// of the channels between the worker and the link thread.
//
// Whoever owns the channels may use them: the worker while it has a stream, the link thread while it has none. The
// mutex guards the change of owner (`anchor_`), not the use.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/byte_queue.h"
#include "core/channel.h"
#include "core/mount.h"

namespace tsf::core {

class JudgedConfig;
class Stream;

using Nanos = int64_t;  // of the steady clock; 0 = none
inline Nanos now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
constexpr Nanos nanos(std::chrono::milliseconds duration) { return duration.count() * 1'000'000; }

// What a worker asks of its link; any thread.
class LinkSignals {
 public:
  virtual ~LinkSignals() = default;
  // A deadline that may be earlier than the link sleeps.
  virtual void deadline_moved(Nanos deadline) = 0;
  // A channel was condemned.
  virtual void channel_condemned() = 0;
  // No host is connected nor being greeted.
  virtual bool down() const = 0;
  virtual Nanos stall_limit() const = 0;
  // The config that the host knows by this number, or null.
  virtual std::shared_ptr<JudgedConfig> config_of(uint32_t id) = 0;
};

// What Envoy has destroyed while our code may still be on the stack.
class Retired {
 public:
  virtual ~Retired() = default;
};

class Worker {
 public:
  Worker(uint32_t index, LinkSignals& link, ProcessMount& process) : index_(index), link_(link), process_(process) {}

  uint32_t index() const { return index_; }
  LinkSignals& link() { return link_; }
  ProcessMount& process() { return process_; }

  // ---- worker thread ----
  StreamId add(Stream& stream);
  // After this the stream gets no more calls from the worker.
  void remove(Stream& stream, StreamId id);
  // The channel for new streams, or null.
  const std::shared_ptr<Channel>& channel() {
    // acquire: pairs with set_channel's release; the channel itself is read under the mutex.
    if (channel_changed_.load(std::memory_order_acquire)) adopt_channel();
    return current_;
  }
  // Runs in Envoy's `scheduled`.
  void run();
  // The stream wants a turn outside Envoy's hooks.
  void defer(StreamId id);
  // The stream wants a turn when a host or a verdict is there.
  void wait_for_host(StreamId id) { waiting_.push_back(id); }
  void arm(Nanos deadline);
  // A frame was committed: publish it and see that a stalled host is noticed.
  void publish(Channel& channel);
  MemoryCount& memory() { return memory_; }
  int64_t pending() const { return memory_.bytes; }

  // Our code is on the stack: destroyed streams stay in memory until it is left.
  class Scope {
   public:
    explicit Scope(Worker& worker) : worker_(worker) { ++worker_.depth_; }
    ~Scope() {
      if (--worker_.depth_ > 0 || worker_.graveyard_.empty()) return;
      // The last stream may hold the last config, and that the link with this worker: nothing of it is used after.
      const auto dead = std::move(worker_.graveyard_);
      worker_.graveyard_.clear();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Worker& worker_;
  };
  // Takes over what Envoy has destroyed; freed when no Scope is open.
  void retire(std::unique_ptr<Retired> owner) {
    if (depth_ > 0) graveyard_.push_back(std::move(owner));
  }

  // ---- link thread ----
  void set_channel(std::shared_ptr<Channel> channel);
  // News on a channel, or a deadline has passed.
  void wake();
  // Earliest deadline, 0 = none. acquire: pairs with the owner's release store.
  Nanos next_deadline() const { return next_deadline_.load(std::memory_order_acquire); }

 private:
  struct Slot {
    Stream* stream = nullptr;
    uint32_t generation = 1;
  };

  Stream* find(uint32_t slot, uint32_t generation) const;
  Stream* find(StreamId id) const { return find(id.slot, id.generation); }
  void adopt_channel();
  void drain(const std::shared_ptr<Channel>& channel);
  bool dispatch(const Channel& channel, const Channel::Inbound& frame);
  void drain_without_streams(Channel& channel);
  bool dispatch_without_stream(const Channel::Inbound& frame);
  bool late_act(const wire::Act& act);
  bool log_from_host(const Channel::Inbound& frame);
  void check_deadlines();
  void check_stall(Channel& channel, Nanos now);
  void lose(const std::shared_ptr<Channel>& channel);
  void give_turns(std::vector<StreamId>& list);
  void set_next_deadline(Nanos deadline);
  void request_run();

  const uint32_t index_;
  LinkSignals& link_;
  ProcessMount& process_;

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::shared_ptr<Channel> current_;
  std::vector<std::shared_ptr<Channel>> channels_;  // current and those that still serve streams
  std::vector<StreamId> deferred_;
  std::vector<StreamId> waiting_;
  std::vector<std::unique_ptr<Retired>> graveyard_;
  int depth_ = 0;
  MemoryCount memory_;
  bool stall_armed_ = false;

  std::atomic<Nanos> next_deadline_{0};
  std::atomic<bool> channel_changed_{false};

  std::mutex mutex_;  // guards what follows
  Stream* anchor_ = nullptr;
  std::unique_ptr<Waker> waker_;
  bool run_requested_ = false;
  std::shared_ptr<Channel> next_channel_;
};

}  // namespace tsf::core
