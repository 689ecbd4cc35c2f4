// A stream's flows on an Envoy that can inject data at any time, and on one that says "later".
#include "core/flow.h"

#include <gtest/gtest.h>

#include "test/core/fake_clock.h"
#include "test/core/fake_flow_mount.h"

namespace tsf::core::test {
namespace {

using wire::BodyMode_Pass;
using wire::BodyMode_Stream;
using wire::BodyMode_StreamHold;
using wire::BodyMode_Whole;
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;
constexpr uint8_t kDigested = wire::OutputFlag_Digested;
constexpr uint8_t kLast = wire::OutputFlag_Last;
const HeaderMap kPost = {{":method", "POST"}, {":path", "/"}};
const HeaderMap kOk = {{":status", "200"}};
const HeaderMap kTrailers = {{"t", "1"}};

class FlowTest : public testing::Test {
 protected:
  void SetUp() override { make({}); }
  void TearDown() override {
    stream_.reset();
    stage_->turn();
    if (stage_->host) {
      stage_->host->read();
      EXPECT_EQ(stage_->host->violations(), std::vector<std::string>{});
    }
    EXPECT_EQ(stage_->worker.pending(), 0);
  }
  void make(WorkerStage::Options options) {
    if (stream_) TearDown();
    stage_ = std::make_unique<WorkerStage>(std::move(options));
    stage_->config->settings.stream_window = 1000;
    stage_->connect();
    stage_->turn();
    stream_ = std::make_unique<FakeStream>(*stage_);
  }
  void open(Dir dir = kReq, bool end = false) {
    stream_->headers(dir, dir == kReq ? kPost : kOk, end);
    for (const auto& f : hear()) id_ = f.id();
  }
  std::vector<Heard> hear() { return stage_->hear(); }
  void answer(Dir dir, uint8_t mode, uint32_t phases = UINT32_MAX) {
    ASSERT_TRUE(host().answer(id_, headers_of(dir), mode, {}, phases));
    stage_->turn();
  }
  void answer_trailers(Dir dir) {
    ASSERT_TRUE(host().answer(id_, trailers_of(dir), BodyMode_Pass));
    stage_->turn();
  }
  void output(Dir dir, size_t acknowledged, std::string_view text, uint8_t flags = kDigested) {
    ASSERT_TRUE(host().output(id_, dir, static_cast<uint32_t>(acknowledged), text, flags));
    stage_->turn();
  }
  // Body that the host is told of.
  std::string told() {
    std::string bytes;
    for (const auto& f : hear())
      if (f.kind == wire::FrameKind_Data) bytes += f.bytes;
    return bytes;
  }
  FlowState state(Dir dir) { return stream_->core().flow(dir).state(); }
  FakeFlowMount& mount(Dir dir = kReq) { return stream_->mount(dir); }
  ScriptedHost& host() { return *stage_->host; }
  bool condemned() const { return stage_->link.condemned > 0; }

