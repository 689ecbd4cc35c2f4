// A host is lost: what of its streams goes to the next one, in every failure mode and state.
#include "core/replays.h"

#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

constexpr uint32_t kDecode = wire::Phase_DecodeHeaders;
constexpr uint32_t kEncode = wire::Phase_EncodeHeaders;

class ReplayTest : public StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    settings().failure_mode = FailureMode::kReplay;
  }
  // Another host is there at once.
  std::vector<Heard> lose_and_connect() {
    stage_->lose();
    stage_->connect();
    auto heard = hear();
    for (const Heard& frame : heard)
      if (frame.kind == wire::FrameKind_Headers) id_ = frame.id();
    return heard;
  }
  // One whose headers the host has not read.
  void open_unread(const HeaderMap& headers = kPost, bool end = false) {
    stage_->connect();
    envoy_ = stage_->open();
    envoy_->headers(kReq, headers, end);
    turn();
  }
  std::string status() { return envoy().downstream().header(":status"); }
  // Of the first headers frame.
  static const Heard& headers_in(const std::vector<Heard>& heard) {
    static const Heard none;
    const Heard* found = first(heard, wire::FrameKind_Headers);
    EXPECT_NE(found, nullptr);
    return found == nullptr ? none : *found;
  }
};

constexpr FailureMode kModes[] = {FailureMode::kClosed, FailureMode::kOpen, FailureMode::kReplay};

// ---- what no host has taken ----

TEST_F(ReplayTest, WhatNoHostHasTakenGoesToTheNextOneInEveryModeAsOftenAsNeedBe) {
  for (const FailureMode mode : kModes) {
    settings().failure_mode = mode;
    settings().host_wait = Millis(5000);
    open_unread();
    envoy().data(kReq, "some", false);
    for (int i = 0; i < 3; ++i) {
      stage_->lose();
      envoy().data(kReq, "+", false);
      turn();
      EXPECT_FALSE(envoy().gone());
      stage_->connect();
      turn();
    }
    const auto heard = hear();
    ASSERT_EQ(count(heard, wire::FrameKind_Headers), 1u);
    EXPECT_TRUE(headers_in(heard).has(wire::HeadersFlag_Start));
    EXPECT_EQ(headers_in(heard).headers, kPost);
    EXPECT_EQ(headers_in(heard).attempt, 1u) << "nothing has happened for it";
    id_ = headers_in(heard).id();
    answer(kReq, BodyMode_Pass);
    envoy().data(kReq, " more", true);
    EXPECT_EQ(envoy().upstream().body, "some+++ more");
    EXPECT_EQ(envoy().upstream().ends, 1);
    close();
  }
}

TEST_F(ReplayTest, WithoutAnotherHostTheModeDecides) {
  for (const FailureMode mode : kModes) {
    settings().failure_mode = mode;
    settings().host_wait = Millis(mode == FailureMode::kReplay ? 20 : 0);
    open_unread();
    stage_->lose();
    if (mode == FailureMode::kReplay) {
      EXPECT_FALSE(envoy().gone());
      pass_time(30);
    }
    if (mode == FailureMode::kOpen) {
      EXPECT_TRUE(envoy().upstream().headers.has_value());
    } else {
      EXPECT_EQ(status(), "503");
      EXPECT_EQ(envoy().reply_details(), "ts_filter_host_lost");
    }
    close();
  }
}

TEST_F(ReplayTest, AHostThatIsComingIsWaitedForASecond) {
  settings().failure_mode = FailureMode::kClosed;
  open_unread();
  stage_->channel.lock()->stop("the host has stopped reading");  // the link makes another channel
  turn();
  EXPECT_FALSE(envoy().gone());
  pass_time(500);
  EXPECT_FALSE(envoy().gone());
  pass_time(600);
  EXPECT_EQ(status(), "503");
}

TEST_F(ReplayTest, StreamsThatNeverFittedTheRingGoToTheNextHost) {
  StreamTest::restage({.ring_bytes = 64 << 10});
  settings().failure_mode = FailureMode::kClosed;
  settings().host_wait = Millis(5000);
  stage_->connect();
  constexpr size_t kStreams = 9;
  std::vector<std::unique_ptr<FakeEnvoy>> envoys;
  for (size_t i = 0; i < kStreams; ++i) {
    envoys.push_back(stage_->open());
    envoys.back()->headers(
        kReq, {{":method", "GET"}, {"x-a", std::string(6'000, 'a')}, {"x-b", std::string(6'000, 'b')}}, true);
  }
  turn();
  EXPECT_TRUE(stage_->channel.lock()->parts().endpoint.starved());
  stage_->lose();
  stage_->connect();
  size_t begun = 0;
  for (int i = 0; i < 10 && begun < kStreams; ++i)
    for (const Heard& frame : hear()) {
      if (frame.kind != wire::FrameKind_Headers) continue;
      begun += frame.has(wire::HeadersFlag_Start);
      EXPECT_EQ(frame.attempt, 1u);
      EXPECT_TRUE(host().answer(frame.id(), HeaderType::kRequest, BodyMode_Pass));
    }
  EXPECT_EQ(begun, kStreams);
  turn();
  for (auto& envoy : envoys) {
    EXPECT_EQ(envoy->upstream().ends, 1);
    envoy->disconnect();
  }
  turn();
}

