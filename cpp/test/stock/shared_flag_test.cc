// Envoy 1.38: one "continued" flag for both directions.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

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

// Known and not mended since requests carry no mark for the router: what a continue that was lost to a 1xx leaves in
// Envoy's buffer is taken for the copy that the router keeps for a retry. ABC is right, or a coded end.
TEST_F(SharedFlagTest, DISABLED_AnEarlyHintInTheMiddleOfAnUploadDoesNotHangIt) {
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

// The same: a 1xx comes from an upstream, so the router has one, and may keep a copy.
TEST_F(SharedFlagTest, DISABLED_AnEarlyHintBeforeTheLastContinueIsAResetAndNeverAHang) {
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

TEST_F(SharedFlagTest, AContinueWithAllOfARequestThatIsLostIsAResetAndNeverAHang) {
  connect_and_open();
  envoy().data(kReq, "a", true);
  answer_now(HeaderType::kRequest, BodyMode_Stream);
  hear();
  envoy().informational();
  settings().message_timeout = Millis(20);
  output(kReq, 1, "A", OutputFlag_Last);
  EXPECT_EQ(envoy().ignored_continues(), 1);
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

}  // namespace
}  // namespace tsf::core::test
