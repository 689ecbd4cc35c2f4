// What log hooks are told: which maps and attributes, when, and what is lost where there is no room.
#include "stock/chain.h"
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

using stock::Chain;

using LogHooks = StreamTest;

class FakeLogger final : public LogSource {
 public:
  bool attribute(uint32_t id, std::optional<Attribute>& out) const override {
    if (id != 13) return false;
    out = Attribute{Attribute::Kind::kInt, {}, 7};
    return true;
  }
};

std::string number_attribute(uint64_t value) {
  const uint32_t length = sizeof value;
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) +
         std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

class LogTest : public StreamTest {
 protected:
  void SetUp() override {
    options_.attributes = {13};
    StreamTest::SetUp();
    Chain::count_logger(1);
  }
  void TearDown() override {
    StreamTest::TearDown();
    Chain::count_logger(-1);
  }
  // A stream of which no hook has run.
  void make(const HeaderMap& headers = kPost) {
    envoy_ = stage_->open();
    envoy().show(HeaderType::kRequest, headers);
  }
  // Envoy gives an event to its access loggers.
  std::vector<Heard> log(wire::LogKind kind) {
    if (Chain* chain = Chain::find(envoy().chain_id)) chain->log(kind, logger_);
    return stage_->host ? hear() : std::vector<Heard>{};
  }

  FakeLogger logger_;
};

TEST_F(LogHooks, TheFinalStateIsToldToThoseWhoHaveLogHooks) {
  restage({.phases = UINT32_MAX, .attributes = {13}});
  stage_->connect();
  open(kReq, kGet, true);
  envoy().attributes = {{13, {Attribute::Kind::kInt, {}, 5}}};
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_Log);
  envoy().headers(kRes, kOk, true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 4u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Log);
  EXPECT_EQ(heard[0].headers, kGet);
  EXPECT_EQ(heard[1].headers, kOk);
  EXPECT_EQ(heard[2].kind, wire::FrameKind_LogRun);
  EXPECT_EQ(heard[2].type, wire::LogKind_End);
  EXPECT_EQ(heard[2].attributes, number_attribute(5));
  EXPECT_EQ(heard[3].kind, wire::FrameKind_End);
  EXPECT_EQ(heard[3].type, wire::EndReason_Complete);
}

TEST_F(LogHooks, AFilterOfLogHooksOnlyHearsOfTheEndOnly) {
  restage({.phases = wire::Phase_Log});
  stage_->connect();
  EXPECT_TRUE(open(kReq, kGet, true).empty());
  envoy().headers(kRes, kOk, true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 4u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start | wire::HeadersFlag_Log);
  EXPECT_EQ(heard[0].number, 42u);
  EXPECT_EQ(heard[2].kind, wire::FrameKind_LogRun);
  EXPECT_EQ(heard[3].kind, wire::FrameKind_End);
}

TEST_F(LogTest, TheStartMayBeginTheStreamBeforeItsHeaders) {
  stage_->connect();
  make();
  auto heard = log(wire::LogKind_Start);
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start | wire::HeadersFlag_Log);
  EXPECT_EQ(heard[0].headers, kPost);
  EXPECT_EQ(heard[1].kind, wire::FrameKind_LogRun);
  EXPECT_EQ(heard[1].type, wire::LogKind_Start);
  EXPECT_EQ(heard[1].attributes, number_attribute(7)) << "the logger knows better";
  id_ = heard[0].id();
  envoy().headers(kReq, kPost, true);
  heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_EndStream);
  EXPECT_EQ(heard[0].id().generation, id_.generation);
  answer(kReq, BodyMode_Pass);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

TEST_F(LogTest, EachPeriodTellsTheMapsOfThatMoment) {
  stage_->connect();
  open(kReq, kPost, true);
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_LogPeriodic);
  auto heard = log(wire::LogKind_Periodic);
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Log);
  EXPECT_EQ(heard[1].type, wire::LogKind_Periodic);
  respond();
  heard = log(wire::LogKind_Periodic);
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_EQ(heard[1].headers, kOk);
  EXPECT_TRUE(log(wire::LogKind_Start).empty()) << "a hook that the filter does not have";
  envoy().disconnect();
  EXPECT_EQ(count(hear(), wire::FrameKind_LogRun), 0u);
}

