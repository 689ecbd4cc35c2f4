// Deadlines that are set while a thread is just falling asleep: none is slept through.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "core/poller.h"
#include "core/timers.h"

namespace tsf::core::test {
namespace {

using std::chrono::seconds;

class LinkThread {
 public:
  explicit LinkThread(const Deadline& deadline) {
    sleeper.watch(deadline);
    thread_ = std::thread([this] {
      while (!stopping_) {
        const Nanos until = sleeper.fall_asleep(kNever, [this](size_t) { ++due; });
        poller.wait(until, *this);
        sleeper.wake_up();
      }
    });
  }
  ~LinkThread() {
    stopping_ = true;
    poller.ring();
    thread_.join();
  }

  void on_bell() {}
  void on_socket(uint32_t) {}
  void on_doorbell(uint32_t) {}

  Sleeper sleeper;
  Poller poller;
  std::atomic<int> due{0};

 private:
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

TEST(TimersStress, NoDeadlineIsSleptThrough) {
  Deadline deadline;
  LinkThread link(deadline);
  std::mt19937 random(std::random_device{}());
  for (int i = 1; i <= 2000; ++i) {
    const Nanos at = now_ns() + random() % 300'000;
    deadline.set(at);
    if (link.sleeper.sleeps_past(at)) link.poller.ring();
    const Nanos limit = now_ns() + nanos(seconds(20));
    while (link.due < i) ASSERT_LT(now_ns(), limit) << "deadline " << i;
    // Between two looks, at the moment of the second, and asleep.
    for (unsigned spin = random() % 2000; spin > 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

}  // namespace
}  // namespace tsf::core::test
