#include "core/custody.h"

#include <gtest/gtest.h>

namespace tsf::core {
namespace {

class CountingWaker final : public Waker {
 public:
  explicit CountingWaker(int& count) : count_(count) {}
  void wake() override { ++count_; }

 private:
  int& count_;
};

class CustodyTest : public testing::Test {
 protected:
  std::unique_ptr<Waker> waker(int& count) { return std::make_unique<CountingWaker>(count); }
  // True: the link ran in the worker's place.
  bool wake(bool more = false) {
    bool ran = false;
    custody_.wake([&] {
      ran = true;
      return more;
    });
    return ran;
  }

  Custody custody_;
  int wakes_ = 0;
  int later_wakes_ = 0;
};

TEST_F(CustodyTest, WithoutAStreamTheLinkRuns) {
  EXPECT_TRUE(wake());
  EXPECT_FALSE(custody_.is_run_left());
  EXPECT_FALSE(custody_.leave()) << "the worker had nothing to leave";
}

TEST_F(CustodyTest, WithAStreamTheWorkerIsWokenOnceARun) {
  custody_.take(waker(wakes_));
  EXPECT_FALSE(wake());
  EXPECT_FALSE(wake());
  custody_.ask_for_run();
  EXPECT_EQ(wakes_, 1);
  custody_.begin_run();
  EXPECT_FALSE(wake());
  EXPECT_EQ(wakes_, 2);
}

TEST_F(CustodyTest, ARunIsAskedAgainOfTheNextStream) {
  custody_.take(waker(wakes_));
  wake();
  custody_.take(waker(later_wakes_));
  EXPECT_EQ(later_wakes_, 1);
}

TEST_F(CustodyTest, BetweenTheLastStreamAndTheEndOfTheCodeTheChannelsStayTheWorkers) {
  custody_.take(waker(wakes_));
  custody_.lose_waker();
  EXPECT_FALSE(wake());
  EXPECT_FALSE(custody_.is_run_left()) << "not yet";
  EXPECT_TRUE(custody_.leave());
  EXPECT_TRUE(custody_.is_run_left());
  EXPECT_TRUE(wake());
  EXPECT_FALSE(custody_.is_run_left());
  EXPECT_EQ(wakes_, 0);
}

TEST_F(CustodyTest, AStreamThatIsAddedMeanwhileGetsTheRunThatWasAskedFor) {
  custody_.take(waker(wakes_));
  custody_.lose_waker();
  custody_.ask_for_run();
  custody_.take(waker(later_wakes_));
  EXPECT_EQ(later_wakes_, 1);
  EXPECT_FALSE(custody_.leave()) << "it has a stream";
}

TEST_F(CustodyTest, WithNothingAskedForNothingIsLeft) {
  custody_.take(waker(wakes_));
  wake();
  custody_.begin_run();
  custody_.lose_waker();
  EXPECT_FALSE(custody_.leave());
  EXPECT_FALSE(custody_.is_run_left());
}

TEST_F(CustodyTest, MoreThanOnePortionIsARunThatIsLeft) {
  EXPECT_TRUE(wake(true));
  EXPECT_TRUE(custody_.is_run_left());
  custody_.take(waker(wakes_));
  EXPECT_EQ(wakes_, 1) << "a stream that comes first makes it";
  EXPECT_FALSE(custody_.is_run_left());
}

}  // namespace
}  // namespace tsf::core
