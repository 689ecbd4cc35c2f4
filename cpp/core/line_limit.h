// How many lines of one kind a thread writes into the log: a fault that meets many streams is told by a few of them.
#pragma once

#include <cstddef>
#include <utility>

#include "core/clock.h"

namespace tsf::core {

class LineLimit {
 public:
  // One more line now?
  bool allows(Nanos now) {
    const Nanos second = now / 1'000'000'000;
    if (second != second_) said_ = 0;
    second_ = second;
    return ++said_ <= kLinesASecond;
  }

 private:
  static constexpr int kLinesASecond = 10;
  Nanos second_ = 0;
  int said_ = 0;
};

// How much of a host's log goes to Envoy's, which writes each line at once: what is over it is counted. Whoever owns
// the worker's channels has it.
class HostLogLimit {
 public:
  static constexpr size_t kLongestLine = 16 << 10;

  bool allows(Nanos now, size_t bytes) {
    const Nanos second = now / 1'000'000'000;
    if (second != second_) lines_ = bytes_ = 0;
    second_ = second;
    ++lines_;
    bytes_ += bytes;
    if (lines_ <= kLines && bytes_ <= kBytes) return true;
    ++lost_;
    return false;
  }
  // Lines that were left out since it was last asked.
  size_t take_lost() { return std::exchange(lost_, 0); }

 private:
  static constexpr size_t kLines = 4000;
  static constexpr size_t kBytes = 4 << 20;
  Nanos second_ = 0;
  size_t lines_ = 0;
  size_t bytes_ = 0;
  size_t lost_ = 0;
};

}  // namespace tsf::core
