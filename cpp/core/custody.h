// Who may use a worker's channels now, and how a run of the worker is asked for.
//
// They are the worker's from its first stream on, until it has no stream and none of its code is on the stack; the last
// stream can die in the middle of a run. Otherwise they are the link thread's. The mutex guards the change, not the
// use; only the link thread, which has them for moments, keeps it while it uses them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "core/mount.h"

namespace tsf::core {

class Custody {
 public:
  // ---- worker thread ----
  // The worker has a stream with this waker, its first or another one in the place of the one that goes.
  void take(std::unique_ptr<Waker> waker) {
    std::unique_ptr<Waker> old;                         // freed without the mutex
    is_taking_.store(true, std::memory_order_relaxed);  // relaxed: a wish; the mutex orders the rest
    const std::lock_guard lock(mutex_);
    is_taking_.store(false, std::memory_order_relaxed);  // relaxed: as above
    is_workers_ = true;
    old = std::exchange(waker_, std::move(waker));
    // A run that was asked of the one before may never come.
    if (is_run_wanted_) waker_->wake();
  }
  // The last stream is gone. Runs that are asked for are remembered until leave().
  void lose_waker() {
    std::unique_ptr<Waker> old;
    const std::lock_guard lock(mutex_);
    old = std::exchange(waker_, nullptr);
  }
  // No stream is there and no code is on the stack. True: a run was asked for, which is the link thread's to make.
  bool leave() {
    const std::lock_guard lock(mutex_);
    if (waker_ || !is_workers_) return false;
    is_workers_ = false;
    return is_run_wanted_;
  }
  void begin_run() {
    const std::lock_guard lock(mutex_);
    is_run_wanted_ = false;
  }
  void ask_for_run() {
    const std::lock_guard lock(mutex_);
    ask();
  }

  // ---- link thread ----
  // A run was asked for that the worker can no longer make.
  bool is_run_left() {
    const std::lock_guard lock(mutex_);
    return is_run_wanted_ && !is_workers_;
  }
  // Asks the worker for a run; where it cannot, calls `run` in its place. That returns true when there is more to do,
  // which is then a run that is left. A worker that waits for the mutex does not wait for a run to begin: its own
  // follows.
  template <class Run>
  void wake(Run run) {
    const std::lock_guard lock(mutex_);
    if (is_workers_) return ask();
    is_run_wanted_ = is_taken_soon() || run();
  }
  // The worker waits: a run ends as soon as it can.
  bool is_taken_soon() const { return is_taking_.load(std::memory_order_relaxed); }  // relaxed: see take

 private:
  void ask() {
    if (is_run_wanted_) return;
    is_run_wanted_ = true;
    if (waker_) waker_->wake();
  }

  std::mutex mutex_;
  std::unique_ptr<Waker> waker_;  // of one of the worker's streams
  bool is_workers_ = false;
  bool is_run_wanted_ = false;
  std::atomic<bool> is_taking_{false};
};

}  // namespace tsf::core
