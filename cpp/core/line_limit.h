// How many lines of one kind a thread writes into the log: a fault that meets many streams is told by a few of them.
#pragma once

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

}  // namespace tsf::core