TEST_F(ReplayTest, OnlyWhatIsBehindTheFrameThatTheHostStandsAtIsUntaken) {
  settings().failure_mode = FailureMode::kClosed;
  settings().host_wait = Millis(5000);
  open_unread();
  const auto behind = stage_->open();
  behind->headers(kReq, kGet, true);
  turn();
  EXPECT_EQ(host().read(1).size(), 1u);
  const auto heard = lose_and_connect();
  EXPECT_EQ(status(), "503");
  ASSERT_EQ(count(heard, wire::FrameKind_Headers), 1u);
  EXPECT_EQ(headers_in(heard).headers, kGet);
  behind->disconnect();
}

TEST_F(ReplayTest, ALostHostFindsNothingMoreToTake) {
  open_unread();
  stage_->lose();
  stage_->connect();
  EXPECT_EQ(hear().size(), 1u);
  EXPECT_TRUE(stage_->old_hosts.back()->read().empty());
}

// ---- request headers ----

TEST_F(ReplayTest, UnansweredRequestHeadersAreReplayedOnce) {
  connect_and_open();
  envoy().data(kReq, "body", false);
  const auto heard = lose_and_connect();
  EXPECT_EQ(headers_in(heard).headers, kPost);
  EXPECT_EQ(headers_in(heard).attempt, 2u);
  EXPECT_TRUE(headers_in(heard).has(wire::HeadersFlag_Start));
  stage_->lose();
  EXPECT_EQ(status(), "503");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_host_lost");
}

TEST_F(ReplayTest, AReplayedRequestGoesOnAsAnyOther) {
  connect_and_open();
  envoy().data(kReq, "body", false);
  lose_and_connect();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, " and end", true);
  EXPECT_EQ(join(hear(), kReq), "body and end");
  output(kReq, 12, "BODY", OutputFlag_Last | OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "BODY");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(ReplayTest, TheNextHostGetsTheHeadersAsTheyCame) {
  const HeaderMap came = {{":method", "POST"}, {":path", "/"}, {"x-a", "1"}, {"x-a", "2"}, {"x-b", "3"}};
  connect_and_open(came);
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest,
                         {{wire::HeaderOp_Set, ":path", "/other"},
                          {wire::HeaderOp_Add, "x-a", "3"},
                          {wire::HeaderOp_Delete, "x-b", ""},
                          {wire::HeaderOp_Set, "x-new", "y"}}));
  turn();
  auto headers = headers_in(lose_and_connect()).headers;
  std::stable_sort(headers.begin(), headers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  EXPECT_EQ(headers, came);
}

TEST_F(ReplayTest, OpenPassesTheHeadersAsTheyCame) {
  settings().failure_mode = FailureMode::kOpen;
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {{wire::HeaderOp_Set, "x-user", "ann"}});
  envoy().data(kReq, "body", true);
  hear();
  stage_->lose();
  EXPECT_EQ(envoy().upstream().body, "body");
  EXPECT_EQ(envoy().upstream().header("x-user"), "");
}

TEST_F(ReplayTest, WhatALostHostStillSaysIsReadByNobody) {
  connect_and_open();
  const StreamId before = id_;
  lose_and_connect();
  ASSERT_TRUE(stage_->old_hosts.back()->local_reply(before, 403, {}, "no"));
  ASSERT_TRUE(stage_->old_hosts.back()->answer(before, HeaderType::kRequest, BodyMode_Pass));
  turn();
  EXPECT_FALSE(envoy().gone());
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  answer(kReq, BodyMode_Pass);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

// ---- whole bodies ----

TEST_F(ReplayTest, AWholeRequestBodyIsReplayedWithItsHeaders) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {{wire::HeaderOp_Add, "x-seen", "1"}});
  envoy().data(kReq, "some", false);
  envoy().data(kReq, " more", true);
  EXPECT_EQ(join(hear(), kReq), "some more");
  const auto heard = lose_and_connect();
  EXPECT_EQ(headers_in(heard).headers, kPost);
  EXPECT_EQ(headers_in(heard).attempt, 2u);
  EXPECT_EQ(join(heard, kReq), "") << "not before the headers' answer";
  answer(kReq, BodyMode_Whole);
  EXPECT_EQ(join(hear(), kReq), "some more");
  output(kReq, 9, "SOME MORE", OutputFlag_Last | OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "SOME MORE");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(ReplayTest, ABodyThatIsStillComingIsReplayedToo) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "some", false);
  hear();
  lose_and_connect();
  envoy().data(kReq, " more", true);
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "some more");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(ReplayTest, AWholeBodyIsReplayedWithItsTrailers) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {}, UINT32_MAX);
  envoy().data(kReq, "some", false);
  envoy().trailers(kReq, {{"t", "1"}});
  hear();
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequestTrailers, {{wire::HeaderOp_Set, "t", "2"}}));
  turn();
  lose_and_connect();
  answer(HeaderType::kRequest, BodyMode_Whole, {}, UINT32_MAX);
  const auto heard = hear();
  EXPECT_EQ(join(heard, kReq), "some");
  EXPECT_EQ(headers_in(heard).headers, (HeaderMap{{"t", "1"}}));
}

