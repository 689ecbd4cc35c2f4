// The life of a stream, row by row of docs/lifecycle.md and of the table of failures.
#include "core/stream.h"

#include <thread>

#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

// ---- beginning ----

TEST_F(StreamTest, TheFirstFrameTellsConfigFlagsAndHeaders) {
  restage({.phases = UINT32_MAX, .attributes = {3, 28, 67, 5}});
  stage_->connect();
  envoy_ = stage_->open();
  envoy().attributes = {{3, {Attribute::Kind::kString, "text", 0}},
                        {28, {Attribute::Kind::kInt, {}, 258}},
                        {67, {Attribute::Kind::kBool, {}, 1}}};
  envoy().headers(kReq, kGet, true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].kind, wire::FrameKind_Headers);
  EXPECT_EQ(heard[0].type, wire::HeaderType_Request);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start | wire::HeadersFlag_EndStream);
  EXPECT_EQ(heard[0].number, 42u);
  EXPECT_EQ(heard[0].route, 0u);
  EXPECT_EQ(heard[0].headers, kGet);
  const char expected[] = "\4\0\0\0text\10\0\0\0\2\1\0\0\0\0\0\0\1\0\0\0\1\xff\xff\xff\xff";
  EXPECT_EQ(heard[0].attributes, std::string(expected, sizeof expected - 1));
}

TEST_F(StreamTest, AGrpcRequestIsMarked) {
  stage_->connect();
  EXPECT_EQ(open(kReq, kGrpc, false)[0].flags, wire::HeadersFlag_Start | wire::HeadersFlag_Grpc);
}

TEST_F(StreamTest, APhaseThatNobodyHasIsNotSent) {
  restage({.phases = wire::Phase_EncodeHeaders});
  stage_->connect();
  EXPECT_TRUE(open(kReq, kPost, false).empty());
  envoy().data(kReq, "body", true);
  EXPECT_TRUE(hear().empty());
  EXPECT_EQ(envoy().upstream().body, "body");
  EXPECT_EQ(envoy().upstream().ends, 1);
  envoy().headers(kRes, kOk, false);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].type, wire::HeaderType_Response);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start) << "the first frame that the host sees of it";
}

TEST_F(StreamTest, AResponseWithoutARequestBringsTheRequestAsContext) {
  stage_->connect();
  envoy_ = stage_->open();
  envoy().headers(kRes, {{":status", "403"}}, false);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].type, wire::HeaderType_Request);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start | wire::HeadersFlag_Context);
  EXPECT_EQ(heard[1].type, wire::HeaderType_Response);
  id_ = heard[1].id();
  answer(kRes, BodyMode_Pass);
  EXPECT_EQ(envoy().downstream().header(":status"), "403");
}

TEST_F(StreamTest, TheFirstAnswersPhasesCountFromThenOn) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders);
  envoy().data(kReq, "x", false);
  envoy().trailers(kReq, {{"t", "1"}});
  envoy().headers(kRes, kOk, false);
  EXPECT_TRUE(hear().empty());
  EXPECT_EQ(envoy().upstream().ends, 1);
  EXPECT_TRUE(envoy().downstream().headers.has_value());
}

// ---- Pass ----

TEST_F(StreamTest, HeadersOnlyGoesOnWithItsEnd) {
  connect_and_open(kGet, true);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  answer(HeaderType::kRequest, BodyMode_Stream,
         {{wire::HeaderOp_Set, "x-a", "2"}, {wire::HeaderOp_Add, "x-b", "3"}, {wire::HeaderOp_Delete, "x-b", ""}});
  EXPECT_EQ(envoy().upstream().header("x-a"), "2");
  EXPECT_TRUE(envoy().upstream().headers_ended);
}

TEST_F(StreamTest, OperationsChangeTheHeldHeaders) {
  connect_and_open(kGet, true);
  answer(HeaderType::kRequest, BodyMode_Pass,
         {{wire::HeaderOp_Set, "x-a", "2"},
          {wire::HeaderOp_Add, "x-b", "3"},
          {wire::HeaderOp_Set, ":path", "/new"},
          {wire::HeaderOp_Delete, "x-b", ""},
          {wire::HeaderOp_ClearRouteCache, "", ""},
          {wire::HeaderOp_RefreshRouteCache, "", ""}});
  EXPECT_EQ(envoy().upstream().headers, (HeaderMap{{":method", "GET"}, {"x-a", "2"}, {":path", "/new"}}));
  EXPECT_TRUE(envoy().upstream().headers_ended);
  EXPECT_EQ(envoy().upstream().ends, 1);
  EXPECT_EQ(envoy().route_clears(), 1);
  EXPECT_EQ(envoy().route_refreshes(), 1);
}

TEST_F(StreamTest, OpsOutsideAnAnswerChangeHeadersOnlyWhileTheyAreHeld) {
  connect_and_open();
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest, {{wire::HeaderOp_Set, "early", "1"}}));
  turn();
  answer(kReq, BodyMode_Stream);
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest, {{wire::HeaderOp_Set, "late", "1"}}));
  turn();
  EXPECT_EQ(envoy().upstream().header("early"), "1");
  EXPECT_EQ(envoy().upstream().header("late"), "");
  EXPECT_FALSE(condemned());
}

TEST_F(StreamTest, PassSendsWhatHadGatheredAndThenNothingComesToTheHost) {
  connect_and_open();
  envoy().data(kReq, "one ", false);
  envoy().data(kReq, "two ", false);
  EXPECT_TRUE(hear().empty());
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "one two ");
  envoy().data(kReq, "three", true);
  EXPECT_EQ(envoy().upstream().body, "one two three");
  EXPECT_EQ(envoy().upstream().ends, 1);
  EXPECT_TRUE(hear().empty());
}

TEST_F(StreamTest, WhileTheHostThinksTheBodyPausesThePeer) {
  connect_and_open();
  for (int i = 0; i < 9; ++i) envoy().data(kReq, std::string(4096, 'x'), false);
  EXPECT_TRUE(envoy().paused(kReq));
  EXPECT_EQ(stage_->worker.pending(), 0);
  answer(kReq, BodyMode_Pass);
  EXPECT_FALSE(envoy().paused(kReq));
  EXPECT_EQ(envoy().upstream().body.size(), 9u * 4096);
}

TEST_F(StreamTest, AddedBytesGoBeforeTheBody) {
  connect_and_open();
  envoy().data(kReq, "body", false);
  output(kReq, 0, "added ", OutputFlag_Added);
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "added body");
}

TEST_F(StreamTest, AddedBytesMakeABodyOfHeadersOnly) {
  connect_and_open(kGet, true);
  output(kReq, 0, "made", OutputFlag_Added);
  answer(kReq, BodyMode_Pass);
  EXPECT_FALSE(envoy().upstream().headers_ended);
  EXPECT_EQ(envoy().upstream().body, "made");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersBehindAPassedBodyAreAskedForWhenTheFilterHasThem) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_DecodeTrailers);
  envoy().data(kReq, "body", false);
  envoy().trailers(kReq, {{"t", "1"}});
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].type, wire::HeaderType_RequestTrailers);
  EXPECT_FALSE(envoy().upstream().trailers.has_value());
  answer(HeaderType::kRequestTrailers, BodyMode_Pass, {{wire::HeaderOp_Add, "u", "2"}});
  EXPECT_EQ(envoy().upstream().body, "body");
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "1"}, {"u", "2"}}));
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersThatCameBeforeTheAnswerAreAskedForToo) {
  connect_and_open();
  envoy().data(kReq, "body", false);
  envoy().trailers(kReq, {{"t", "1"}});
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_DecodeTrailers);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u) << "decodeTrailers must not be skipped because the trailers were quick";
  EXPECT_EQ(heard[0].type, wire::HeaderType_RequestTrailers);
  EXPECT_FALSE(envoy().upstream().trailers.has_value());
  answer(HeaderType::kRequestTrailers, BodyMode_Pass, {{wire::HeaderOp_Add, "u", "2"}});
  EXPECT_EQ(envoy().upstream().body, "body");
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "1"}, {"u", "2"}}));
}

