// The table of failures: without a host, with one that is late, lost or fails, in both failure modes.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

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

TEST_F(StreamTest, AFilterThatCannotBeLoadedHasNoHostAtOnce) {
  settings().host_wait = Millis(60'000);
  stage_->accepted = false;
  stage_->unavailable = true;
  stage_->connect();
  open(kReq, kPost, false);
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_no_host");
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

TEST_F(StreamTest, HeadersThatAnUpgradeHoldsAreTimed) {
  settings().upgrades = true;
  settings().message_timeout = Millis(40);
  for (const uint8_t mode : {BodyMode_Whole, BodyMode_StreamHold}) {
    connect_and_open({{":method", "GET"}, {":path", "/"}, {"upgrade", "websocket"}});
    ASSERT_TRUE(host().answer(id_, HeaderType::kRequest, mode));
    turn();
    EXPECT_FALSE(envoy().gone());
    pass_time(60);
    EXPECT_EQ(envoy().downstream().header(":status"), "504");
    close();
  }
}

TEST_F(StreamTest, AnUpgradeThatHoldsNothingIsNotTimed) {
  settings().upgrades = true;
  settings().message_timeout = Millis(40);
  connect_and_open({{":method", "GET"}, {":path", "/"}, {"upgrade", "websocket"}});
  answer(HeaderType::kRequest, BodyMode_StreamHold);
  envoy().data(kReq, "a", false);
  hear();
  output(kReq, 1, "A", OutputFlag_Digested);
  pass_time(60);
  EXPECT_FALSE(envoy().gone());
  EXPECT_EQ(envoy().upstream().body, "A");
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

TEST_F(StreamTest, AHostLostBeforeTheTrailersOfABodyThatGoesByIsA502) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_DecodeTrailers);
  envoy().data(kReq, "some", false);
  stage_->lose();
  envoy().trailers(kReq, {{"t", "1"}});
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "502");
  EXPECT_EQ(envoy().reply_details(), "ts_filter_host_lost");
}

TEST_F(StreamTest, AHostLostBeforeTheTrailersOfAResponseThatGoesByIsAReset) {
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(HeaderType::kResponse, BodyMode_Pass, {}, wire::Phase_EncodeHeaders | wire::Phase_EncodeTrailers);
  stage_->lose();
  envoy().trailers(kRes, {{"t", "1"}});
  turn();
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
  connect_and_open();
  const auto unread = stage_->open();
  unread->headers(kReq, kPost, false);
  pass_time(30);
  pass_time(30);
  EXPECT_TRUE(condemned());
  turn();  // the link wakes the worker for it
  EXPECT_EQ(envoy().downstream().header(":status"), "503");
  EXPECT_FALSE(unread->gone()) << "the host has not taken it: it waits for the next one";
  unread->disconnect();
}

TEST_F(StreamTest, AHostThatStopsReadingIsNoticedToAnEighthOfTheTime) {
  stage_->link.stall = nanos(Millis(400));
  connect_and_open();  // it has read this one, long before it stops
  pass_time(200);
  const auto unread = stage_->open();
  unread->headers(kReq, kPost, false);
  pass_time(100);
  EXPECT_FALSE(condemned());
  for (int step = 0; step < 8 && !condemned(); step++) pass_time(50);
  EXPECT_TRUE(condemned()) << "the time of frames that it has read does not count for it";
  unread->disconnect();
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

TEST_F(OpenStreamTest, AFilterThatCannotBeLoadedPasses) {
  stage_->accepted = false;
  stage_->unavailable = true;
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

TEST_F(OpenStreamTest, TrailersThatComeWhenTheHostIsLostPass) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, UINT32_MAX);
  envoy().data(kReq, "some", false);
  respond();
  answer(HeaderType::kResponse, BodyMode_Pass, {}, UINT32_MAX);
  envoy().data(kRes, "more", false);
  stage_->lose();
  envoy().trailers(kReq, {{"t", "1"}});
  turn();
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "1"}}));
  envoy().trailers(kRes, {{"t", "2"}});
  turn();
  EXPECT_EQ(envoy().downstream().trailers, (HeaderMap{{"t", "2"}}));
  EXPECT_EQ(envoy().downstream().body, "more");
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

}  // namespace
}  // namespace tsf::core::test
