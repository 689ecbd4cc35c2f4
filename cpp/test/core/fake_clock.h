// A steady clock that stands still until a test lets time pass, so that a random walk goes the same way again and
// nothing has to be slept for.
#pragma once

#include <chrono>

namespace tsf::core::test {

class FakeClock {
 public:
  FakeClock();
  ~FakeClock();
  FakeClock(const FakeClock&) = delete;
  FakeClock& operator=(const FakeClock&) = delete;

  void pass(std::chrono::nanoseconds time);
  // What the real one says.
  static std::chrono::nanoseconds real();
};

}  // namespace tsf::core::test