TEST_F(StreamTest, TrailersOfOneWhoHasOnlyTrailersHooksAreAskedFor) {
  restage({.phases = wire::Phase_EncodeTrailers});
  stage_->connect();
  open(kReq, kGet, true);
  envoy().headers(kRes, kOk, false);
  envoy().data(kRes, "body", false);
  envoy().trailers(kRes, {{"grpc-status", "0"}});
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start);
  id_ = heard[0].id();
  answer(HeaderType::kResponseTrailers, BodyMode_Pass, {{wire::HeaderOp_Set, "x", "y"}});
  EXPECT_EQ(envoy().downstream().trailers, (HeaderMap{{"grpc-status", "0"}, {"x", "y"}}));
}

// ---- Stream ----

TEST_F(StreamTest, StreamLetsTheHeadersGoAtOnceWhenNoInputWaits) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  envoy().data(kReq, "abc", false);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].bytes, "abc");
  EXPECT_EQ(heard[0].flags, 0);
  EXPECT_EQ(envoy().upstream().body, "");
  output(kReq, 3, "ABC", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "ABC");
}

TEST_F(StreamTest, StreamWithInputAtHandSendsHeadersWithTheFirstPush) {
  connect_and_open();
  envoy().data(kReq, "abc", false);
  answer(kReq, BodyMode_Stream);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  EXPECT_EQ(join(hear(), kReq), "abc");
  output(kReq, 3, "ABC", OutputFlag_Digested);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  EXPECT_EQ(envoy().upstream().body, "ABC");
}

TEST_F(StreamTest, StreamHoldKeepsTheHeadersForTheFirstOutput) {
  connect_and_open();
  answer(kReq, BodyMode_StreamHold);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "", OutputFlag_Digested);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest, {{wire::HeaderOp_Set, "late", "yes"}}));
  output(kReq, 0, "out", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().header("late"), "yes");
  EXPECT_EQ(envoy().upstream().body, "out");
}

TEST_F(StreamTest, ReleaseLetsHeldHeadersGoWithoutOutput) {
  connect_and_open();
  answer(kReq, BodyMode_StreamHold);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "", OutputFlag_Digested);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  output(kReq, 0, "", static_cast<uint8_t>(wire::OutputFlag_Release | OutputFlag_Digested));
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  EXPECT_EQ(envoy().upstream().body, "");
}

TEST_F(StreamTest, TheEndOfTheInputComesWithTheLastBytes) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].bytes, "abc");
  EXPECT_TRUE(heard[0].has(wire::DataFlag_Last));
  output(kReq, 3, "A", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "") << "one continue is left, it is for the end";
  output(kReq, 0, "BC", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, AnEmptyLastFrameEndsTheStreamToo) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "ABC", OutputFlag_Digested);
  envoy().data(kReq, "", true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].has(wire::DataFlag_Last));
  output(kReq, 0, "", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TheWindowBoundsWhatTheHostHasAndEnvoyPausesThePeer) {
  settings().stream_window = 10000;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  std::string sent;
  while (!envoy().paused(kReq) && sent.size() < (1 << 20)) {
    std::string piece(3000, static_cast<char>('a' + sent.size() % 26));
    envoy().data(kReq, piece, false);
    sent += piece;
  }
  EXPECT_LE(sent.size(), 10000u + (32 << 10) + 6000);
  std::string got = join(hear(), kReq);
  EXPECT_EQ(got.size(), 10000u);
  for (int i = 0; i < 20 && got.size() < sent.size(); ++i) {
    output(kReq, 5000, "", 0);
    got += join(hear(), kReq);
    EXPECT_LE(got.size(), 10000u + 5000u * (i + 1));
  }
  EXPECT_EQ(got, sent);
  EXPECT_FALSE(envoy().paused(kReq));
}

TEST_F(StreamTest, APushWithUnreadInputMovesThatInputToOurMemory) {
  settings().stream_window = 4096;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, std::string(6000, 'x'), false);
  EXPECT_EQ(join(hear(), kReq).size(), 4096u);
  EXPECT_EQ(envoy().buffered(kReq), 1904u);
  output(kReq, 0, "out", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "out");
  EXPECT_EQ(stage_->worker.pending(), 1904);
  output(kReq, 4096, "", 0);
  EXPECT_EQ(join(hear(), kReq).size(), 1904u);
  EXPECT_EQ(stage_->worker.pending(), 0);
}

TEST_F(StreamTest, OutputThatCannotGoWaitsForTheNextFrame) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "1", false);
  hear();
  output(kReq, 1, "one", OutputFlag_Digested);
  output(kReq, 0, "two", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "one") << "one push for each hook";
  EXPECT_EQ(stage_->worker.pending(), 3);
  envoy().data(kReq, "2", false);
  hear();
  output(kReq, 1, "", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "onetwo");
}

TEST_F(StreamTest, LastEarlyDrainsTheRestOfTheInput) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "done", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "done");
  EXPECT_EQ(envoy().upstream().ends, 0);
  for (int i = 0; i < 20; ++i) envoy().data(kReq, std::string(5000, 'x'), false);
  EXPECT_FALSE(envoy().paused(kReq));
  EXPECT_TRUE(hear().empty());
  envoy().data(kReq, "x", true);
  const auto heard = hear();
  ASSERT_LE(heard.size(), 1u);
  EXPECT_EQ(envoy().upstream().body, "done");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, BypassLetsTheRestFlowPast) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abcdef", false);
  hear();
  output(kReq, 3, "ABC", OutputFlag_Bypass | OutputFlag_Digested);
  envoy().data(kReq, "ghi", false);
  EXPECT_TRUE(hear().empty());
  output(kReq, 3, "def", OutputFlag_Digested);
  envoy().data(kReq, "jkl", false);
  turn();
  envoy().data(kReq, "mno", true);
  turn();
  EXPECT_EQ(envoy().upstream().body, "ABCdefghijklmno");
  EXPECT_EQ(envoy().upstream().ends, 1);
  EXPECT_TRUE(hear().empty());
}

TEST_F(StreamTest, BypassWithTheInputEndedSendsTheRestAndTheEnd) {
  settings().stream_window = 4096;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  const std::string body = std::string(4096, 'a') + std::string(4000, 'b');
  envoy().data(kReq, body, true);
  hear();
  output(kReq, 4096, std::string(4096, 'A'), OutputFlag_Bypass);
  EXPECT_EQ(envoy().upstream().body, std::string(4096, 'A') + std::string(4000, 'b'));
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, ABodyLargerThanAFrameComesInFrames) {
  restage({.ring_bytes = 1 << 20});
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  std::string body(200000, 'x');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  stage_->envoy_options.slice = 1 << 20;
  envoy().data(kReq, body, false);
  EXPECT_EQ(join(hear(), kReq), body);
}