TEST_F(ReplayTest, AWholeBodyOfWhichOutputHasComeIsNotReplayed) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "some", false);
  output(kReq, 0, "pushed", OutputFlag_Digested);
  lose_and_connect();
  EXPECT_TRUE(envoy().gone());
}

TEST_F(ReplayTest, AStreamedBodyIsNotReplayed) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "some", false);
  hear();
  lose_and_connect();
  EXPECT_EQ(status(), "502");
}

// ---- responses ----

TEST_F(ReplayTest, AResponseIsReplayedWhenNothingWasAnsweredBefore) {
  restage({.phases = kEncode | wire::Phase_EncodeData});
  settings().failure_mode = FailureMode::kReplay;
  connect_and_open(kGet, true);
  respond();
  envoy().data(kRes, "body", true);
  const auto heard = lose_and_connect();
  EXPECT_EQ(headers_in(heard).type, static_cast<uint8_t>(HeaderType::kResponse));
  EXPECT_EQ(headers_in(heard).headers, kOk);
  EXPECT_EQ(headers_in(heard).attempt, 2u);
  answer(kRes, BodyMode_Whole);
  hear();
  // The body is held as well.
  const auto again = lose_and_connect();
  EXPECT_TRUE(again.empty()) << "once";
  EXPECT_EQ(status(), "502");
}

TEST_F(ReplayTest, AWholeResponseBodyIsReplayed) {
  restage({.phases = kEncode | wire::Phase_EncodeData});
  settings().failure_mode = FailureMode::kReplay;
  connect_and_open(kGet, true);
  envoy().headers(kRes, kOk, false);
  id_ = headers_in(hear()).id();
  answer(kRes, BodyMode_Whole);
  envoy().data(kRes, "body", true);
  EXPECT_EQ(join(hear(), kRes), "body");
  lose_and_connect();
  answer(kRes, BodyMode_Pass);
  EXPECT_EQ(envoy().downstream().body, "body");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(ReplayTest, AResponseWhoseRequestWasAnsweredIsReplayedOnlyForAStatelessFilter) {
  for (const bool is_stateless : {false, true}) {
    stage_->is_stateless = is_stateless;
    connect_and_open(kGet, true);
    answer(kReq, BodyMode_Pass);
    respond();
    const auto heard = lose_and_connect();
    if (is_stateless) {
      ASSERT_EQ(count(heard, wire::FrameKind_Headers), 2u);
      EXPECT_TRUE(heard[0].has(wire::HeadersFlag_Context));
      EXPECT_TRUE(heard[0].has(wire::HeadersFlag_Start));
      EXPECT_EQ(heard[0].headers, kGet);
      EXPECT_EQ(heard[0].attempt, 2u);
      EXPECT_EQ(heard[1].headers, kOk);
      answer(kRes, BodyMode_Pass);
      envoy().data(kRes, "body", true);
      EXPECT_EQ(status(), "200");
      EXPECT_EQ(envoy().downstream().body, "body");
    } else {
      EXPECT_EQ(status(), "502");
    }
    close();
  }
}

TEST_F(ReplayTest, AResponseThatComesAfterItsHostIsLostGoesToTheNextOneOfAStatelessFilter) {
  for (const bool is_stateless : {false, true}) {
    stage_->is_stateless = is_stateless;
    connect_and_open(kGet, true);
    answer(kReq, BodyMode_Pass);
    stage_->lose();
    EXPECT_FALSE(envoy().gone());
    envoy().headers(kRes, kOk, true);
    turn();
    stage_->connect();
    const auto heard = hear();
    EXPECT_EQ(count(heard, wire::FrameKind_Headers), is_stateless ? 2u : 0u);
    if (is_stateless) {
      id_ = heard[1].id();
      answer(kRes, BodyMode_Pass);
      EXPECT_EQ(status(), "200");
    } else {
      EXPECT_EQ(status(), "502");
    }
    close();
  }
}

TEST_F(ReplayTest, AFilterOfResponsesAloneMeetsTheNextHostInEveryMode) {
  for (const FailureMode mode : kModes) {
    restage({.phases = kEncode});
    settings().failure_mode = mode;
    settings().host_wait = Millis(5000);
    connect_and_open(kGet, true);
    stage_->lose();
    envoy().headers(kRes, kOk, true);
    turn();
    stage_->connect();
    const auto heard = hear();
    ASSERT_EQ(count(heard, wire::FrameKind_Headers), 1u);
    EXPECT_EQ(heard[0].attempt, 1u);
    id_ = heard[0].id();
    answer(kRes, BodyMode_Pass);
    EXPECT_EQ(status(), "200");
  }
}

TEST_F(ReplayTest, TrailersAreNotReplayed) {
  stage_->is_stateless = true;
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, kDecode | wire::Phase_DecodeTrailers);
  envoy().trailers(kReq, {{"t", "1"}});
  hear();
  lose_and_connect();
  EXPECT_EQ(status(), "502");
}