  FakeClock clock_;
  std::unique_ptr<WorkerStage> stage_;
  std::unique_ptr<FakeStream> stream_;
  StreamId id_;
};

// ---- a mount that can inject at any time ----

TEST_F(FlowTest, OutputGoesWheneverItComes) {
  open();
  EXPECT_EQ(state(kReq), FlowState::kAsked);
  answer(kReq, BodyMode_Stream);
  EXPECT_EQ(state(kReq), FlowState::kStreaming);
  EXPECT_TRUE(mount().gone);
  output(kReq, 0, "before any input, ");
  stream_->data(kReq, "abc", false);
  EXPECT_EQ(told(), "abc");
  output(kReq, 1, "A");
  output(kReq, 0, "", 0);
  output(kReq, 1, "B", 0);
  EXPECT_EQ(mount().out, "before any input, AB") << "core knows nothing of a time for it";
  stream_->data(kReq, "", true);
  hear();
  output(kReq, 1, "C after the end", kDigested);
  EXPECT_EQ(mount().out, "before any input, ABC after the end");
  EXPECT_FALSE(mount().is_finished);
  output(kReq, 0, "!", kLast);
  EXPECT_EQ(mount().out, "before any input, ABC after the end!");
  EXPECT_TRUE(mount().is_finished);
  EXPECT_EQ(state(kReq), FlowState::kDone);
}

TEST_F(FlowTest, AnEndWaitsForTheInputs) {
  open();
  answer(kReq, BodyMode_Stream);
  output(kReq, 0, "all", kLast);
  EXPECT_EQ(state(kReq), FlowState::kEnding);
  EXPECT_FALSE(mount().is_finished);
  stream_->data(kReq, "unwanted", false);
  EXPECT_EQ(mount().unread(), "") << "drained: the peer is not to be paused";
  EXPECT_EQ(told(), "");
  stream_->data(kReq, "", true);
  hear();
  EXPECT_TRUE(mount().is_finished);
  EXPECT_EQ(mount().out, "all");
}

TEST_F(FlowTest, PassLetsEverythingBy) {
  open();
  stream_->data(kReq, "early ", false);
  EXPECT_EQ(told(), "") << "not before the answer";
  output(kReq, 0, "added ", wire::OutputFlag_Added);
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(state(kReq), FlowState::kPassing);
  stream_->data(kReq, "late", true);
  EXPECT_EQ(mount().out, "added early late");
  EXPECT_TRUE(mount().until_trailers) << "the filter has a trailers hook";
}

TEST_F(FlowTest, ADirectionThatConcernsNobodyIsSkipped) {
  make({.phases = wire::Phase_EncodeHeaders});
  stream_->headers(kReq, kPost, false);
  EXPECT_EQ(state(kReq), FlowState::kPassing);
  EXPECT_TRUE(hear().empty());
}

TEST_F(FlowTest, LettingGoGivesBackWhatTheHostHadBeforeTheRest) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, "abcd", false);
  EXPECT_EQ(told(), "abcd");
  output(kReq, 2, "AB", wire::OutputFlag_Bypass);
  EXPECT_EQ(state(kReq), FlowState::kLettingGo);
  stream_->data(kReq, "ef", false);
  EXPECT_EQ(told(), "") << "no new input";
  output(kReq, 2, "cd", 0);
  EXPECT_EQ(state(kReq), FlowState::kPassing);
  stream_->data(kReq, "gh", true);
  EXPECT_EQ(mount().out, "ABcdefgh");
}

TEST_F(FlowTest, AHeldMessagesHeadersGoWithItsFirstOutput) {
  open();
  answer(kReq, BodyMode_StreamHold);
  EXPECT_FALSE(mount().gone);
  stream_->data(kReq, "a", false);
  hear();
  output(kReq, 1, "");
  EXPECT_FALSE(mount().gone);
  output(kReq, 0, "A");
  EXPECT_TRUE(mount().gone);
  EXPECT_EQ(mount().out, "A");
}

TEST_F(FlowTest, ReleaseLetsHeldHeadersGo) {
  open();
  answer(kReq, BodyMode_StreamHold);
  output(kReq, 0, "", wire::OutputFlag_Release);
  EXPECT_TRUE(mount().gone);
}

TEST_F(FlowTest, AWholeBodyGoesInOneAndThenAsAnyOther) {
  open();
  answer(kReq, BodyMode_Whole);
  stream_->data(kReq, "one ", false);
  EXPECT_EQ(told(), "");
  EXPECT_EQ(mount().unread(), "") << "gathered here";
  stream_->data(kReq, "two", true);
  EXPECT_EQ(told(), "one two");
  EXPECT_EQ(state(kReq), FlowState::kGathering);
  output(kReq, 7, "half ");
  EXPECT_EQ(state(kReq), FlowState::kStreaming);
  EXPECT_EQ(mount().out, "half ");
  output(kReq, 0, "half", kLast);
  EXPECT_EQ(mount().out, "half half");
  EXPECT_TRUE(mount().is_finished);
}

