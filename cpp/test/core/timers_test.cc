#include "core/timers.h"

#include <gtest/gtest.h>

#include <vector>

#include "test/core/fake_clock.h"

namespace tsf::core::test {
namespace {

using std::chrono::milliseconds;

class SleeperTest : public testing::Test {
 protected:
  SleeperTest() {
    for (const Deadline& deadline : deadlines_) sleeper_.watch(deadline);
  }
  Nanos look() {
    return sleeper_.look(now_ns(), [this](size_t i) { due_.push_back(i); });
  }
  Nanos fall_asleep(Nanos own) {
    return sleeper_.fall_asleep(own, [this](size_t i) { due_.push_back(i); });
  }

  FakeClock clock_;
  Deadline deadlines_[2];
  Sleeper sleeper_;
  std::vector<size_t> due_;
};

TEST_F(SleeperTest, EachDeadlineIsDueOnce) {
  EXPECT_EQ(look(), kNever);
  const Nanos at = now_ns() + nanos(milliseconds(5));
  deadlines_[1].set(at);
  EXPECT_EQ(look(), at);
  EXPECT_TRUE(due_.empty());
  clock_.pass(milliseconds(5));
  EXPECT_EQ(look(), kNever);
  EXPECT_EQ(look(), kNever) << "a busy worker is told once";
  EXPECT_EQ(due_, std::vector<size_t>{1});
  deadlines_[1].set(at + 1);
  clock_.pass(milliseconds(1));
  look();
  EXPECT_EQ(due_, (std::vector<size_t>{1, 1})) << "another one is another one";
}

TEST_F(SleeperTest, SleepsUntilTheFirstOfAll) {
  const Nanos now = now_ns();
  EXPECT_EQ(fall_asleep(now + 50), now + 50);
  EXPECT_TRUE(sleeper_.sleeps_past(now + 49));
  EXPECT_FALSE(sleeper_.sleeps_past(now + 50));
  deadlines_[0].set(now + 30);
  deadlines_[1].set(now + 20);
  EXPECT_EQ(fall_asleep(now + 50), now + 20);
  sleeper_.wake_up();
  EXPECT_FALSE(sleeper_.sleeps_past(now + 1)) << "awake, it looks by itself";
}

TEST_F(SleeperTest, LooksAgainOnceItIsKnownToSleep) {
  // A deadline that is set between the two looks: whoever set it has seen the thread awake and rings nobody.
  const Nanos late = now_ns() + 50;
  const Nanos soon = now_ns() + 10;
  int looks = 0;
  deadlines_[1].set(1);  // due at once, so that the first look calls us
  const Nanos until = sleeper_.fall_asleep(late, [&](size_t) {
    if (++looks == 1) deadlines_[0].set(soon);
  });
  EXPECT_EQ(until, soon);
}

TEST(Backoff, DoublesUpToATenthOfASecond) {
  Backoff backoff;
  std::vector<Nanos> millis;
  for (int i = 0; i < 8; ++i) millis.push_back(backoff.next() / 1'000'000);
  EXPECT_EQ(millis, (std::vector<Nanos>{10, 20, 40, 80, 100, 100, 100, 100}));
  backoff.lived(Backoff::kSteady - 1);
  EXPECT_EQ(backoff.next(), Backoff::kLongest) << "a host that dies of its greeting is not connected to at once";
  backoff.lived(Backoff::kSteady);
  EXPECT_EQ(backoff.next(), Backoff::kFirst);
  EXPECT_EQ(backoff.hopeless(), Backoff::kHopeless);
  EXPECT_EQ(backoff.next(), Backoff::kLongest);
}

}  // namespace
}  // namespace tsf::core::test
