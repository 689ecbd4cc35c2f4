// What an observing filter's host is told, when it is told that this is not all, and that nothing it says moves the
// stream.
#include "core/observer.h"

#include <gtest/gtest.h>

#include "test/core/watched_stream.h"

namespace tsf::core::test {
namespace {

constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;
const HeaderMap kPost = {{":method", "POST"}, {":path", "/"}};
const HeaderMap kOk = {{":status", "200"}};
using Results = std::vector<std::string>;

class ObserverTest : public testing::Test {
 protected:
  void SetUp() override { stage({}); }
  void TearDown() override {
    stream_.reset();
    stage_->turn();
    EXPECT_EQ(stage_->worker.pending(), 0);
  }
  void stage(WorkerStage::Options options) {
    stream_.reset();
    stage_ = std::make_unique<WorkerStage>(std::move(options));
    stage_->config->observed = WatchedStream::kObserved;
  }
  Settings& settings() { return stage_->config->settings; }
  ScriptedHost& host() { return *stage_->host; }
  // A stream whose request's headers have come.
  void open(bool end = false) {
    if (!stage_->host) stage_->connect();
    stage_->turn();
    stream_ = std::make_unique<WatchedStream>(*stage_);
    stream_->headers(kReq, kPost, end);
    heard_ = stage_->hear();
    // The end of the stream before may come with it.
    while (!heard_.empty() && !heard_[0].has(wire::HeadersFlag_Start)) heard_.erase(heard_.begin());
    if (!heard_.empty()) id_ = heard_[0].id();
  }
  std::vector<Heard>& hear() { return heard_ = stage_->hear(); }
  std::string body(Dir dir) const {
    std::string out;
    for (const auto& f : heard_)
      if (f.kind == wire::FrameKind_Data && f.type == static_cast<uint8_t>(dir)) out += f.bytes;
    return out;
  }
  const Heard* end() const {
    for (const auto& f : heard_)
      if (f.kind == wire::FrameKind_End) return &f;
    return nullptr;
  }
  Results results() const { return stream_->results(); }
  // Destroys it; what the counter says then, and what the host is told.
  void finish(const Results& results, wire::EndReason reason) {
    stream_->destroy();
    EXPECT_EQ(stream_->results(), results);
    EXPECT_EQ(stream_->violations, Results{});
    if (stage_->host) hear();
    ASSERT_NE(end(), nullptr);
    EXPECT_EQ(end()->type, reason);
  }
  void expect_over(const Results& results) {
    hear();
    EXPECT_EQ(stream_->results(), results);
    if (end() == nullptr) hear();  // behind what filled the ring
    ASSERT_NE(end(), nullptr);
    stream_->headers(kRes, kOk, false);
    stream_->data(kRes, "more", true);
    stream_->destroy();
    EXPECT_EQ(hear().size(), 0u) << "it ends once";
    EXPECT_EQ(stream_->results(), results);
    EXPECT_EQ(stream_->violations, Results{});
  }