// ---- trailers of hosted bodies ----

TEST_F(StreamTest, TrailersFollowTheLastDataAndTheLastOutput) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  envoy().trailers(kReq, {{"t", "1"}});
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_EQ(heard[0].bytes, "abc");
  EXPECT_EQ(heard[1].flags & (wire::DataFlag_Last | wire::DataFlag_Trailers),
            wire::DataFlag_Last | wire::DataFlag_Trailers);
  EXPECT_EQ(heard[2].type, wire::HeaderType_RequestTrailers);
  EXPECT_EQ(heard[2].headers, (HeaderMap{{"t", "1"}}));
  answer(HeaderType::kRequestTrailers, BodyMode_Pass, {{wire::HeaderOp_Set, "t", "2"}});
  EXPECT_FALSE(envoy().upstream().trailers.has_value()) << "the output is not complete";
  output(kReq, 3, "ABC", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "2"}}));
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersWithoutABodyAreTold) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().trailers(kReq, {{"t", "1"}});
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].bytes, "");
  output(kReq, 0, "", OutputFlag_Last);
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersOfABypassedBodyAreTold) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 0, "", OutputFlag_Bypass);
  envoy().trailers(kReq, {{"t", "1"}});
  turn();
  output(kReq, 3, "abc", 0);
  const auto heard = hear();
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard.back().type, wire::HeaderType_RequestTrailers);
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "abc");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersOfAHostedBodyThatAreNotAnsweredTimeOut) {
  settings().message_timeout = Millis(20);
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  envoy().trailers(kReq, {{"t", "1"}});
  hear();
  output(kReq, 3, "ABC", OutputFlag_Last);
  pass_time(40);
  EXPECT_TRUE(envoy().gone()) << "the host never answers the trailers: nothing may hang";
}

// ---- Whole ----

TEST_F(StreamTest, AWholeBodyIsSentAtItsEnd) {
  connect_and_open();
  envoy().data(kReq, "one ", false);
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "two ", false);
  EXPECT_TRUE(hear().empty());
  EXPECT_EQ(envoy().buffered(kReq), 0u);
  EXPECT_EQ(stage_->worker.pending(), 8);
  envoy().data(kReq, "three", true);
  const auto heard = hear();
  EXPECT_EQ(join(heard, kReq), "one two three");
  EXPECT_TRUE(heard.back().has(wire::DataFlag_Last));
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  output(kReq, 13, "whole", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "whole");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, AWholeBodyWithTrailers) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "body", false);
  envoy().trailers(kReq, {{"t", "1"}});
  const auto heard = hear();
  EXPECT_EQ(join(heard, kReq), "body");
  EXPECT_EQ(heard.back().type, wire::HeaderType_RequestTrailers);
  output(kReq, 4, "BODY", OutputFlag_Last);
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "BODY");
  EXPECT_TRUE(envoy().upstream().trailers.has_value());
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, ARequestOverMaxBodyBytesGets413) {
  settings().max_body_bytes = 1000;
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {}, wire::Phase_DecodeData);
  envoy().data(kReq, std::string(1000, 'x'), false);
  turn();
  EXPECT_FALSE(envoy().gone());
  envoy().data(kReq, "y", false);
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "413");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_body_too_large");
}

TEST_F(StreamTest, ABodyThatWasTooLargeBeforeTheAnswerGets413) {
  settings().max_body_bytes = 1000;
  connect_and_open();
  envoy().data(kReq, std::string(1001, 'x'), true);
  answer(HeaderType::kRequest, BodyMode_Whole, {}, wire::Phase_DecodeData);
  EXPECT_EQ(envoy().downstream().header(":status"), "413");
}

TEST_F(StreamTest, AResponseOverMaxBodyBytesGets500) {
  settings().max_body_bytes = 1000;
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(kRes, BodyMode_Whole);
  envoy().data(kRes, std::string(1001, 'x'), false);
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "500");
}

TEST_F(StreamTest, AWholeBodyIsTimedFromItsEnd) {
  settings().message_timeout = Millis(20);
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "x", false);
  pass_time(40);
  EXPECT_FALSE(envoy().gone()) << "the client may be slow";
  envoy().data(kReq, "y", true);
  pass_time(40);
  EXPECT_EQ(envoy().downstream().header(":status"), "504");
}

// ---- limits ----

TEST_F(StreamTest, OutputThatEnvoyCannotTakeIsBounded) {
  settings().max_pending_output = 65536;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  for (int i = 0; i < 17 && !envoy().gone(); ++i) output(kReq, 0, std::string(4096, 'x'), 0);
  EXPECT_EQ(envoy().reset_details(), "TSF_OUTPUT_LIMIT");
  EXPECT_EQ(stage_->worker.pending(), 0);
}

TEST_F(StreamTest, OutputOfAllStreamsTogetherIsBounded) {
  settings().max_pending_total = 65536;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  const StreamId first_id = id_;
  auto first_envoy = std::move(envoy_);
  open(kReq, kPost, false);
  answer(kReq, BodyMode_Stream);
  ASSERT_TRUE(host().output(first_id, kReq, 0, std::string(40000, 'x'), 0));
  turn();
  EXPECT_FALSE(first_envoy->gone());
  output(kReq, 0, std::string(40000, 'x'), 0);
  EXPECT_EQ(envoy().reset_details(), "TSF_OUTPUT_LIMIT");
  EXPECT_FALSE(first_envoy->gone());
  first_envoy.reset();
}

TEST_F(StreamTest, HeadersOverMaxHeaderBytesAreRefused) {
  settings().max_header_bytes = 2000;
  stage_->connect();
  envoy_ = stage_->open();
  envoy().headers(kReq, {{"a", std::string(1000, 'x')}, {"b", std::string(1000, 'x')}}, true);
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "431");
}

TEST_F(StreamTest, AHeaderBlockThatNoFrameHoldsIsSplitOverSeveral) {
  restage({.ring_bytes = 64 << 10});
  HeaderMap many = kPost;
  for (int i = 0; i < 300; ++i) many.emplace_back("x-" + std::to_string(i), std::string(100, 'v'));
  stage_->connect();
  envoy_ = stage_->open();
  envoy().headers(kReq, many, false);
  HeaderMap got;
  int frames = 0;
  for (const auto& f : hear()) {
    ASSERT_EQ(f.kind, wire::FrameKind_Headers);
    EXPECT_EQ(f.has(wire::HeadersFlag_Start), frames == 0);
    ++frames;
    got.insert(got.end(), f.headers.begin(), f.headers.end());
    EXPECT_EQ(f.has(wire::HeadersFlag_More), got.size() < many.size());
    id_ = f.id();
  }
  EXPECT_GT(frames, 1);
  EXPECT_EQ(got, many);
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().headers, many);
}

TEST_F(StreamTest, AFullRingIsBackPressureAndNeverLoss) {
  restage({.ring_bytes = 64 << 10});
  settings().stream_window = 1 << 20;
  stage_->connect();
  open(kReq, kPost, false);
  answer(kReq, BodyMode_Stream);
  std::string sent;
  for (int i = 0; i < 60; ++i) {
    std::string piece(3000, static_cast<char>('a' + i % 26));
    envoy().data(kReq, piece, i == 59);
    sent += piece;
  }
  std::string got;
  for (int i = 0; i < 200; ++i) {
    for (const auto& f : host().read(2)) got += f.bytes;
    turn();
  }
  EXPECT_EQ(got, sent);
}