TEST_F(FlowTest, HeldHeadersWaitForAllOfAnOutputThatCameInParts) {
  open();
  answer(kReq, BodyMode_Whole);
  stream_->data(kReq, "body", true);
  const std::string part(900, 'a');
  output(kReq, 4, part, wire::OutputFlag_Cut);
  EXPECT_FALSE(mount().gone);
  output(kReq, 0, part, wire::OutputFlag_Cut);
  EXPECT_FALSE(mount().gone);
  EXPECT_FALSE(hear().empty()) << "more than a window of it is wanted";
  output(kReq, 0, part, kLast);
  EXPECT_EQ(mount().out.size(), 2700u);
  EXPECT_TRUE(mount().is_finished);
}

TEST_F(FlowTest, HeldHeadersDoNotWaitLongForTheRestOfAnOutput) {
  open();
  answer(kReq, BodyMode_Whole);
  stream_->data(kReq, "body", true);
  output(kReq, 4, "a", wire::OutputFlag_Cut);
  EXPECT_NE(stream_->core().flow(kReq).deadline(), 0);
  stage_->config->settings.max_pending_output = 1000;
  output(kReq, 0, std::string(600, 'a'), wire::OutputFlag_Cut);
  EXPECT_TRUE(mount().gone) << "there is no memory for it";
  EXPECT_EQ(stream_->core().flow(kReq).deadline(), 0);
}

TEST_F(FlowTest, TrailersComeLastAndEndIt) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, "a", false);
  EXPECT_TRUE(stream_->trailers(kReq, kTrailers));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_TRUE(heard[1].has(wire::DataFlag_Last) && heard[1].has(wire::DataFlag_Trailers));
  EXPECT_EQ(heard[2].headers, kTrailers);
  output(kReq, 1, "A", kLast);
  EXPECT_FALSE(mount().is_finished) << "their hook has not answered";
  answer_trailers(kReq);
  EXPECT_TRUE(mount().is_finished);
  EXPECT_EQ(mount().out, "A");
}

TEST_F(FlowTest, TrailersOfAPassedMessageAreAskedFor) {
  open();
  answer(kReq, BodyMode_Pass);
  EXPECT_TRUE(stream_->trailers(kReq, kTrailers));
  EXPECT_EQ(state(kReq), FlowState::kEnding);
  EXPECT_EQ(hear().at(0).headers, kTrailers);
  output(kReq, 0, "added", wire::OutputFlag_Added);
  answer_trailers(kReq);
  EXPECT_EQ(mount().out, "added");
  EXPECT_TRUE(mount().is_finished);
}

TEST_F(FlowTest, TrailersThatNobodyHearsOfGoBy) {
  open();
  answer(kReq, BodyMode_Pass, wire::Phase_DecodeHeaders);
  EXPECT_FALSE(stream_->trailers(kReq, kTrailers));
  EXPECT_TRUE(hear().empty());
}

// ---- windows ----

TEST_F(FlowTest, TheHostGetsNoMoreThanItsWindow) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, std::string(2500, 'x'), false);
  EXPECT_EQ(told().size(), 1000u);
  EXPECT_EQ(mount().unread().size(), 1500u) << "with the mount, which pauses the peer";
  output(kReq, 600, "");
  EXPECT_EQ(told().size(), 600u);
  output(kReq, 1000, "");
  EXPECT_EQ(told().size(), 900u);
  EXPECT_EQ(mount().unread().size(), 0u);
}

TEST_F(FlowTest, TheEndIsToldWithTheLastBytesAndNotBefore) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, std::string(1500, 'x'), true);
  auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_FALSE(heard[0].has(wire::DataFlag_Last));
  output(kReq, 1000, "");
  heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].bytes.size(), 500u);
  EXPECT_TRUE(heard[0].has(wire::DataFlag_Last));
}

