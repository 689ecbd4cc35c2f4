// One worker and its link: whose the channels are while streams die, and what becomes of runs that nobody can make.
#include "core/worker.h"

#include <gtest/gtest.h>

#include "test/core/fake_clock.h"
#include "test/core/fake_flow_mount.h"

namespace tsf::core::test {
namespace {

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() {
    stage_.connect();
    stage_.turn();
  }
  // A request that waits for the host's answer.
  StreamId ask(FakeStream& stream) {
    stream.headers(Dir::kRequest, {{":method", "GET"}}, true);
    return stage_.hear().at(0).id();
  }
  void say(int lines) {
    for (int i = 0; i < lines; ++i) ASSERT_TRUE(stage_.host->log(2, "line"));
  }

  WorkerStage stage_{{}};
};

class HostileHostAtAWorker : public WorkerTest {
 protected:
  static constexpr uint32_t kUnknownKind = 4711;
  FakeClock clock_;
};

TEST_F(WorkerTest, KeepsTheChannelsWhenItsLastStreamDiesInTheMiddleOfARun) {
  FakeStream stream(stage_);
  const StreamId id = ask(stream);
  ASSERT_TRUE(stage_.host->local_reply(id, 200, {}, ""));
  say(2);
  size_t read_by_link = SIZE_MAX;
  stream.on_move = [&] {
    stream.destroy();
    stage_.worker.wake();  // the link thread, which sees the doorbell just now
    read_by_link = stage_.process.lines.size();
  };
  stage_.turn();
  EXPECT_EQ(read_by_link, 0u);
  EXPECT_EQ(stage_.process.lines.size(), 2u);
  say(1);
  stage_.worker.wake();
  EXPECT_EQ(stage_.process.lines.size(), 3u) << "now they are the link's";
}

TEST_F(WorkerTest, WhatARunLeavesUnreadWhenItsLastStreamHasDiedIsReadByTheLink) {
  constexpr int kMoreThanARun = 1500;
  FakeStream stream(stage_);
  const StreamId id = ask(stream);
  ASSERT_TRUE(stage_.host->local_reply(id, 200, {}, ""));
  say(kMoreThanARun);
  stream.on_move = [&] { stream.destroy(); };
  stage_.worker.wake();
  stage_.loop.turn(stage_.worker);
  EXPECT_LT(stage_.process.lines.size(), static_cast<size_t>(kMoreThanARun));
  EXPECT_TRUE(stage_.loop.idle());
  ASSERT_EQ(stage_.link.left, 1);
  // In portions: a first stream would wait for them.
  const size_t before = stage_.process.lines.size();
  stage_.worker.wake_if_left();
  EXPECT_LE(stage_.process.lines.size() - before, 256u);
  stage_.turn();
  EXPECT_EQ(stage_.process.lines.size(), static_cast<size_t>(kMoreThanARun));
  const auto room = stage_.host->endpoint().claim(wire::FrameKind_Log, 8);
  ASSERT_NE(room.data(), nullptr);
  stage_.host->endpoint().commit(8);
  EXPECT_TRUE(stage_.host->endpoint().publish()) << "the host has to ring for the next frame";
}

TEST_F(WorkerTest, ARunThatWasAskedOfADyingStreamIsNotLost) {
  FakeStream first(stage_);
  ask(first);
  say(1);
  stage_.worker.wake();
  first.destroy();
  stage_.loop.turn(stage_.worker);  // its event does nothing any more
  EXPECT_EQ(stage_.process.lines.size(), 0u);
  stage_.turn();
  EXPECT_EQ(stage_.process.lines.size(), 1u);

  FakeStream second(stage_);
  FakeStream third(stage_);
  ask(second);
  say(1);
  stage_.worker.wake();
  second.destroy();
  while (!stage_.loop.idle()) stage_.loop.turn(stage_.worker);
  EXPECT_EQ(stage_.process.lines.size(), 2u) << "the third stream's event is there for it";
}

TEST_F(WorkerTest, TheLinkReadsInPortionsWhileNoStreamIsThere) {
  constexpr size_t kMoreThanAPortion = 1500;
  say(kMoreThanAPortion);
  stage_.worker.wake();
  EXPECT_LT(stage_.process.lines.size(), kMoreThanAPortion) << "a first stream would wait for all of it";
  EXPECT_EQ(stage_.link.left, 1);
  stage_.turn();
  EXPECT_EQ(stage_.process.lines.size(), kMoreThanAPortion);
}

TEST_F(WorkerTest, AStreamThatEnvoyCouldNotMakeIsCalledNoMore) {
  FakeStream whole(stage_);
  ask(whole);
  {
    FakeStream stream(stage_);
    stream.headers(Dir::kRequest, {{":method", "GET"}}, true);
    stream.abandon();
  }
  stage_.lose();
  stage_.turn();
  EXPECT_EQ(whole.reply(), "503 ts_filter_host_lost ts_filter_host_lost");
}

TEST_F(WorkerTest, TheLastStreamMayBeOneThatEnvoyCouldNotMake) {
  FakeStream stream(stage_);
  stream.abandon();
  say(1);
  stage_.turn();
  EXPECT_EQ(stage_.process.lines.size(), 1u) << "by the link: no stream is there";
}

// ---- a filter without hooks ----

TEST_F(WorkerTest, AStreamGoesWithoutAFilterThatHasNoHooksForItsHost) {
  const auto passes = [&] { return stage_.worker.passes_unseen(*stage_.config->judged); };
  EXPECT_FALSE(passes());
  stage_.connect(0, {});
  EXPECT_TRUE(passes());
  stage_.connect(1, {});
  EXPECT_FALSE(passes()) << "another version has hooks";
  stage_.connect(0, {});
  stage_.lose();
  EXPECT_FALSE(passes()) << "failure_mode decides where no host is";
}

// ---- channels that are drained ----

TEST_F(WorkerTest, ADrainedChannelIsFinishedWhenItsLastStreamHasEndedAndGoesWhenTheHostSaysSo) {
  {
    FakeStream stream(stage_);
    ask(stream);
    stage_.worker.set_channel(nullptr);
    stage_.turn();
    EXPECT_EQ(stage_.link.finished, 0);
  }
  stage_.turn();
  EXPECT_EQ(stage_.link.finished, 1);
  say(1);  // of a last hook
  stage_.turn();
  EXPECT_EQ(stage_.process.lines.size(), 1u);
  EXPECT_FALSE(stage_.channel.expired());
  say(1);
  stage_.channel.lock()->close(false);
  stage_.turn();
  EXPECT_EQ(stage_.process.lines.size(), 2u) << "what came before its end";
  EXPECT_TRUE(stage_.channel.expired());
  EXPECT_EQ(stage_.link.finished, 1) << "once";
}

TEST_F(WorkerTest, AStreamWhoseChannelTheHostClosesHasLostItsHost) {
  FakeStream stream(stage_);
  FakeStream other(stage_);
  ask(stream);
  stage_.channel.lock()->close(false);
  stage_.turn();
  EXPECT_EQ(stream.reply(), "503 ts_filter_host_lost ts_filter_host_lost");
  EXPECT_EQ(other.reply(), "");
  EXPECT_TRUE(stage_.channel.expired());
}

TEST_F(WorkerTest, AStreamThatDidNotEndInItsHostsTimeSaysSo) {
  FakeStream stream(stage_);
  ask(stream);
  stage_.channel.lock()->close(true);
  stage_.turn();
  EXPECT_EQ(stream.reply(), "503 ts_filter_host_drained ts_filter_host_drained");
}

TEST_F(WorkerTest, AChannelThatTakesNoNewStreamsIsFinishedWithItsLastOne) {
  FakeStream other(stage_);
  auto last = std::make_unique<FakeStream>(stage_);
  ask(*last);
  const auto old = stage_.channel.lock();
  stage_.worker.set_channel(nullptr);
  stage_.turn();
  EXPECT_EQ(stage_.link.finished, 0);
  last.reset();
  stage_.turn();
  EXPECT_EQ(stage_.link.finished, 1) << "nothing else has asked for a run";
}

TEST_F(WorkerTest, ChannelsOfTwoGenerationsServeTheirStreamsSideBySide) {
  FakeStream before(stage_);
  const StreamId first = ask(before);
  stage_.connect();
  FakeStream after(stage_);
  const StreamId second = ask(after);
  ASSERT_TRUE(stage_.old_hosts.back()->local_reply(second, 201, {}, ""));  // not its stream
  ASSERT_TRUE(stage_.old_hosts.back()->local_reply(first, 200, {}, ""));
  stage_.turn();
  EXPECT_EQ(before.reply().substr(0, 3), "200");
  EXPECT_EQ(after.reply(), "");
}

TEST_F(WorkerTest, AStreamKeepsTheVerdictThatItBeganWith) {
  stage_.connect(UINT32_MAX, {11});
  stage_.turn();
  FakeStream before(stage_);
  ask(before);
  stage_.connect(UINT32_MAX, {11, 12});
  stage_.turn();
  FakeStream after(stage_);
  ask(after);
  before.destroy();
  after.destroy();
  stage_.turn();
  const auto attributes = [](ScriptedHost& host) {
    std::string out;
    for (const Heard& frame : host.read())
      if (frame.kind == wire::FrameKind_LogRun) out = frame.attributes;
    return out.size() / sizeof(uint32_t);  // each is absent: only its length is there
  };
  EXPECT_EQ(attributes(*stage_.old_hosts.back()), 1u);
  EXPECT_EQ(attributes(*stage_.host), 2u);
}

// ---- what a hostile host can make of it ----

// Frames are counted by their bytes, too: a thousand of the largest would hold the worker's other streams up.
TEST_F(HostileHostAtAWorker, ARunEndsAfterSoManyBytes) {
  FakeStream stream(stage_);
  ask(stream);
  const std::string large(60'000, 'x');
  size_t written = 0;
  for (int i = 0; i < 200; ++i) {
    while (stage_.host->raw(kUnknownKind, large)) ++written;
    stage_.worker.wake();
    stage_.loop.turn(stage_.worker);
  }
  EXPECT_GT(written * large.size(), size_t{8} << 20);
  EXPECT_FALSE(stage_.channel.lock()->lost());
}

TEST_F(HostileHostAtAWorker, AFloodOfLogLinesIsCutAndCounted) {
  for (int i = 0; i < 12'000; ++i)
    while (!stage_.host->log(2, "line")) stage_.turn();
  stage_.turn();
  EXPECT_LE(stage_.process.lines.size(), 8'002u);  // it may fall into two seconds
  clock_.pass(std::chrono::seconds(2));
  ASSERT_TRUE(stage_.host->log(2, std::string(60'000, 'y')));
  stage_.turn();
  ASSERT_GE(stage_.process.lines.size(), 2u);
  EXPECT_NE(stage_.process.lines[stage_.process.lines.size() - 2].second.find("lines of the host's log were left out"),
            std::string::npos);
  EXPECT_LT(stage_.process.lines.back().second.size(), 17'000u);
}

// Answers that have no room in the ring are bounded by their bytes.
TEST_F(HostileHostAtAWorker, AHostThatAsksAndReadsNoAnswersIsDropped) {
  FakeStream stream(stage_);
  const StreamId id = ask(stream);
  for (uint32_t i = 0; i < 20'000 && stage_.link.condemned == 0; ++i) {
    if (!stage_.host->query(id, i, 0, wire::QueryKind_FilterState, "nothing")) stage_.turn();
  }
  stage_.turn();
  EXPECT_EQ(stage_.link.condemned, 1);
}

}  // namespace
}  // namespace tsf::core::test