TEST_F(StreamTest, HeadersThatFindNoRoomGoWhenThereIsSome) {
  restage({.ring_bytes = 64 << 10});
  stage_->connect();
  std::vector<std::unique_ptr<FakeEnvoy>> others;
  for (int i = 0; i < 10; ++i) {
    others.push_back(stage_->open());
    others.back()->headers(kReq, {{":method", "GET"}, {"x", std::string(7000, 'x')}}, true);
  }
  size_t heard = 0;
  for (int i = 0; i < 20; ++i) {
    heard += host().read(1).size();
    turn();
  }
  EXPECT_EQ(heard, 10u);
  others.clear();
}

// ---- failures: closed ----

TEST_F(StreamTest, WithoutAHostARequestGets503) {
  open(kReq, kPost, false);
  EXPECT_FALSE(envoy().gone()) << "never inside the hook";
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_no_host");
  EXPECT_FALSE(envoy().upstream().headers.has_value());
}

TEST_F(StreamTest, HostWaitBridgesAGap) {
  settings().host_wait = Millis(5000);
  open(kReq, kPost, false);
  envoy().data(kReq, "early", true);
  turn();
  EXPECT_FALSE(envoy().gone());
  stage_->connect();
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].has(wire::HeadersFlag_Start));
  id_ = heard[0].id();
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "early");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, HostWaitEnds) {
  settings().host_wait = Millis(20);
  open(kReq, kPost, false);
  turn();
  EXPECT_FALSE(envoy().gone());
  pass_time(30);
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
}

TEST_F(StreamTest, ARefusedConfigGets500) {
  stage_->accepted = false;
  stage_->connect();
  open(kReq, kPost, false);
  EXPECT_EQ(envoy().downstream().header(":status"), "500");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_config_rejected");
}

TEST_F(StreamTest, NoAnswerToRequestHeadersIsA504) {
  settings().message_timeout = Millis(20);
  connect_and_open();
  pass_time(40);
  EXPECT_EQ(envoy().downstream().header(":status"), "504");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_timeout");
  const auto heard = hear();
  ASSERT_NE(first(heard, wire::FrameKind_End), nullptr);
  EXPECT_EQ(first(heard, wire::FrameKind_End)->type, wire::EndReason_Timeout);
}

TEST_F(StreamTest, NoAnswerToResponseHeadersIsA504) {
  settings().message_timeout = Millis(20);
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  pass_time(40);
  EXPECT_EQ(envoy().downstream().header(":status"), "504");
}

TEST_F(StreamTest, NoAnswerToTrailersBehindSentHeadersIsAReset) {
  settings().message_timeout = Millis(20);
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(HeaderType::kResponse, BodyMode_Pass, {}, wire::Phase_EncodeHeaders | wire::Phase_EncodeTrailers);
  envoy().data(kRes, "x", false);
  envoy().trailers(kRes, {{"t", "1"}});
  hear();
  pass_time(40);
  EXPECT_EQ(envoy().reset_details(), "ts_filter_timeout");
}

TEST_F(StreamTest, AStreamedBodyHasNoTimeout) {
  settings().message_timeout = Millis(20);
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  pass_time(40);
  EXPECT_FALSE(envoy().gone());
}

TEST_F(StreamTest, AHookOfAChainIsTimedFromItsMark) {
  settings().message_timeout = Millis(20);
  connect_and_open();
  answer(kReq, BodyMode_StreamHold);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "", wire::OutputFlag_Timed);
  output(kReq, 0, "", 0);  // it has answered
  pass_time(40);
  EXPECT_FALSE(envoy().gone());
  output(kReq, 0, "", wire::OutputFlag_Timed);
  pass_time(40);
  EXPECT_EQ(envoy().downstream().header(":status"), "504");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_timeout");
}

TEST_F(StreamTest, ExtendGivesMoreTime) {
  settings().message_timeout = Millis(30);
  connect_and_open();
  ASSERT_TRUE(host().extend(id_, 60'000));
  turn();
  pass_time(50);
  EXPECT_FALSE(envoy().gone());
  answer(kReq, BodyMode_Pass);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

TEST_F(StreamTest, ExtendingWithoutEndDoesNotOverflow) {
  connect_and_open();
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(host().extend(id_, UINT32_MAX));
    if (i % 50 == 0) turn();
  }
  turn();
  EXPECT_FALSE(envoy().gone());
  answer(kReq, BodyMode_Pass);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

TEST_F(StreamTest, AHostLostBeforeTheAnswerIsA503) {
  connect_and_open();
  stage_->lose();
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_host_lost");
}

TEST_F(StreamTest, AHostLostWithAWholeRequestIsA503) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "abc", true);
  hear();
  stage_->lose();
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
}

TEST_F(StreamTest, AHostLostInAStreamedRequestIsA502WhenNothingWentDown) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  stage_->lose();
  EXPECT_EQ(envoy().downstream().header(":status"), "502");
}

TEST_F(StreamTest, AHostLostInAStreamedRequestIsAResetWhenTheResponseHasBegun) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Stream, {}, wire::Phase_DecodeHeaders | wire::Phase_TransformRequest);
  envoy().data(kReq, "abc", false);
  respond();
  EXPECT_TRUE(envoy().downstream().headers.has_value());
  stage_->lose();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_host_lost");
}

TEST_F(StreamTest, AHostLostBeforeTheResponsesAnswerIsA502) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  stage_->lose();
  EXPECT_EQ(envoy().downstream().header(":status"), "502");
}

TEST_F(StreamTest, AHostLostInAStreamedResponseIsAReset) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(kRes, BodyMode_Stream);
  envoy().data(kRes, "abc", false);
  hear();
  stage_->lose();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_host_lost");
}

TEST_F(StreamTest, AHostLostBeforeItAnswersTrailersIsAReset) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(kRes, BodyMode_Stream);
  envoy().trailers(kRes, {{"t", "1"}});
  hear();
  output(kRes, 0, "", OutputFlag_Last);
  stage_->lose();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_host_lost");
}

TEST_F(StreamTest, AHostLostAfterItLetGoHarmsNobody) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders);
  stage_->lose();
  envoy().data(kReq, "body", true);
  envoy().headers(kRes, kOk, false);
  envoy().data(kRes, "response", true);
  EXPECT_EQ(envoy().upstream().body, "body");
  EXPECT_EQ(envoy().downstream().body, "response");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, AHostLostAfterTheOutputIsCompleteHarmsNobody) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Stream, {}, wire::Phase_DecodeHeaders | wire::Phase_TransformRequest);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "ABC", OutputFlag_Last);
  stage_->lose();
  EXPECT_FALSE(envoy().gone());
  envoy().data(kReq, "rest", true);
  turn();
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, AStreamOfALostHostGetsNoResponseHookOfTheNext) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  stage_->lose();
  stage_->connect();
  envoy().headers(kRes, kOk, true);
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "502");
  EXPECT_TRUE(host().read().empty());
}