TEST_F(LogTest, WhatALoggerIsToldOfTheEndReplacesWhatTheStreamKnew) {
  stage_->connect();
  make();
  envoy().attributes = {{13, {Attribute::Kind::kInt, {}, 5}}};
  envoy().logger = &logger_;
  envoy().headers(kReq, kPost, true);
  hear();
  envoy().disconnect();
  const auto heard = hear();
  const Heard* run = first(heard, wire::FrameKind_LogRun);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(run->type, wire::LogKind_End);
  EXPECT_EQ(run->attributes, number_attribute(7));
  EXPECT_EQ(heard.back().kind, wire::FrameKind_End);
}

TEST_F(LogTest, WithoutAHostNothingWaitsAndNothingFails) {
  make();
  log(wire::LogKind_Start);
  log(wire::LogKind_Periodic);
  turn();
  EXPECT_FALSE(envoy().replied());
  stage_->connect();
  envoy().headers(kReq, kPost, true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Start | wire::HeadersFlag_EndStream);
  id_ = heard[0].id();
  answer(kReq, BodyMode_Pass);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

TEST_F(LogTest, AHostThatIsLostAfterTheStartIsReplacedForTheHeaders) {
  for (const bool told : {true, false}) {
    stage_->connect();
    make();
    EXPECT_EQ(log(wire::LogKind_Start).size(), 2u);
    if (told) {
      stage_->lose();
    } else {
      stage_->channel.lock()->mark_lost();
    }
    stage_->connect();
    envoy().headers(kReq, kPost, true);
    const auto heard = hear();
    ASSERT_EQ(heard.size(), 1u);
    EXPECT_TRUE(heard[0].has(wire::HeadersFlag_Start));
    EXPECT_FALSE(envoy().replied());
    envoy().disconnect();
    hear();
  }
}

TEST_F(LogTest, WhoDeclaresNoLogHooksIsNotFound) {
  restage({.phases = wire::Phase_DecodeHeaders | wire::Phase_Log});
  stage_->connect();
  make();
  EXPECT_EQ(envoy().chain_id, 0u);
  EXPECT_TRUE(log(wire::LogKind_Start).empty());
}

TEST_F(LogTest, AResponseAfterTheStartStillBringsTheRequestsHeaders) {
  stage_->connect();
  make();
  log(wire::LogKind_Start);
  envoy().headers(kRes, kOk, true);  // an earlier filter has replied
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].flags, wire::HeadersFlag_Context);
  EXPECT_EQ(heard[0].headers, kPost);
  EXPECT_EQ(heard[1].type, wire::HeaderType_Response);
}

// A map of several frames is told whole or not at all, whatever room there is.
TEST_F(LogTest, AFullRingLosesWholeEvents) {
  restage({.ring_bytes = 64 << 10, .attributes = {13}});
  stage_->connect();
  HeaderMap large = kPost;
  for (int i = 0; i < 40; ++i) large.emplace_back("x-" + std::to_string(i), std::string(500, 'x'));
  make(large);
  ASSERT_NE(envoy().chain_id, 0u);
  const auto event = [&] { Chain::find(envoy().chain_id)->log(wire::LogKind_Periodic, logger_); };
  for (int i = 0; i < 10; ++i) event();
  auto heard = hear();
  const size_t runs = count(heard, wire::FrameKind_LogRun);
  EXPECT_GT(runs, 0u);
  EXPECT_LT(runs, 10u);
  EXPECT_EQ(heard.back().kind, wire::FrameKind_LogRun);
  size_t lines = 0;
  for (const auto& f : heard) {
    if (f.kind == wire::FrameKind_Headers) lines += f.headers.size();
    if (f.kind != wire::FrameKind_LogRun) continue;
    EXPECT_EQ(std::exchange(lines, 0), large.size());
  }
  event();
  EXPECT_EQ(count(hear(), wire::FrameKind_LogRun), 1u) << "room again, events again";
  envoy().headers(kReq, large, true);
  EXPECT_FALSE(hear().empty());
}

}  // namespace
}  // namespace tsf::core::test
