#include "core/generations.h"

#include <gtest/gtest.h>

#include "test/core/scripted_host.h"

namespace tsf::core::test {
namespace {

constexpr uint32_t kRing = 64 << 10;

class GenerationsTest : public testing::Test {
 protected:
  // With channels 10 * number + worker, all ready.
  void begin(uint32_t number, GenerationId id) {
    ASSERT_TRUE(generations_.begin(number, id));
    for (uint32_t worker = 0; worker < 2; ++worker) {
      const uint32_t channel = 10 * number + worker;
      generations_.add(number, worker, std::make_shared<Channel>(channel, id, parts()));
      EXPECT_EQ(generations_.channel_ready(channel + 100), Generations::Ready::kUnknown);
      EXPECT_EQ(generations_.channel_ready(channel), Generations::Ready::kNew);
    }
  }
  // The channel's number; -1: none.
  int chosen(uint32_t worker = 0) const {
    const auto channel = generations_.for_new_streams(worker);
    return channel ? static_cast<int>(channel->id()) : -1;
  }
  static Channel::Parts parts() {
    auto outbound = shm::Segment::create_outbound(kRing);
    auto inbound = shm::Segment::create_inbound(kRing);
    const auto end = shm::Endpoint::attach(outbound->writable(), inbound->bytes());
    return {std::move(*outbound), std::move(*inbound), *end, *shm::HostDoorbell::create(), *shm::Doorbell::create()};
  }

  Generations generations_{2};
};

TEST_F(GenerationsTest, TheFirstTakesStreamsAsSoonAsItsChannelIsReady) {
  EXPECT_FALSE(generations_.takes_streams());
  EXPECT_EQ(chosen(), -1);
  ASSERT_TRUE(generations_.begin(0, 1));
  EXPECT_TRUE(generations_.takes_streams());
  EXPECT_EQ(chosen(), -1);
  generations_.add(0, 1, std::make_shared<Channel>(7, 1, parts()));
  EXPECT_EQ(chosen(1), -1);
  EXPECT_EQ(generations_.channel_ready(7), Generations::Ready::kNew);
  EXPECT_EQ(chosen(1), 7) << "streams wait for their verdicts themselves";
  EXPECT_EQ(chosen(0), -1);
}

TEST_F(GenerationsTest, ALaterOneTakesThemWhenAllItsVerdictsHaveCome) {
  begin(0, 1);
  begin(3, 2);
  EXPECT_EQ(chosen(), 0);
  EXPECT_EQ(generations_.incomplete(), std::vector<GenerationId>{2});
  generations_.complete(2);
  EXPECT_EQ(chosen(), 30);
  EXPECT_EQ(chosen(1), 31);
  EXPECT_TRUE(generations_.incomplete().empty());
}

TEST_F(GenerationsTest, AfterADrainTheNextBeginsAsTheFirstDid) {
  begin(0, 1);
  generations_.drain(0);
  EXPECT_FALSE(generations_.takes_streams());
  EXPECT_EQ(chosen(), -1);
  begin(1, 2);
  EXPECT_EQ(chosen(), 10) << "nothing else would take them meanwhile";
}

TEST_F(GenerationsTest, AHostThatDrainsBeginsNothing) {
  begin(0, 1);
  generations_.drain(Generations::kAll);
  EXPECT_FALSE(generations_.begin(1, 2));
  generations_.clear();
  EXPECT_TRUE(generations_.begin(0, 3)) << "another host";
}

TEST_F(GenerationsTest, ADrainedNewOneLeavesThemToTheOneBefore) {
  begin(0, 1);
  begin(1, 2);
  generations_.drain(1);
  generations_.complete(2);
  EXPECT_EQ(chosen(), 0);
  generations_.drain(9);  // nobody's
  EXPECT_EQ(chosen(), 0);
}

TEST_F(GenerationsTest, OneThatHasTakenThemLeavesThemToNobodyBefore) {
  begin(0, 1);
  begin(1, 2);
  generations_.retire_old();
  EXPECT_EQ(chosen(), 0) << "not yet";
  generations_.complete(2);
  generations_.retire_old();
  EXPECT_EQ(chosen(), 10);
  generations_.drain(1);
  EXPECT_EQ(chosen(), -1) << "the host may have let go of those channels";
  EXPECT_FALSE(generations_.takes_streams());
}

TEST_F(GenerationsTest, ALaterOneTakesTheStreamsOfAllWorkersAtOnce) {
  begin(0, 1);
  ASSERT_TRUE(generations_.begin(1, 2));
  generations_.complete(2);
  for (uint32_t worker = 0; worker < 2; ++worker) {
    EXPECT_EQ(chosen(0), 0);
    EXPECT_EQ(chosen(1), 1);
    generations_.add(1, worker, std::make_shared<Channel>(10 + worker, 2, parts()));
    EXPECT_EQ(generations_.channel_ready(10 + worker), Generations::Ready::kNew);
  }
  EXPECT_EQ(chosen(0), 10);
  EXPECT_EQ(chosen(1), 11);
}

TEST_F(GenerationsTest, AClosedChannelLeavesAGapOfItsWorkerAlone) {
  begin(0, 1);
  EXPECT_TRUE(generations_.gaps().empty());
  generations_.remove(0);
  EXPECT_EQ(chosen(0), -1);
  EXPECT_EQ(chosen(1), 1);
  ASSERT_EQ(generations_.gaps().size(), 1u);
  EXPECT_EQ(generations_.gaps()[0].worker, 0u);
  generations_.add(0, 0, std::make_shared<Channel>(5, 1, parts()));
  EXPECT_TRUE(generations_.gaps().empty());
  EXPECT_EQ(generations_.channel_ready(5), Generations::Ready::kNew);
  EXPECT_EQ(chosen(0), 5);
  generations_.drain(0);
  generations_.remove(5);
  EXPECT_TRUE(generations_.gaps().empty()) << "it takes no new streams";
}

TEST_F(GenerationsTest, NumbersOnlyGrow) {
  begin(5, 1);
  EXPECT_FALSE(generations_.begin(5, 2));
  EXPECT_FALSE(generations_.begin(4, 2));
  EXPECT_FALSE(generations_.begin(Generations::kAll, 2));
  ASSERT_NE(generations_.find(5), nullptr);
  EXPECT_EQ(*generations_.find(5), 1u);
  EXPECT_EQ(generations_.find(4), nullptr);
}

TEST_F(GenerationsTest, AreNotWithoutNumber) {
  uint32_t number = 0;
  while (number < 1000 && generations_.begin(number, number + 1)) ++number;
  EXPECT_EQ(number, 32u);
}

TEST_F(GenerationsTest, EndsWhenItIsDrainedAndItsChannelsAreGone) {
  begin(0, 1);
  begin(1, 2);
  generations_.drain(0);
  EXPECT_TRUE(generations_.take_ended().empty());
  EXPECT_EQ(generations_.remove(99), nullptr);
  for (const uint32_t channel : {0u, 1u}) EXPECT_EQ(generations_.remove(channel)->id(), channel);
  EXPECT_EQ(generations_.remove(0), nullptr) << "once";
  EXPECT_EQ(generations_.take_ended(), std::vector<GenerationId>{1});
  EXPECT_EQ(generations_.find(0), nullptr);
  int left = 0;
  generations_.each_channel([&](Channel&) { ++left; });
  EXPECT_EQ(left, 2);
  EXPECT_EQ(generations_.clear().size(), 2u);
  EXPECT_FALSE(generations_.takes_streams());
}

}  // namespace
}  // namespace tsf::core::test