TEST_F(StreamTest, AHostThatStopsReadingIsLost) {
  stage_->link.stall = nanos(Millis(20));
  stage_->connect();
  envoy_ = stage_->open();
  envoy().headers(kReq, kPost, false);
  pass_time(30);
  pass_time(30);
  EXPECT_TRUE(condemned());
  turn();  // the link wakes the worker for it
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
}

TEST_F(StreamTest, AFilterThatFailsIsA500) {
  connect_and_open();
  ASSERT_TRUE(host().fail(id_, HeaderType::kRequest, "boom\nline"));
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "500");
  EXPECT_EQ(envoy().downstream().body, "error happened in filter\r\n");
  EXPECT_TRUE(stage_->process.logged("filter tested failed: boom line"));
}

TEST_F(StreamTest, AFilterThatFailsLateIsAReset) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(kRes, BodyMode_Stream);
  ASSERT_TRUE(host().fail(id_, HeaderType::kResponse, "boom"));
  turn();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_error_late");
}

TEST_F(StreamTest, RepliesToGrpcRequestsCarryAGrpcStatus) {
  stage_->connect();
  open(kReq, kGrpc, false);
  ASSERT_TRUE(host().fail(id_, HeaderType::kRequest, "boom"));
  turn();
  EXPECT_EQ(envoy().downstream().header("grpc-status"), "13");
  envoy_.reset();
  open(kReq, kGrpc, false);
  stage_->lose();
  EXPECT_EQ(envoy().downstream().header("grpc-status"), "14");
  envoy_.reset();
  stage_->connect();
  settings().message_timeout = Millis(10);
  open(kReq, kGrpc, false);
  pass_time(20);
  EXPECT_EQ(envoy().downstream().header("grpc-status"), "4");
}

// ---- failures: open ----

class OpenStreamTest : public StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    settings().failure_mode = FailureMode::kOpen;
    settings().message_timeout = Millis(20);
  }
  void run_through() {
    envoy().data(kReq, " more", true);
    turn();
    EXPECT_EQ(envoy().upstream().body, "some more");
    EXPECT_EQ(envoy().upstream().ends, 1);
    envoy().headers(kRes, kOk, false);
    envoy().data(kRes, "response", true);
    turn();
    EXPECT_EQ(envoy().downstream().header(":status"), "200");
    EXPECT_EQ(envoy().downstream().body, "response");
    EXPECT_EQ(envoy().downstream().ends, 1);
  }
};

TEST_F(OpenStreamTest, WithoutAHostEverythingPasses) {
  open(kReq, kPost, false);
  envoy().data(kReq, "some", false);
  turn();
  run_through();
}

TEST_F(OpenStreamTest, ARefusedConfigPasses) {
  stage_->accepted = false;
  connect_and_open();
  envoy().data(kReq, "some", false);
  turn();
  run_through();
}

TEST_F(OpenStreamTest, AHostLostBeforeTheAnswerPasses) {
  connect_and_open();
  envoy().data(kReq, "some", false);
  stage_->lose();
  run_through();
}

TEST_F(OpenStreamTest, AnAnswerThatIsLatePasses) {
  connect_and_open();
  envoy().data(kReq, "some", false);
  pass_time(30);
  run_through();
}

TEST_F(OpenStreamTest, AfterLettingGoNothingThatTheHostSaysCounts) {
  connect_and_open();
  envoy().data(kReq, "some", false);
  pass_time(30);
  ASSERT_TRUE(host().answer(id_, HeaderType::kRequest, BodyMode_Stream, {{wire::HeaderOp_Set, "x", "y"}}, 0x7ff));
  ASSERT_TRUE(host().output(id_, kReq, 0, "OUTPUT", OutputFlag_Last));
  ASSERT_TRUE(host().local_reply(id_, 403, {}, "no"));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), true));
  ASSERT_TRUE(host().fail(id_, HeaderType::kRequest, "late"));
  turn();
  EXPECT_FALSE(envoy().gone());
  run_through();
  EXPECT_FALSE(condemned());
}

TEST_F(OpenStreamTest, AHostLostWithAWholeBodySendsTheOriginal) {
  connect_and_open();
  envoy().data(kReq, "some", false);
  answer(kReq, BodyMode_Whole);
  stage_->lose();
  run_through();
}

TEST_F(OpenStreamTest, AHostLostWithAWholeBodyThatItHadAlreadySendsTheOriginal) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "some more", true);
  EXPECT_EQ(join(hear(), kReq), "some more");
  stage_->lose();
  EXPECT_EQ(envoy().upstream().body, "some more");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(OpenStreamTest, AHostLostAfterOutputOfAWholeBodyNeverSendsTheBodyTwice) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "some", false);
  output(kReq, 0, "pushed", OutputFlag_Digested);
  stage_->lose();
  EXPECT_TRUE(envoy().gone()) << envoy().upstream().body;
}

TEST_F(OpenStreamTest, AHostLostInAStreamedBodyIsAFailureAllTheSame) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "some", false);
  hear();
  stage_->lose();
  EXPECT_EQ(envoy().downstream().header(":status"), "502");
}

TEST_F(OpenStreamTest, AHostLostBeforeTheResponsesAnswerPasses) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  envoy().data(kRes, "some", false);
  stage_->lose();
  envoy().data(kRes, " more", true);
  EXPECT_EQ(envoy().downstream().body, "some more");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(OpenStreamTest, TrailersUnansweredPass) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_DecodeTrailers);
  envoy().data(kReq, "some", false);
  envoy().trailers(kReq, {{"t", "1"}});
  hear();
  stage_->lose();
  EXPECT_EQ(envoy().upstream().body, "some");
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "1"}}));
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(OpenStreamTest, AResponseLetGoLeavesNoRequestBodyBehind) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "some", false);
  respond();
  pass_time(30);
  envoy().data(kReq, " more", false);
  turn();
  envoy().data(kReq, " and more", true);
  turn();
  EXPECT_TRUE(envoy().gone()) << "the request's body is half with a filter that is out of this stream";
}

TEST_F(OpenStreamTest, AFilterThatFailsIsA500AllTheSame) {
  connect_and_open();
  ASSERT_TRUE(host().fail(id_, HeaderType::kRequest, "boom"));
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "500");
}

// ---- replies ----

TEST_F(StreamTest, ALocalReplyIsSentAndTheRequestIsDrained) {
  connect_and_open();
  ASSERT_TRUE(host().local_reply(id_, 403, {{"x-why", "because"}}, "no", "my_details"));
  turn();
  EXPECT_EQ(envoy().downstream().headers, (HeaderMap{{":status", "403"}, {"x-why", "because"}}));
  EXPECT_EQ(envoy().downstream().body, "no");
  EXPECT_EQ(envoy().reply_details(), "my_details");
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, ALocalReplyToGrpcSaysSoByGrpcsStatus) {
  stage_->connect();
  open(kReq, kGrpc, false);
  ASSERT_TRUE(host().local_reply(id_, 403, {}, ""));
  turn();
  EXPECT_EQ(envoy().downstream().header("grpc-status"), "7");
  envoy_.reset();
  open(kReq, kGrpc, false);
  ASSERT_TRUE(host().local_reply(id_, 403, {}, "", "d", 9));
  turn();
  EXPECT_EQ(envoy().downstream().header("grpc-status"), "9");
}