TEST_F(FlowTest, CreditComesByHalfAWindowOnceItIsTaken) {
  open();
  answer(kReq, BodyMode_Stream);
  output(kReq, 0, std::string(499, 'x'));
  EXPECT_TRUE(hear().empty());
  output(kReq, 0, "x");
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].kind, wire::FrameKind_Credit);
  EXPECT_EQ(heard[0].number, 500u);
}

TEST_F(FlowTest, AcknowledgingMoreThanItHasCostsTheHostItsChannel) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, "abc", false);
  hear();
  output(kReq, 4, "");
  EXPECT_TRUE(condemned());
}

// ---- a mount that says "later" ----

class LaterTest : public FlowTest {
 protected:
  void SetUp() override {
    FlowTest::SetUp();
    for (const Dir dir : {kReq, kRes}) mount(dir).can_inject = false;
  }
};

TEST_F(LaterTest, OutputWaitsHereUntilTheMountCanTakeIt) {
  open();
  answer(kReq, BodyMode_Stream);
  EXPECT_FALSE(mount().gone);
  stream_->data(kReq, "abc", false);
  EXPECT_EQ(told(), "abc");
  output(kReq, 2, "AB");
  output(kReq, 1, "C");
  EXPECT_EQ(mount().out, "");
  EXPECT_EQ(stream_->core().flow(kReq).waiting_output(), 3u);
  EXPECT_EQ(stage_->worker.pending(), 3);
  stream_->ready(kReq);
  stage_->turn();
  EXPECT_EQ(mount().out, "ABC");
  EXPECT_EQ(stage_->worker.pending(), 0);
}

TEST_F(LaterTest, TheEndWaitsToo) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, "abc", true);
  hear();
  output(kReq, 3, "ABC", kLast);
  EXPECT_EQ(state(kReq), FlowState::kEnding);
  stage_->turn();
  EXPECT_FALSE(mount().is_finished);
  stream_->ready(kReq);
  stage_->turn();
  EXPECT_TRUE(mount().is_finished);
  EXPECT_EQ(mount().out, "ABC");
  EXPECT_EQ(state(kReq), FlowState::kDone);
}

TEST_F(LaterTest, WhatPilesUpHoldsTheInputUpWhereItsReaderPacesIt) {
  open();
  answer(kReq, BodyMode_Stream);
  output(kReq, 0, std::string(1000, 'x'));
  EXPECT_TRUE(hear().empty()) << "no credit: the host makes no more than a window";
  stream_->data(kReq, "abc", false);
  EXPECT_EQ(told(), "") << "nor does it get what would make more";
  mount().has_room = OutputRoom::kCollected;
  stream_->core().defer();
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 2u) << "where only more input can make room, it gets that";
  EXPECT_EQ(heard[0].bytes + heard[1].bytes, "abc");
}

TEST_F(LaterTest, ABatchedMountHoldsInputUpAndGivesCredit) {
  mount().has_room = OutputRoom::kBatched;
  open();
  answer(kReq, BodyMode_Stream);
  output(kReq, 0, std::string(1000, 'x'));
  EXPECT_EQ(hear().size(), 1u) << "it must be able to digest what it has";
  stream_->data(kReq, "abc", false);
  EXPECT_EQ(told(), "");
}

TEST_F(LaterTest, TooMuchBeforeAnythingWasSentIsAReply) {
  stage_->config->settings.max_pending_output = 5000;
  mount().has_room = OutputRoom::kCollected;
  open();
  answer(kReq, BodyMode_Stream);
  output(kReq, 0, std::string(5000, 'x'));
  EXPECT_FALSE(stream_->is_ended());
  output(kReq, 0, "x");
  EXPECT_EQ(stream_->reply(), "500 TSF_OUTPUT_LIMIT TSF_OUTPUT_LIMIT");
  EXPECT_EQ(state(kReq), FlowState::kReplied);
  EXPECT_EQ(state(kRes), FlowState::kReplied);
  EXPECT_TRUE(mount().is_dropped);
}

