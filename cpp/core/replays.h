// How many streams of one worker may be on their way to another host after theirs was lost with them, and whether any
// may: hosts that die with what they were sent again get nothing more of it for a while.
//
// What a lost host never took is not counted: for that nothing has happened.
//
// Worker thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

#include "core/clock.h"

namespace tsf::core {

class Replays {
 public:
  static constexpr uint32_t kMost = 1024;  // at once
  // The breaker: so many losses, so close together, and replays stop for so long.
  static constexpr uint32_t kLosses = 3;
  static constexpr std::chrono::milliseconds kWindow{10'000};
  static constexpr std::chrono::milliseconds kPause{10'000};

  Replays() = default;
  Replays(const Replays&) = delete;
  Replays& operator=(const Replays&) = delete;

  bool may_replay(Nanos now) const { return under_way_ < kMost && now >= stopped_until_; }
  uint32_t under_way() const { return under_way_; }

  // A host is lost with streams that were sent to it again. True: that was once too often, and replays stop now.
  bool lost_again(Nanos now) {
    if (now < stopped_until_) return false;
    if (now - window_began_ > nanos(kWindow)) {
      window_began_ = now;
      losses_ = 0;
    }
    if (++losses_ < kLosses) return false;
    losses_ = 0;
    stopped_until_ = now + nanos(kPause);
    return true;
  }

  // A stream that is on its way to another host, until that one has answered or the stream is over.
  class UnderWay {
   public:
    UnderWay() = default;
    explicit UnderWay(Replays& replays) : replays_(&replays) { ++replays.under_way_; }
    ~UnderWay() { end(); }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(UnderWay&& other) noexcept {
      std::swap(replays_, other.replays_);
      return *this;
    }
    void end() {
      if (replays_ != nullptr) --std::exchange(replays_, nullptr)->under_way_;
    }

   private:
    Replays* replays_ = nullptr;
  };

 private:
  uint32_t under_way_ = 0;
  uint32_t losses_ = 0;  // since the window's beginning
  Nanos window_began_ = 0;
  Nanos stopped_until_ = 0;
};

}  // namespace tsf::core
