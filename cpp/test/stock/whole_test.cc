// Bodies that are gathered first, and the limits of what is kept.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

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
  EXPECT_EQ(envoy().downstream().header(":status"), "500") << "the client has nothing yet";
  EXPECT_EQ(envoy().reply_details(), "TSF_OUTPUT_LIMIT");
  EXPECT_EQ(stage_->worker.pending(), 0);
}

TEST_F(StreamTest, OutputThatEnvoyCannotTakeIsAResetOnceTheResponseHasBegun) {
  settings().max_pending_output = 65536;
  connect_and_open(kGet, true);
  answer(kReq, BodyMode_Pass);
  respond();
  answer(kRes, BodyMode_Stream);
  EXPECT_TRUE(envoy().downstream().headers.has_value());
  for (int i = 0; i < 17 && !envoy().gone(); ++i) output(kRes, 0, std::string(4096, 'x'), 0);
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
  EXPECT_EQ(envoy().reply_details(), "TSF_OUTPUT_LIMIT");
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

}  // namespace
}  // namespace tsf::core::test