TEST_F(LaterTest, TooMuchOfAResponseThatHasBegunIsAReset) {
  stage_->config->settings.max_pending_output = 5000;
  open(kReq, true);
  answer(kReq, BodyMode_Pass);
  open(kRes);
  mount(kRes).can_inject = true;
  answer(kRes, BodyMode_Stream);
  mount(kRes).can_inject = false;
  output(kRes, 0, std::string(5001, 'x'));
  EXPECT_EQ(stream_->reply(), "reset TSF_OUTPUT_LIMIT");
}

TEST_F(LaterTest, WhatTheHostOwesIsKnownToTheMount) {
  open();
  Flow& flow = stream_->core().flow(kReq);
  EXPECT_FALSE(flow.owes_output());
  answer(kReq, BodyMode_Stream);
  EXPECT_FALSE(flow.owes_output()) << "it has nothing yet";
  stream_->data(kReq, "abc", false);
  hear();
  EXPECT_TRUE(flow.owes_output());
  output(kReq, 3, "A", 0);
  EXPECT_TRUE(flow.owes_output()) << "acknowledged, but not digested";
  output(kReq, 0, "");
  EXPECT_FALSE(flow.owes_output());
  stream_->data(kReq, "d", false);
  EXPECT_TRUE(flow.owes_output());
  output(kReq, 0, "");
  EXPECT_TRUE(flow.owes_output()) << "digested, but not acknowledged";
  output(kReq, 1, "", kLast);
  EXPECT_FALSE(flow.owes_output()) << "the output is complete";
}

// ---- beside the flow ----

TEST_F(FlowTest, AReplyTakesThePlaceOfBoth) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->data(kReq, "abc", false);
  hear();
  ASSERT_TRUE(host().local_reply(id_, 403, {}, "no", "details"));
  stage_->turn();
  EXPECT_EQ(stream_->reply(), "403 details no");
  EXPECT_TRUE(mount(kReq).is_dropped);
  EXPECT_TRUE(mount(kRes).is_dropped);
  output(kReq, 3, "late");
  EXPECT_FALSE(condemned()) << "late, and no fault";
  EXPECT_EQ(mount().out, "");
}

TEST_F(FlowTest, ALostHostLeavesNothingBehindACompleteOutput) {
  open();
  answer(kReq, BodyMode_Stream, wire::Phase_DecodeHeaders | wire::Phase_TransformRequest);
  stream_->data(kReq, "abc", false);
  hear();
  output(kReq, 3, "ABC", kLast);
  stage_->lose();
  EXPECT_FALSE(stream_->is_ended());
  stream_->data(kReq, "unread", true);
  stage_->turn();
  EXPECT_EQ(mount().out, "ABC");
  EXPECT_EQ(mount().unread(), "");
  EXPECT_TRUE(mount().is_finished);
}

TEST_F(FlowTest, AMountsDeadlineGetsItATurn) {
  open();
  mount().due = now_ns() + nanos(Millis(5));
  EXPECT_EQ(stream_->core().deadline(), mount().due) << "the earliest";
  stream_->core().arm(mount().due);
  const int before = mount().turns;
  clock_.pass(Millis(5));
  stage_->turn();
  EXPECT_GT(mount().turns, before);
}

TEST_F(FlowTest, ACutByTheChainIsACodedEnd) {
  open();
  answer(kReq, BodyMode_Stream);
  stream_->core().flow(kReq).on_cut();
  stage_->turn();
  EXPECT_EQ(stream_->reply(), "502 ts_filter_cut_by_chain ts_filter_cut_by_chain");
}

}  // namespace
}  // namespace tsf::core::test
