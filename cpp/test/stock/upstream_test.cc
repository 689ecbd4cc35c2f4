// One of our filters as an upstream HTTP filter: requests only, and what cannot be there is refused.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

constexpr uint32_t kRequestPhases = wire::Phase_DecodeHeaders | wire::Phase_DecodeData;

class UpstreamFilterTest : public StreamTest {
 protected:
  void open_upstream(const HeaderMap& headers = kPost, bool end = false) {
    if (!stage_->host) stage_->connect();
    envoy_ = stage_->open();
    envoy().is_upstream = envoy().has_upstream = true;
    envoy().headers(kReq, headers, end);
    for (const auto& f : hear())
      if (f.kind == wire::FrameKind_Headers) {
        id_ = f.id();
        flags_ = f.flags;
      }
  }
  void expect_refused() {
    EXPECT_EQ(envoy().downstream().header(":status"), "500");
    EXPECT_EQ(envoy().reply_details(), "ts_filter_not_upstream");
    EXPECT_FALSE(envoy().upstream().headers.has_value());
  }

  uint8_t flags_ = 0;
};

TEST_F(UpstreamFilterTest, TheHostIsToldWhereItStands) {
  open_upstream();
  EXPECT_TRUE((flags_ & wire::HeadersFlag_Upstream) != 0);
}

TEST_F(UpstreamFilterTest, RequestHeadersAreChangedAndTheResponseGoesBy) {
  open_upstream(kPost, true);
  answer(HeaderType::kRequest, BodyMode_Pass, {}, kRequestPhases);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  envoy().headers(kRes, kOk, false);
  EXPECT_EQ(envoy().downstream().header(":status"), "200") << "at once";
  envoy().data(kRes, "all of it", true);
  EXPECT_EQ(envoy().downstream().body, "all of it");
}

TEST_F(UpstreamFilterTest, AWholeBodyIsWorkedOn) {
  open_upstream();
  envoy().data(kReq, "whole", true);
  answer(HeaderType::kRequest, BodyMode_Whole, {}, kRequestPhases);
  hear();
  output(kReq, 5, "WHOLE", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "WHOLE");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(UpstreamFilterTest, AHookOfResponsesIsRefusedByTheFirstAnswer) {
  open_upstream();
  answer(HeaderType::kRequest, BodyMode_Pass, {}, kRequestPhases | wire::Phase_EncodeHeaders);
  expect_refused();
}

TEST_F(UpstreamFilterTest, ADeclaredHookOfResponsesIsRefusedWithoutTheHost) {
  Stage::Options options;
  options.phases = wire::Phase_TransformResponse;
  restage(options);
  open_upstream();
  turn();
  expect_refused();
}

TEST_F(UpstreamFilterTest, AStreamedBodyIsRefused) {
  for (const uint8_t mode : {BodyMode_Stream, BodyMode_StreamHold}) {
    open_upstream();
    answer(HeaderType::kRequest, mode, {}, kRequestPhases);
    expect_refused();
  }
}

TEST_F(UpstreamFilterTest, WithoutABodyNothingIsStreamed) {
  open_upstream(kGet, true);
  answer(HeaderType::kRequest, BodyMode_Stream, {}, kRequestPhases);
  output(kReq, 0, "", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(UpstreamFilterTest, AStreamedReplyIsRefused) {
  open_upstream();
  ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
  turn();
  expect_refused();
}

TEST_F(UpstreamFilterTest, AWholeReplyIsSent) {
  open_upstream();
  ASSERT_TRUE(host().local_reply(id_, 403, {}, "no"));
  turn();
  EXPECT_EQ(envoy().downstream().header(":status"), "403");
}

}  // namespace
}  // namespace tsf::core::test