TEST_F(StreamTest, ALocalReplyBeforeTheResponseHeadersWentReplacesThem) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  envoy().data(kRes, "upstream's", false);
  ASSERT_TRUE(host().local_reply(id_, 500, {}, "ours"));
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "500");
  EXPECT_EQ(envoy().downstream().body, "ours");
}

TEST_F(StreamTest, AReplyAfterTheResponseBeganIsAReset) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Stream, {}, wire::Phase_DecodeHeaders | wire::Phase_TransformRequest);
  respond();
  ASSERT_TRUE(host().local_reply(id_, 403, {}, "no"));
  turn();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_reply_late");
}

TEST_F(StreamTest, AStreamedReplyFollowsTheWatermarksAndGivesCredit) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "one ", false));
  auto heard = hear();
  EXPECT_EQ(envoy().downstream().body, "one ");
  ASSERT_NE(first(heard, wire::FrameKind_Credit), nullptr);
  EXPECT_EQ(first(heard, wire::FrameKind_Credit)->number, 4u);
  envoy().above_watermark();
  envoy().above_watermark();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "two ", false));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "three", true));
  heard = hear();
  EXPECT_EQ(first(heard, wire::FrameKind_Credit), nullptr);
  EXPECT_EQ(envoy().downstream().body, "one ");
  envoy().below_watermark();
  turn();
  EXPECT_EQ(envoy().downstream().body, "one ") << "one of two that are above";
  envoy().below_watermark();
  turn();
  EXPECT_EQ(envoy().downstream().body, "one two three");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, WhileAReplyStreamsTheRequestIsDrained) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  for (int i = 0; i < 20; ++i) envoy().data(kReq, std::string(4000, 'x'), i == 19);
  EXPECT_FALSE(envoy().paused(kReq));
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "still", true));
  turn();
  EXPECT_EQ(envoy().downstream().body, "still");
}

TEST_F(StreamTest, AStreamedReplyEndsWithTrailers) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  envoy().above_watermark();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "data", false));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Trailers, packed({{"grpc-status", "0"}}), true));
  turn();
  EXPECT_EQ(envoy().downstream().body, "data");
  EXPECT_EQ(envoy().downstream().trailers, (HeaderMap{{"grpc-status", "0"}}));
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, AStreamedReplyThatIsNotTakenIsBounded) {
  settings().max_pending_output = 65536;
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  envoy().above_watermark();
  for (int i = 0; i < 17; ++i) {
    host().reply(id_, wire::ReplyPart_Data, std::string(4096, 'x'), false);
    turn();
  }
  EXPECT_EQ(envoy().reset_details(), "TSF_OUTPUT_LIMIT");
}

TEST_F(StreamTest, AHostLostInAStreamedReplyIsAReset) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  stage_->lose();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_host_lost");
}

TEST_F(StreamTest, AHostLostAfterAllOfAReplyStillLetsItEnd) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  envoy().above_watermark();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "all", true));
  turn();
  stage_->lose();
  EXPECT_FALSE(envoy().gone());
  envoy().below_watermark();
  turn();
  EXPECT_EQ(envoy().downstream().body, "all");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, AFilterThatFailsInAStreamedReplyIsAReset) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  ASSERT_TRUE(host().fail(id_, HeaderType::kRequest, "boom"));
  turn();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_error_late");
}

TEST_F(StreamTest, AnUpstreamThatAnswersBehindAStreamedReplyIsNotMixedIntoIt) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "ours", false));
  turn();
  envoy().headers(kRes, {{":status", "404"}}, false);
  envoy().data(kRes, "the upstream's", false);
  turn();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, ", only", true));
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "200");
  EXPECT_EQ(envoy().downstream().body, "ours, only");
}

TEST_F(StreamTest, AStreamedReplyInPlaceOfAHeldResponseIsNotMixedWithIt) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  envoy().data(kRes, "upstream's ", false);
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "ours", false));
  turn();
  envoy().data(kRes, "more of it", true);
  turn();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, ", only", true));
  turn();
  EXPECT_EQ(envoy().downstream().body, "ours, only");
}

// ---- late and wrong ----

TEST_F(StreamTest, AnswersToAStreamThatIsGoneAreIgnored) {
  connect_and_open();
  const StreamId old = id_;
  envoy().disconnect();
  envoy_.reset();
  open(kReq, kPost, false);
  EXPECT_EQ(id_.slot, old.slot);
  EXPECT_NE(id_.generation, old.generation);
  ASSERT_TRUE(host().answer(old, HeaderType::kRequest, BodyMode_Pass));
  ASSERT_TRUE(host().output(old, kReq, 999, "x", OutputFlag_Last));
  ASSERT_TRUE(host().local_reply(old, 403, {}, "no"));
  ASSERT_TRUE(host().local_reply({99, 1}, 403, {}, "no"));
  turn();
  EXPECT_FALSE(condemned());
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  EXPECT_FALSE(envoy().gone());
}

TEST_F(StreamTest, AnAnswerCountsOnce) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Stream, {{wire::HeaderOp_Set, "x", "1"}});
  answer(HeaderType::kRequest, BodyMode_Pass, {{wire::HeaderOp_Set, "x", "2"}});
  envoy().data(kReq, "abc", false);
  EXPECT_EQ(join(hear(), kReq), "abc");
  EXPECT_EQ(envoy().upstream().header("x"), "1");
}

TEST_F(StreamTest, TheClientsGoingIsToldOnce) {
  connect_and_open();
  envoy().disconnect();
  const auto heard = hear();
  ASSERT_EQ(count(heard, wire::FrameKind_End), 1u);
  EXPECT_EQ(first(heard, wire::FrameKind_End)->type, wire::EndReason_Downstream);
  EXPECT_TRUE(hear().empty());
}

TEST_F(StreamTest, AHostCannotTouchTheStreamsOfAnother) {
  connect_and_open();
  const StreamId id = id_;
  auto mine = std::move(envoy_);
  stage_->connect();  // the old host drains and still has `mine`
  open(kReq, kPost, false);
  auto& old_host = *stage_->old_hosts[0];
  const StreamId other = id_;
  ASSERT_NE(other.slot, id.slot);
  ASSERT_TRUE(old_host.local_reply(other, 403, {}, "hostile"));
  ASSERT_TRUE(host().answer(id, HeaderType::kRequest, BodyMode_Pass, {{wire::HeaderOp_Set, "x", "hostile"}}));
  turn();
  EXPECT_FALSE(envoy().gone());
  EXPECT_FALSE(mine->upstream().headers.has_value());
  ASSERT_TRUE(old_host.answer(id, HeaderType::kRequest, BodyMode_Pass));
  turn();
  EXPECT_TRUE(mine->upstream().headers.has_value()) << "its own it may answer";
  mine.reset();
}

