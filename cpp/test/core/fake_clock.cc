#include "test/core/fake_clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {
std::atomic<int64_t> now{0};  // 0: the real time
}  // namespace

// In the place of libc's, for this whole program; the C++ library has to find it.
extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t id, timespec* out) noexcept {
  const int64_t faked = now.load(std::memory_order_relaxed);  // relaxed: a number of its own
  if (id != CLOCK_MONOTONIC || faked == 0) return static_cast<int>(syscall(SYS_clock_gettime, id, out));
  out->tv_sec = faked / 1'000'000'000;
  out->tv_nsec = faked % 1'000'000'000;
  return 0;
}

namespace tsf::core::test {

FakeClock::FakeClock() { now.store(1'000'000'000'000, std::memory_order_relaxed); }
FakeClock::~FakeClock() { now.store(0, std::memory_order_relaxed); }
void FakeClock::pass(std::chrono::nanoseconds time) { now.fetch_add(time.count(), std::memory_order_relaxed); }

std::chrono::nanoseconds FakeClock::real() {
  timespec time{};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace tsf::core::test
