// The steady clock, in nanoseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace tsf::core {

using Nanos = int64_t;  // 0 = no time
constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

inline Nanos now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
constexpr Nanos nanos(std::chrono::milliseconds duration) { return duration.count() * 1'000'000; }

}  // namespace tsf::core
