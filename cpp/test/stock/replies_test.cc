// Replies of the host in the place of a response.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

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

// Somebody before us has answered a request that waits with us, and our filter answers in that one's place.
TEST_F(StreamTest, AReplyInAnAnswersPlaceHasNothingOfTheAnswer) {
  for (const bool shared_flag : {false, true}) {
    SCOPED_TRACE(shared_flag);
    close();
    options_.shared_flag = shared_flag;
    SetUp();
    connect_and_open();
    envoy().headers(kRes, kOk, false);
    turn();
    ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed({{":status", "418"}}), false));
    turn();
    envoy().data(kRes, "", false);
    envoy().data(kRes, "theirs", false);
    turn();
    EXPECT_FALSE(envoy().downstream().headers.has_value());
    ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "ours", true));
    turn();
    EXPECT_EQ(envoy().downstream().headers->front().second, "418");
    EXPECT_EQ(envoy().downstream().body, "ours");
  }
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

}  // namespace
}  // namespace tsf::core::test