  std::unique_ptr<WorkerStage> stage_;
  std::unique_ptr<WatchedStream> stream_;
  std::vector<Heard> heard_;
  StreamId id_;
};

TEST_F(ObserverTest, TellsAllThatGoesByAtOnce) {
  open();
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_TRUE(heard_[0].has(wire::HeadersFlag_Start) && heard_[0].has(wire::HeadersFlag_Observed));
  EXPECT_EQ(heard_[0].headers, kPost);
  stream_->data(kReq, "one", false);
  stream_->trailers(kReq, {{"t", "1"}});
  stream_->headers(kRes, kOk, false);
  stream_->data(kRes, std::string(200'000, 'x'), true);
  hear();
  EXPECT_EQ(body(kReq), "one");
  EXPECT_EQ(body(kRes), std::string(200'000, 'x'));
  EXPECT_TRUE(heard_.back().has(wire::DataFlag_Last));
  finish({"complete"}, wire::EndReason_Complete);
}

TEST_F(ObserverTest, AStreamWhoseResponseDoesNotEndWasReset) {
  open();
  stream_->headers(kRes, kOk, false);
  finish({"reset"}, wire::EndReason_Downstream);
}

TEST_F(ObserverTest, NothingIsWaitedFor) {
  stage_->turn();
  stream_ = std::make_unique<WatchedStream>(*stage_);
  settings().host_wait = Millis(60'000);
  stream_->headers(kReq, kPost, true);
  EXPECT_EQ(results(), Results{"no_host"});
  stage_->connect();
  stage_->turn();
  stream_->headers(kRes, kOk, true);
  stream_->destroy();
  EXPECT_EQ(hear().size(), 0u);
}

TEST_F(ObserverTest, ARefusedConfigIsCounted) {
  stage_->accepted = false;
  open();
  EXPECT_EQ(heard_.size(), 0u);
  EXPECT_EQ(results(), Results{"rejected"});
}

TEST_F(ObserverTest, WhatHasNoRoomWaitsWithinTheBoundAndThenTheViewIsOver) {
  stage({.ring_bytes = 64 << 10});
  settings().stream_window = settings().max_body_bytes = 100'000;
  open();
  stream_->data(kReq, std::string(150'000, 'a'), false);
  EXPECT_GT(stage_->worker.pending(), 0);
  hear();
  std::string got = body(kReq);
  for (int i = 0; i < 10; ++i) {
    hear();
    got += body(kReq);
  }
  EXPECT_EQ(got, std::string(150'000, 'a'));
  ASSERT_TRUE(host().output(id_, kReq, 100'000, "", 0));
  stage_->turn();
  stream_->data(kReq, std::string(140'000, 'a'), false);
  EXPECT_EQ(results(), Results{}) << "what was acknowledged does not count";
  stream_->data(kReq, std::string(140'000, 'a'), false);
  EXPECT_EQ(stage_->worker.pending(), 0) << "no copies are kept";
  expect_over({"limit"});
}

TEST_F(ObserverTest, HeadersWithoutRoomEndTheView) {
  stage({.ring_bytes = 64 << 10});
  open();
  stream_->data(kReq, std::string(70'000, 'a'), false);
  HeaderMap many = kOk;
  for (int i = 0; i < 10; ++i) many.emplace_back("x-" + std::to_string(i), std::string(1000, 'x'));
  stream_->headers(kRes, many, false);
  expect_over({"dropped"});
}

TEST_F(ObserverTest, TrailersThatWouldHaveToWaitEndTheView) {
  stage({.ring_bytes = 64 << 10});
  open();
  stream_->data(kReq, std::string(70'000, 'a'), false);
  stream_->trailers(kReq, {{"t", "1"}});
  expect_over({"dropped"});
}

TEST_F(ObserverTest, AStreamThatEndsBeforeAllWasToldIsNotCalledComplete) {
  stage({.ring_bytes = 64 << 10});
  open(true);
  stream_->headers(kRes, kOk, false);
  stream_->data(kRes, std::string(100'000, 'a'), true);
  stream_->destroy();
  EXPECT_EQ(results(), Results{"dropped"});
  hear();
  if (end() == nullptr) hear();
  ASSERT_NE(end(), nullptr);
  EXPECT_EQ(end()->type, wire::EndReason_Dropped);
}

TEST_F(ObserverTest, AWholeBodyIsBoundedAsEver) {
  settings().max_body_bytes = 10;
  open();
  stream_->data(kReq, "0123456789", false);
  ASSERT_TRUE(host().answer(id_, HeaderType::kRequest, wire::BodyMode_Whole));
  stage_->turn();
  EXPECT_EQ(results(), Results{});
  stream_->data(kReq, "x", true);
  expect_over({"limit"});
}

TEST_F(ObserverTest, ABodyThatNobodyWantsIsNotSent) {
  for (const auto& [mode, flags] : {std::pair<uint8_t, uint8_t>{wire::BodyMode_Pass, 0},
                                    {wire::BodyMode_Stream, wire::OutputFlag_Last},
                                    {wire::BodyMode_Stream, wire::OutputFlag_Bypass}}) {
    open();
    ASSERT_TRUE(host().answer(id_, HeaderType::kRequest, mode));
    if (flags != 0) {
      ASSERT_TRUE(host().output(id_, kReq, 0, "", flags));
    }
    stage_->turn();
    stream_->data(kReq, "body", true);
    hear();
    EXPECT_EQ(body(kReq), "");
    stream_->destroy();
  }
  stage({.phases = wire::Phase_DecodeHeaders | wire::Phase_EncodeTrailers});
  open();
  stream_->data(kReq, "body", true);
  stream_->headers(kRes, kOk, false);
  stream_->data(kRes, "body", false);
  EXPECT_EQ(hear().size(), 0u);
  stream_->trailers(kRes, {{"t", "1"}});
  ASSERT_EQ(hear().size(), 1u) << "its trailers are";
  finish({"complete"}, wire::EndReason_Complete);
}

TEST_F(ObserverTest, NothingTheHostSaysMovesTheStream) {
  open();
  stage_->config->settings.metrics = {{"m", MetricKind::kCounter, {}}};
  stage_->config->metrics = {5};
  const std::vector<Op> ops = {{wire::HeaderOp_Set, "x", "y"}, {wire::HeaderOp_ClearRouteCache, "", ""}};
  ASSERT_TRUE(host().answer(id_, HeaderType::kRequest, wire::BodyMode_Stream, ops));
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest, ops));
  ASSERT_TRUE(host().output(id_, kReq, 0, "output", wire::OutputFlag_Added));
  ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, packed(HeaderMap{{"a", "b"}}), wire::MetadataType_Number));
  ASSERT_TRUE(host().act(id_, wire::ActKind_OverrideHost, "1.2.3.4:5"));
  ASSERT_TRUE(host().act(id_, wire::ActKind_Drain, ""));
  ASSERT_TRUE(host().act(id_, wire::ActKind_Recreate, ""));
  ASSERT_TRUE(host().extend(id_, 5));
  ASSERT_TRUE(host().act(id_, wire::ActKind_Metric, "", wire::MetricOp_Increment, 3));
  ASSERT_TRUE(host().query(id_, 9, 3));
  ASSERT_TRUE(host().call(id_, 1, wire::CallPart_Start, "cluster", true, 0, 7));
  hear();
  EXPECT_EQ(stage_->link.condemned, 0);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].kind, static_cast<uint32_t>(wire::FrameKind_QueryAnswer));
  EXPECT_EQ(stream_->asked.records.size(), 1u) << "its own metrics count";
  EXPECT_EQ(stream_->asked.calls.size(), 1u) << "so do its own calls";
  EXPECT_EQ(stream_->violations, Results{});
}

TEST_F(ObserverTest, AReplyAndAFailureEndTheView) {
  open();
  ASSERT_TRUE(host().local_reply(id_, 403, {}, "no"));
  expect_over({"replied"});
  open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  expect_over({"replied"});
  open();
  ASSERT_TRUE(host().fail(id_, HeaderType::kRequest, "boom"));
  expect_over({"failed"});
  EXPECT_TRUE(stage_->process.logged("boom"));
}

TEST_F(ObserverTest, ALostHostIsCounted) {
  open();
  stage_->lose();
  EXPECT_EQ(results(), Results{"host_lost"});
  stream_->data(kReq, "more", true);
  stream_->destroy();
  EXPECT_EQ(results(), Results{"host_lost"});
}

TEST_F(ObserverTest, AResponseThatBeginsAnewIsToldAnew) {
  open(true);
  stream_->headers(kRes, kOk, false);
  stream_->data(kRes, "old", false);
  hear();
  stream_->headers(kRes, {{":status", "503"}}, false);
  stream_->data(kRes, "new", true);
  hear();
  EXPECT_EQ(heard_[0].headers, (HeaderMap{{":status", "503"}}));
  EXPECT_EQ(body(kRes), "new");
  ASSERT_TRUE(host().output(id_, kRes, 6, "", 0)) << "of both";
  stage_->turn();
  EXPECT_EQ(stage_->link.condemned, 0);
  finish({"complete"}, wire::EndReason_Complete);
}

TEST_F(ObserverTest, AResponseWithoutARequestBeforeItHasItsContext) {
  stage_->connect();
  stage_->turn();
  stream_ = std::make_unique<WatchedStream>(*stage_);
  stream_->map(HeaderType::kRequest) = kPost;
  stream_->headers(kRes, kOk, true);
  hear();
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_TRUE(heard_[0].has(wire::HeadersFlag_Context));
  finish({"complete"}, wire::EndReason_Complete);
  // The codec's answer to what is no request.
  stream_ = std::make_unique<WatchedStream>(*stage_);
  stream_->headers(kRes, {{":status", "400"}}, true);
  EXPECT_EQ(hear().size(), 0u);
}

TEST_F(ObserverTest, ATunnelsBodyIsToldOnlyWithUpgrades) {
  const HeaderMap upgrade = {{":method", "GET"}, {":path", "/"}, {"upgrade", "websocket"}};
  for (const bool upgrades : {false, true}) {
    settings().upgrades = upgrades;
    if (!stage_->host) stage_->connect();
    stage_->turn();
    stream_ = std::make_unique<WatchedStream>(*stage_);
    stream_->headers(kReq, upgrade, false);
    stream_->data(kReq, "frames", false);
    hear();
    EXPECT_EQ(heard_[0].has(wire::HeadersFlag_Upgrade), !upgrades);
    EXPECT_EQ(body(kReq), upgrades ? "frames" : "");
    stream_->destroy();
    hear();
  }
}

}  // namespace
}  // namespace tsf::core::test
