// The link thread's timers: workers' deadlines, its own sleep until the first of them, and the pauses between attempts
// to connect.
//
// A worker stores its deadline and then looks how long the thread sleeps; the thread stores how long it is going to
// sleep and then looks at the deadlines. All four are seq_cst: with anything weaker each side may see the other's old
// value, and a deadline is slept through.
#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "core/clock.h"

namespace tsf::core {

// The earliest deadline of one worker; 0 = none. Whoever owns the worker's channels writes it.
class Deadline {
 public:
  void set(Nanos at) { at_.store(at, std::memory_order_seq_cst); }   // seq_cst: see above
  Nanos get() const { return at_.load(std::memory_order_seq_cst); }  // seq_cst: see above
  Nanos own() const { return at_.load(std::memory_order_relaxed); }  // relaxed: the writer's own word

 private:
  std::atomic<Nanos> at_{0};
};

class Sleeper {
 public:
  // ---- any thread ----
  // After a deadline was set: the thread would sleep through it and has to be woken.
  bool sleeps_past(Nanos deadline) const {
    const Nanos until = until_.load(std::memory_order_seq_cst);  // seq_cst: see above
    return until != 0 && deadline < until;
  }

  // ---- the thread ----
  void watch(const Deadline& deadline) { watched_.push_back({&deadline, 0}); }
  // Calls `due(index)` for every deadline that has passed, once for each; a busy worker comes to it when it can.
  // Returns the first that is still to come, or kNever.
  template <class Due>
  Nanos look(Nanos now, Due due) {
    Nanos first = kNever;
    for (size_t i = 0; i < watched_.size(); ++i) {
      const Nanos deadline = watched_[i].deadline->get();
      if (deadline == 0 || deadline == watched_[i].told) continue;
      if (deadline > now) {
        first = std::min(first, deadline);
        continue;
      }
      watched_[i].told = deadline;
      due(i);
    }
    return first;
  }
  // From here on setters wake the thread. `own`: when it wants to be up for itself. Returns until when it may sleep.
  template <class Due>
  Nanos fall_asleep(Nanos own, Due due) {
    const Nanos until = std::min(own, look(now_ns(), due));
    until_.store(until, std::memory_order_seq_cst);  // seq_cst: before the second look
    return std::min(until, look(now_ns(), due));
  }
  void wake_up() { until_.store(0, std::memory_order_relaxed); }  // relaxed: a ring too many does no harm

 private:
  struct Watched {
    const Deadline* deadline;
    Nanos told;  // the last one that was called due
  };
  std::vector<Watched> watched_;
  std::atomic<Nanos> until_{0};  // 0: awake
};

// Pauses between attempts, each twice as long as the one before. A host that comes is found soon, for streams wait for
// it; one that cannot be used is left alone for longer.
class Backoff {
 public:
  static constexpr Nanos kFirst = nanos(std::chrono::milliseconds(10));
  static constexpr Nanos kLongest = nanos(std::chrono::milliseconds(100));
  static constexpr Nanos kHopeless = nanos(std::chrono::milliseconds(500));

  Nanos next() { return pause_ = pause_ == 0 ? kFirst : std::min(pause_ * 2, kLongest); }
  Nanos hopeless() {
    pause_ = kLongest;
    return kHopeless;
  }
  // One that has lived that long is no host that dies as soon as it has greeted: the next attempt is a first one again.
  static constexpr Nanos kSteady = nanos(std::chrono::milliseconds(1000));
  void lived(Nanos lifetime) {
    if (lifetime >= kSteady) pause_ = 0;
  }

 private:
  Nanos pause_ = 0;
};

}  // namespace tsf::core
