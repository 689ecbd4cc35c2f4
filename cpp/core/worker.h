// One Envoy worker's side of a link: its streams, and the run that applies what the host said. Custody (core/custody.h)
// says who may use the channels: this worker, or the link thread while the worker has no stream.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/byte_queue.h"
#include "core/channel.h"
#include "core/clock.h"
#include "core/custody.h"
#include "core/graveyard.h"
#include "core/line_limit.h"
#include "core/mount.h"
#include "core/replays.h"
#include "core/stream_table.h"
#include "core/timers.h"
#include "core/verdict.h"

namespace tsf::core {

// A host that has connected, or has closed one of its channels, has so long to take streams.
inline constexpr std::chrono::milliseconds kHostGrace{1000};

// What a worker asks of its link; any thread.
class LinkSignals {
 public:
  virtual ~LinkSignals() = default;
  // A deadline that may be earlier than the link sleeps.
  virtual void deadline_moved(Nanos deadline) = 0;
  // A channel was condemned.
  virtual void channel_condemned() = 0;
  // A channel is needed no more.
  virtual void channel_finished() = 0;
  // There is a run to be made that the worker cannot make: it has no stream any more.
  virtual void run_left() = 0;
  // A host may be there any moment, so streams wait kHostGrace for it whatever their host_wait.
  virtual bool expects_host() const = 0;
  virtual Nanos stall_limit() const = 0;
  // The config that the host knows by this number, or null.
  virtual std::shared_ptr<JudgedConfig> config_of(uint32_t id) = 0;
};

// The channel for new streams, on its way from the link thread to whoever owns the worker's channels.
class NextChannel {
 public:
  // Null: there is none.
  void put(std::shared_ptr<Channel> channel) {
    const std::lock_guard lock(mutex_);
    put_.push_back(std::move(channel));
    is_new_.store(true, std::memory_order_release);  // release: who sees it finds the mutex free of this change
  }
  // All that were put, the latest last; empty: nothing has changed. One that was never used has to be let go of, too.
  std::vector<std::shared_ptr<Channel>> take() {
    if (!is_new_.load(std::memory_order_acquire)) return {};  // acquire: pairs with put
    const std::lock_guard lock(mutex_);
    is_new_.store(false, std::memory_order_relaxed);  // relaxed: under the mutex
    return std::exchange(put_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Channel>> put_;
  std::atomic<bool> is_new_{false};
};

class Worker {
 public:
  Worker(uint32_t index, LinkSignals& link, ProcessMount& process) : index_(index), link_(link), process_(process) {}

  uint32_t index() const { return index_; }
  LinkSignals& link() { return link_; }
  ProcessMount& process() { return process_; }

  // ---- worker thread ----
  // A stream's place in the worker's table, as long as this lives and was not left. Outside of it the worker calls the
  // stream never.
  class Place {
   public:
    Place(Worker& worker, WorkerStream& stream) : worker_(worker), id_(worker.add(stream)) {}
    ~Place() { leave(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    void leave() {
      if (!std::exchange(left_, true)) worker_.remove(id_);
    }
    StreamId id() const { return id_; }

   private:
    Worker& worker_;
    const StreamId id_;
    bool left_ = false;
  };
  // The channel for new streams, or null.
  const std::shared_ptr<Channel>& channel() {
    adopt_channel();
    return current_;
  }
  // Whether a new stream may go without this filter: the host that would serve it says that it has no hooks. Needs no
  // custody.
  bool passes_unseen(const JudgedConfig& config) const;
  // Runs in Envoy's `scheduled`.
  void run();
  // The stream wants a turn outside Envoy's hooks.
  void defer(StreamId id);
  // The stream wants a turn when a host or a verdict is there.
  void wait_for_host(StreamId id) { waiting_.push_back(id); }
  void arm(Nanos deadline);
  // A frame was committed: publish it and see that a stalled host is noticed.
  void publish(Channel& channel);
  Replays& replays() { return shared_.replays; }
  MemoryCount& memory() { return shared_.memory; }
  int64_t pending() const { return shared_.memory.bytes; }

  // Our code is on the stack: destroyed streams stay in memory until it is left, and the channels are this worker's.
  class Scope {
   public:
    explicit Scope(Worker& worker) : worker_(worker) { worker_.graveyard_.enter(); }
    ~Scope() {
      if (!worker_.graveyard_.leave()) return;
      // The last stream may hold the last config, and that the link with this worker: nothing of it is used after.
      const Graveyard::Dead dead = worker_.graveyard_.take();
      worker_.leave();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Worker& worker_;
  };
  // Takes over what Envoy has destroyed; freed when no Scope is open.
  void retire(std::unique_ptr<Retired> owner) { graveyard_.bury(std::move(owner)); }

  // ---- link thread ----
  void set_channel(std::shared_ptr<Channel> channel);
  // News on a channel, or a deadline has passed.
  void wake();
  // After run_left() of some worker.
  void wake_if_left() {
    if (custody_.is_run_left()) wake();
  }
  const Deadline& deadline() const { return deadline_; }

 private:
  StreamId add(WorkerStream& stream);
  void remove(StreamId id);
  void leave();
  void adopt_channel();
  bool has_left_channel() const;
  void drain(const std::shared_ptr<Channel>& channel);
  bool dispatch(const Channel& channel, const Channel::Inbound& frame);
  template <class Do>
  void bear(Do act);
  bool may_dispatch(Channel& channel, const Channel::Inbound& frame, bool has_streams);
  bool run_without_streams();
  bool drain_without_streams(Channel& channel);
  bool dispatch_without_stream(const Channel::Inbound& frame);
  bool late_act(const wire::Act& act);
  void say_lost(StreamId stream, const JudgedConfig& config, std::string_view what);
  bool log_from_host(const Channel::Inbound& frame);
  void condemn(Channel& channel, std::string_view what, uint32_t kind);
  void check_deadlines();
  void check_stalls(Nanos now);
  void lose(const std::shared_ptr<Channel>& channel);
  void count_replays(const Channel& lost);
  void drop_channels();
  void give_turns(std::vector<StreamId>& list);

  const uint32_t index_;
  LinkSignals& link_;
  ProcessMount& process_;

  StreamTable streams_;
  WorkerStream* anchor_ = nullptr;  // whose waker wakes the worker
  std::vector<StreamId> deferred_;
  std::vector<StreamId> waiting_;
  Graveyard graveyard_;
  // What streams share.
  struct Shared {
    MemoryCount memory;
    Replays replays;
    HostLogLimit host_log;
  } shared_;

  // Of whoever has custody.
  std::shared_ptr<Channel> current_;
  std::vector<std::shared_ptr<Channel>> channels_;  // all that the host may still write to
  bool stall_armed_ = false;
  Deadline deadline_;

  Custody custody_;
  NextChannel next_channel_;
  std::atomic<GenerationId> serving_{0};  // of the channel for new streams, 0 = there is none
};

}  // namespace tsf::core