struct Malformed {
  const char* what;
  bool (*send)(ScriptedHost&, StreamId);
};
const Malformed kMalformed[] = {
    {"garbage", [](ScriptedHost& h, StreamId) { return h.raw(wire::FrameKind_Answer, "garbage, not a table"); }},
    {"nothing", [](ScriptedHost& h, StreamId) { return h.raw(wire::FrameKind_Output, ""); }},
    {"a type", [](ScriptedHost& h, StreamId id) { return h.answer(id, static_cast<HeaderType>(4), BodyMode_Pass); }},
    {"a mode", [](ScriptedHost& h, StreamId id) { return h.answer(id, HeaderType::kRequest, 4); }},
    {"a direction", [](ScriptedHost& h, StreamId id) { return h.output(id, static_cast<Dir>(2), 0, "", 0); }},
    {"bytes acknowledged that it never had",
     [](ScriptedHost& h, StreamId id) { return h.output(id, kReq, 1, "", OutputFlag_Added); }},
    {"output before the answer", [](ScriptedHost& h, StreamId id) { return h.output(id, kReq, 0, "x", 0); }},
    {"an operation",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{5, "a", "b"}});
     }},
    {"a name",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{0, "a b", "c"}});
     }},
    {"a value",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{0, "a", "b\r\nc: d"}});
     }},
    {"an empty value",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{1, "a", ""}});
     }},
    {"a pseudo-header",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{0, ":status", "200"}});
     }},
    {"a deleted :path",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{2, ":path", ""}});
     }},
    {"a status under 200", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 199, {}, ""); }},
    {"a status over 599", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 600, {}, ""); }},
    {"a gRPC status", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 200, {}, "", "d", 17); }},
    {"details with a line end", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 200, {}, "", "a\nb"); }},
    {"a reply's pseudo-header",
     [](ScriptedHost& h, StreamId id) {
       return h.local_reply(id, 200, {{":status", "1"}}, "");
     }},
    {"a reply without a status",
     [](ScriptedHost& h, StreamId id) {
       return h.reply(id, wire::ReplyPart_Headers, packed({{"a", "b"}}), false);
     }},
    {"a reply with a status of 101",
     [](ScriptedHost& h, StreamId id) {
       return h.reply(id, wire::ReplyPart_Headers, packed({{":status", "101"}}), false);
     }},
    {"a reply with nothing",
     [](ScriptedHost& h, StreamId id) { return h.reply(id, wire::ReplyPart_Headers, "", false); }},
    {"a reply's part", [](ScriptedHost& h, StreamId id) { return h.reply(id, 3, "", false); }},
    {"a broken block",
     [](ScriptedHost& h, StreamId id) { return h.reply(id, wire::ReplyPart_Trailers, "abc", false); }},
    {"a failure's type", [](ScriptedHost& h, StreamId id) { return h.fail(id, static_cast<HeaderType>(9), ""); }},
    {"a log level", [](ScriptedHost& h, StreamId) { return h.log(6, "x"); }},
};

TEST_F(StreamTest, AMalformedFrameCostsTheHostItsChannel) {
  for (const auto& malformed : kMalformed) {
    restage({});
    connect_and_open();
    ASSERT_TRUE(malformed.send(host(), id_)) << malformed.what;
    turn();
    EXPECT_TRUE(condemned()) << malformed.what;
    EXPECT_EQ(envoy().downstream().header(":status"), "503") << malformed.what;
    EXPECT_EQ(envoy().violations(), std::vector<std::string>{}) << malformed.what;
    envoy_.reset();
  }
}

TEST_F(StreamTest, AMalformedFrameIsFoundWithoutAnyStreamToo) {
  stage_->connect();
  turn();
  ASSERT_TRUE(host().log(9, "x"));
  turn();
  EXPECT_TRUE(condemned());
}

TEST_F(StreamTest, AFrameOfANewerHostIsIgnored) {
  connect_and_open();
  ASSERT_TRUE(host().raw(99, "whatever"));
  turn();
  EXPECT_FALSE(condemned());
}

TEST_F(StreamTest, TheHostsLogLinesAreCleaned) {
  stage_->connect();
  turn();
  ASSERT_TRUE(host().log(2, "a\nb\tc"));
  turn();
  EXPECT_TRUE(stage_->process.logged("ts_filter: a b c"));
}

TEST_F(StreamTest, QueriesAreAnsweredInOrder) {
  connect_and_open();
  envoy().attributes = {{3, {Attribute::Kind::kString, "text", 0}}, {28, {Attribute::Kind::kInt, {}, 1}}};
  ASSERT_TRUE(host().query(id_, 5, 3));
  ASSERT_TRUE(host().query(id_, 6, 99));
  ASSERT_TRUE(host().query(id_, 7, 28));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_EQ(heard[0].number, 5u);
  EXPECT_TRUE(heard[0].found);
  EXPECT_EQ(heard[0].bytes, "text");
  EXPECT_EQ(heard[1].number, 6u);
  EXPECT_FALSE(heard[1].found);
  EXPECT_EQ(heard[2].bytes, std::string("\1\0\0\0\0\0\0\0", 8));
}

// ---- both directions ----

TEST_F(StreamTest, BothDirectionsStreamAtOnce) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  respond();
  answer(kRes, BodyMode_Stream);
  for (int i = 0; i < 5; ++i) {
    envoy().data(kReq, "a", false);
    envoy().data(kRes, "b", false);
    const auto heard = hear();
    EXPECT_EQ(join(heard, kReq), "a");
    EXPECT_EQ(join(heard, kRes), "b");
    ASSERT_TRUE(host().output(id_, kRes, 1, "B", OutputFlag_Digested));
    ASSERT_TRUE(host().output(id_, kReq, 1, "A", OutputFlag_Digested));
    turn();
  }
  EXPECT_EQ(envoy().upstream().body, "AAAAA");
  EXPECT_EQ(envoy().downstream().body, "BBBBB");
}

// Envoy ends the stream inside what we do, or later; either way nothing is used after.
TEST_F(StreamTest, AStreamMayEndInsideEverythingWeDo) {
  for (const bool inside : {true, false}) {
    for (const std::string_view call : {"continue", "send_local_reply", "send_response_headers", "send_response_data",
                                        "send_response_trailers", "reset"}) {
      restage({});
      stage_->envoy_options.destroy_inside = inside;
      connect_and_open();
      envoy().on_move = [&](std::string_view what) {
        if (what == call) envoy().disconnect();
      };
      envoy().data(kReq, "body", true);
      if (call == "continue") {
        answer(kReq, BodyMode_Pass);
      } else if (call == "send_local_reply") {
        ASSERT_TRUE(host().local_reply(id_, 403, {}, "no"));
      } else if (call == "reset") {
        settings().max_pending_output = 0;
        ASSERT_TRUE(host().output(id_, kReq, 0, "x", OutputFlag_Added));
      } else {
        ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
        ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "data", false));
        ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Trailers, packed({{"a", "b"}}), true));
      }
      turn();
      EXPECT_TRUE(envoy().gone()) << call;
      envoy().flush();
      turn();
      EXPECT_EQ(envoy().violations(), std::vector<std::string>{}) << call;
      envoy_.reset();
      EXPECT_EQ(stage_->worker.pending(), 0);
    }
  }
}

TEST_F(StreamTest, AStreamMayEndInsideEachContinueOfATransform) {
  for (int nth = 1; nth <= 3; ++nth) {
    restage({});
    connect_and_open();
    int seen = 0;
    envoy().on_move = [&](std::string_view what) {
      if (what == "continue" && ++seen == nth) envoy().disconnect();
    };
    answer(kReq, BodyMode_Stream);
    envoy().data(kReq, "abc", false);
    hear();
    host().output(id_, kReq, 3, "ABC", OutputFlag_Digested);
    turn();
    envoy().data(kReq, "def", true);
    hear();
    host().output(id_, kReq, nth < 3 ? 0 : 3, "DEF", OutputFlag_Last);
    turn();
    EXPECT_TRUE(envoy().gone());
    EXPECT_EQ(envoy().violations(), std::vector<std::string>{});
    envoy_.reset();
  }
}

