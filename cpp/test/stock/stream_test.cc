// The life of a stream, row by row of docs/lifecycle.md: its beginning, what passes, its routes.
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
  envoy().show(HeaderType::kRequest, kGet);
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

// Envoy's codec could not read the headers, and the connection ends in the same call.
TEST_F(StreamTest, AnAnswerWithoutAMapOfTheRequestIsNotHeld) {
  stage_->connect();
  EXPECT_TRUE(open(kRes, {{":status", "400"}}, false).empty());
  envoy().data(kRes, "Bad Request", true);
  EXPECT_EQ(envoy().downstream().header(":status"), "400");
  EXPECT_EQ(envoy().downstream().body, "Bad Request");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, AnAnswerToABodyThatCannotBeReadIsNotHeld) {
  connect_and_open();
  envoy().stream().on_local_reply("http1.codec_error");
  envoy().headers(kRes, {{":status", "400"}}, true);
  EXPECT_EQ(envoy().downstream().header(":status"), "400");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(StreamTest, AnyOtherAnswerOfEnvoysIsForTheFilter) {
  connect_and_open();
  envoy().stream().on_local_reply("request_timeout");
  envoy().headers(kRes, {{":status", "408"}}, true);
  EXPECT_FALSE(envoy().downstream().headers.has_value());
  answer(kRes, BodyMode_Pass);
  EXPECT_EQ(envoy().downstream().header(":status"), "408");
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
  EXPECT_EQ(envoy().route_clears, 1);
  EXPECT_EQ(envoy().route_refreshes, 1);
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
  pass_moment();
  const int in_memory = 8;  // Envoy's limit
  for (int i = 0; i < in_memory; ++i) envoy().data(kReq, std::string(4096, 'x'), false);
  EXPECT_EQ(envoy().buffered(kReq), 0u) << "the headers could not go without an empty frame behind them";
  for (int i = 0; i < 9; ++i) envoy().data(kReq, std::string(4096, 'x'), false);
  EXPECT_TRUE(envoy().paused(kReq));
  EXPECT_EQ(stage_->worker.pending(), in_memory * 4096);
  answer(kReq, BodyMode_Pass);
  EXPECT_FALSE(envoy().paused(kReq));
  EXPECT_EQ(envoy().upstream().body.size(), (in_memory + 9u) * 4096);
}

TEST_F(StreamTest, InTheFirstMomentTheBodyIsKeptSoThatItsEndCanComeIn) {
  connect_and_open();
  for (int i = 0; i < 9; ++i) envoy().data(kReq, std::string(4096, 'x'), false);
  EXPECT_FALSE(envoy().paused(kReq));
  EXPECT_EQ(stage_->worker.pending(), 9 * 4096);
  answer_now(HeaderType::kRequest, BodyMode_Pass);
  EXPECT_FALSE(envoy().upstream().headers.has_value()) << "a filter behind could stop the headers";
  envoy().data(kReq, "end", true);
  turn();
  EXPECT_EQ(envoy().upstream().body.size(), 9u * 4096 + 3) << "no moment is waited for once the end is here";
  EXPECT_EQ(envoy().upstream().frames, 1u) << "headers, body and end in one continue";
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, InTheFirstMomentNoMoreThan2MiBAreKept) {
  connect_and_open();
  constexpr int kPiece = 64 << 10;
  int pieces = 0;
  while (!envoy().paused(kReq) && pieces < 100) {
    envoy().data(kReq, std::string(kPiece, 'x'), false);
    ++pieces;
  }
  EXPECT_EQ(stage_->worker.pending(), 2 << 20);
  EXPECT_EQ(envoy().buffered(kReq), static_cast<size_t>(kPiece)) << "the rest pauses the peer";
  answer_now(HeaderType::kRequest, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body.size(), static_cast<size_t>(pieces) * kPiece) << "so much is no small message";
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

// Two filters on two listeners, say: each has streams of its own.
TEST_F(StreamTest, ASecondConfiguredFilterAloneMakesNoChain) {
  connect_and_open();
  const auto other = stage_->open();
  EXPECT_TRUE(stock::Chain::is_needed());
  const auto third = stage_->open();
  EXPECT_EQ(third->stream().chain(), nullptr);
}

TEST_F(StreamTest, AFilterThatCannotBeMadeLeavesNothingBehind) {
  connect_and_open();
  stock::Chain::count_logger(1);
  stage_->envoy_options.names_no_chain = true;
  EXPECT_THROW(stage_->open(), std::bad_alloc);
  stage_->envoy_options.names_no_chain = false;
  EXPECT_EQ(stock::Chain::find(1), nullptr);
  stock::Chain::count_logger(-1);
  stage_->lose();  // tells every stream of the worker
  turn();
  EXPECT_EQ(envoy().reply_details(), "ts_filter_host_lost");
}

}  // namespace
}  // namespace tsf::core::test