// ---- time ----

TEST_F(ReplayTest, MessageTimeoutRunsOn) {
  settings().message_timeout = Millis(100);
  connect_and_open();
  pass_time(60);
  EXPECT_EQ(count(lose_and_connect(), wire::FrameKind_Headers), 1u);
  pass_time(60);
  EXPECT_EQ(status(), "504");
}

TEST_F(ReplayTest, MessageTimeoutEndsTheWaitForAHost) {
  settings().message_timeout = Millis(50);
  connect_and_open();
  stage_->lose();
  pass_time(70);
  EXPECT_EQ(status(), "504");
}

TEST_F(ReplayTest, ALongerHostWaitGivesTheNextHostItsTime) {
  settings().message_timeout = Millis(60);
  settings().host_wait = Millis(5000);
  connect_and_open();
  stage_->lose();
  pass_time(100);
  EXPECT_FALSE(envoy().gone());
  stage_->connect();
  EXPECT_EQ(count(hear(), wire::FrameKind_Headers), 1u);
}

// ---- bounds ----

TEST_F(ReplayTest, MoreThanTheCapFailAsClosed) {
  connect_and_open();
  {
    std::vector<Replays::UnderWay> others(Replays::kMost);
    for (auto& other : others) other = Replays::UnderWay(stage_->worker.replays());
    stage_->lose();
    EXPECT_EQ(status(), "503");
  }
  close();
  connect_and_open();
  lose_and_connect();
  EXPECT_EQ(stage_->worker.replays().under_way(), 1u);
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(stage_->worker.replays().under_way(), 0u);
}

TEST_F(ReplayTest, AReplayIsOverWithItsStream) {
  connect_and_open();
  stage_->lose();
  EXPECT_EQ(stage_->worker.replays().under_way(), 1u);
  close();
  EXPECT_EQ(stage_->worker.replays().under_way(), 0u);
}

TEST_F(ReplayTest, HostsThatDieOfReplaysGetNoMore) {
  for (uint32_t i = 0; i < Replays::kLosses; ++i) {
    EXPECT_FALSE(stage_->process.logged("TSF_REPLAYS_STOPPED"));
    connect_and_open();
    EXPECT_EQ(count(lose_and_connect(), wire::FrameKind_Headers), 1u);
    stage_->lose();
    EXPECT_EQ(status(), "503");
    close();
  }
  EXPECT_TRUE(stage_->process.logged("TSF_REPLAYS_STOPPED"));
  connect_and_open();
  stage_->lose();
  EXPECT_EQ(status(), "503");
  close();
  // What was never taken cannot have done it.
  settings().host_wait = Millis(5000);
  open_unread();
  EXPECT_EQ(count(lose_and_connect(), wire::FrameKind_Headers), 1u);
}

TEST(Replays, TheBreakerClosesAfterItsPauseAndForgetsWhatIsLongAgo) {
  Replays replays;
  const Nanos second = nanos(std::chrono::seconds(1));
  Nanos now = 1000 * second;
  EXPECT_FALSE(replays.lost_again(now));
  EXPECT_FALSE(replays.lost_again(now + second));
  now += nanos(Replays::kWindow) + 2 * second;
  EXPECT_FALSE(replays.lost_again(now)) << "the first two are long ago";
  EXPECT_FALSE(replays.lost_again(now));
  EXPECT_TRUE(replays.lost_again(now));
  EXPECT_FALSE(replays.may_replay(now));
  EXPECT_FALSE(replays.lost_again(now + second)) << "said once";
  EXPECT_TRUE(replays.may_replay(now + nanos(Replays::kPause)));
}

}  // namespace
}  // namespace tsf::core::test