TEST_F(StreamTest, TheOtherStreamsGoOnWhenTheOneThatWakesTheWorkerDies) {
  connect_and_open();
  auto first_envoy = std::move(envoy_);
  open(kReq, kPost, false);
  const StreamId second = id_;
  ASSERT_TRUE(host().answer(second, HeaderType::kRequest, BodyMode_Pass));
  stage_->worker.wake();  // posted to the first
  first_envoy.reset();    // and lost with it
  for (int i = 0; i < 5; ++i) stage_->loop.turn(stage_->worker);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

// ---- Envoy 1.38: one continue flag for both directions ----

class SharedFlagTest : public StreamTest {
 protected:
  SharedFlagTest() { options_.shared_flag = true; }
};

TEST_F(SharedFlagTest, BothDirectionsStreamAtOnce) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  respond();
  answer(kRes, BodyMode_Stream);
  for (int i = 0; i < 5; ++i) {
    envoy().data(kReq, "a", false);
    envoy().data(kRes, "b", false);
    hear();
    ASSERT_TRUE(host().output(id_, kRes, 1, "B", OutputFlag_Digested));
    ASSERT_TRUE(host().output(id_, kReq, 1, "A", OutputFlag_Digested));
    turn();
  }
  EXPECT_EQ(envoy().upstream().body, "AAAAA");
  EXPECT_EQ(envoy().downstream().body, "BBBBB");
  EXPECT_EQ(envoy().ignored_continues(), 0);
}

TEST_F(SharedFlagTest, AnEchoGoesOnToItsEnd) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  respond();
  answer(kRes, BodyMode_Stream);
  envoy().data(kReq, "a", true);
  envoy().data(kRes, "b", false);
  hear();
  ASSERT_TRUE(host().output(id_, kReq, 1, "A", OutputFlag_Last));
  ASSERT_TRUE(host().output(id_, kRes, 1, "B", OutputFlag_Digested));
  turn();
  EXPECT_EQ(envoy().upstream().ends, 1);
  envoy().data(kRes, "c", true);
  hear();
  output(kRes, 1, "C", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "A");
  EXPECT_EQ(envoy().downstream().body, "BC");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(SharedFlagTest, AResponseThatPassesDoesNotDisarmAnUpload) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Stream, {}, wire::Phase_DecodeHeaders | wire::Phase_TransformRequest);
  envoy().data(kReq, "a", false);
  hear();
  envoy().headers(kRes, kOk, false);
  envoy().data(kRes, "early", false);
  output(kReq, 1, "A", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "A");
  EXPECT_EQ(envoy().ignored_continues(), 0);
  envoy().data(kRes, " late", false);
  EXPECT_EQ(envoy().downstream().body, "early late") << "the response is not held by what armed the flag again";
}

TEST_F(SharedFlagTest, AnEarlyHintInTheMiddleOfAnUploadDoesNotHangIt) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "a", false);
  hear();
  envoy().informational();
  output(kReq, 1, "A", OutputFlag_Digested);
  EXPECT_EQ(envoy().ignored_continues(), 1);
  envoy().data(kReq, "b", false);
  hear();
  output(kReq, 1, "B", OutputFlag_Digested);
  envoy().data(kReq, "c", true);
  hear();
  output(kReq, 1, "C", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(SharedFlagTest, AnEarlyHintBeforeTheLastContinueIsAResetAndNeverAHang) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "a", true);
  hear();
  envoy().informational();
  settings().message_timeout = Millis(20);
  output(kReq, 1, "A", OutputFlag_Last);
  pass_time(40);
  EXPECT_TRUE(envoy().gone());
  EXPECT_EQ(envoy().downstream().header(":status"), "502");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_continue_lost");
}

// Known and not mended: an empty last continue leaves nothing in Envoy's buffer by which its loss could be seen.
TEST_F(SharedFlagTest, DISABLED_AnEarlyHintBeforeAnEmptyLastContinueIsNoHangEither) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "a", false);
  hear();
  output(kReq, 1, "A", OutputFlag_Digested);
  envoy().data(kReq, "", true);
  hear();
  envoy().informational();
  settings().message_timeout = Millis(20);
  output(kReq, 0, "", OutputFlag_Last);
  pass_time(40);
  EXPECT_TRUE(envoy().gone() || envoy().upstream().ends == 1);
}

TEST_F(SharedFlagTest, AResponseMadeInsideOurContinuePassesAndTheLogSaysSo) {
  connect_and_open(kGet, true);
  envoy().on_upstream_headers = [&] {
    envoy().headers(kRes, {{":status", "404"}}, false);
    envoy().data(kRes, "no route", true);
  };
  answer(kReq, BodyMode_Pass);
  EXPECT_EQ(envoy().downstream().header(":status"), "404");
  EXPECT_EQ(envoy().downstream().body, "no route");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, AResponseMadeInsideOurContinueIsHeldWhereItCanBe) {
  connect_and_open(kGet, true);
  envoy().on_upstream_headers = [&] { envoy().headers(kRes, {{":status", "404"}}, true); };
  answer(kReq, BodyMode_Pass);
  EXPECT_FALSE(envoy().downstream().headers.has_value());
  hear();
  answer(HeaderType::kResponse, BodyMode_Pass, {{wire::HeaderOp_Set, "x", "seen"}});
  EXPECT_EQ(envoy().downstream().header("x"), "seen");
}

TEST_F(SharedFlagTest, AStreamedReplyPassesOurOwnHooks) {
  connect_and_open();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "data", true));
  turn();
  EXPECT_EQ(envoy().downstream().body, "data");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(SharedFlagTest, AResponseThatHasEndedGoesBeforeAnUploadNobodyReads) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "a", false);
  hear();
  respond();
  answer(kRes, BodyMode_Stream);
  envoy().data(kRes, "response", true);
  envoy().data(kReq, "b", false);
  hear();
  ASSERT_TRUE(host().output(id_, kReq, 2, "AB", OutputFlag_Digested));
  ASSERT_TRUE(host().output(id_, kRes, 8, "RESPONSE", OutputFlag_Last));
  turn();
  EXPECT_EQ(envoy().downstream().body, "RESPONSE");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(SharedFlagTest, TrailersOfAPassedUploadDoNotDisarmTheResponsesEnd) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {},
         wire::Phase_DecodeHeaders | wire::Phase_EncodeHeaders | wire::Phase_TransformResponse);
  envoy().data(kReq, "a", false);
  respond();
  answer(kRes, BodyMode_Stream);
  envoy().data(kRes, "response", true);
  hear();
  envoy().trailers(kReq, {{"t", "1"}});
  output(kRes, 8, "RESPONSE", OutputFlag_Last);
  EXPECT_EQ(envoy().downstream().body, "RESPONSE");
  EXPECT_EQ(envoy().downstream().ends, 1) << "the response hangs";
}

// ---- routes ----

TEST_F(StreamTest, ARoutesFailureModeAndTimeoutReplaceTheFilters) {
  RouteSettings route;
  route.failure_mode = FailureMode::kOpen;
  envoy_ = stage_->open();
  envoy().route = std::make_shared<RouteConfig>("tested", route);
  envoy().headers(kReq, kPost, false);
  turn();
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

}  // namespace
}  // namespace tsf::core::test
