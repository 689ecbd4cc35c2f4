// One stream between a fake Envoy and a scripted host, for tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stage.h"

namespace tsf::core::test {

using wire::BodyMode_Pass;
using wire::BodyMode_Stream;
using wire::BodyMode_StreamHold;
using wire::BodyMode_Whole;
using wire::OutputFlag_Added;
using wire::OutputFlag_Bypass;
using wire::OutputFlag_Digested;
using wire::OutputFlag_Last;
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;
inline const HeaderMap kGet = {{":method", "GET"}, {":path", "/"}, {"x-a", "1"}};
inline const HeaderMap kPost = {{":method", "POST"}, {":path", "/"}};
inline const HeaderMap kOk = {{":status", "200"}};
inline const HeaderMap kGrpc = {{":method", "POST"}, {":path", "/s/m"}, {"content-type", "application/grpc"}};

inline std::string join(const std::vector<Heard>& frames, Dir dir) {
  std::string out;
  for (const auto& f : frames)
    if (f.kind == wire::FrameKind_Data && f.type == static_cast<uint8_t>(dir)) out += f.bytes;
  return out;
}
inline const Heard* first(const std::vector<Heard>& frames, uint32_t kind) {
  for (const auto& f : frames)
    if (f.kind == kind) return &f;
  return nullptr;
}
inline size_t count(const std::vector<Heard>& frames, uint32_t kind) {
  return static_cast<size_t>(
      std::count_if(frames.begin(), frames.end(), [&](const auto& f) { return f.kind == kind; }));
}

class StreamTest : public testing::Test {
 protected:
  void SetUp() override { stage_ = std::make_unique<Stage>(options_); }
  void TearDown() override { close(); }
  void close() {
    if (envoy_) {
      envoy_->disconnect();
      stage_->turn();
      envoy_->flush();
      EXPECT_EQ(envoy_->violations, std::vector<std::string>{});
      envoy_.reset();
    }
    if (stage_->host) {
      stage_->hear();
      EXPECT_EQ(stage_->host->violations(), std::vector<std::string>{});
    }
    EXPECT_EQ(stage_->worker.pending(), 0);
  }

  // A stage that is made anew.
  void restage(Stage::Options options) {
    close();
    stage_ = std::make_unique<Stage>(std::move(options));
  }
  Settings& settings() { return stage_->config->settings; }
  ScriptedHost& host() { return *stage_->host; }
  FakeEnvoy& envoy() { return *envoy_; }
  std::vector<Heard> hear() { return stage_->hear(); }
  void turn() { stage_->turn(); }

  // A stream whose headers have come; `id_` names it when a host has heard of it.
  std::vector<Heard> open(Dir dir, const HeaderMap& headers, bool end) {
    envoy_ = stage_->open();
    envoy_->headers(dir, headers, end);
    if (!stage_->host) return {};
    auto heard = hear();
    for (const auto& f : heard)  // not the log of the stream before
      if (f.kind == wire::FrameKind_Headers && !f.has(wire::HeadersFlag_Log)) id_ = f.id();
    return heard;
  }
  void connect_and_open(const HeaderMap& headers = kPost, bool end = false) {
    stage_->connect();
    open(kReq, headers, end);
  }
  // A response whose request has gone by.
  void respond(const HeaderMap& headers = kOk, bool end = false) {
    envoy().headers(kRes, headers, end);
    hear();
  }
  void answer(HeaderType type, uint8_t mode, const std::vector<Op>& ops = {}, uint32_t phases = UINT32_MAX) {
    answer_now(type, mode, ops, phases);
    pass_moment();
  }
  void answer_now(HeaderType type, uint8_t mode, const std::vector<Op>& ops = {}, uint32_t phases = UINT32_MAX) {
    ASSERT_TRUE(host().answer(id_, type, mode, ops, phases));
    turn();
  }
  // Without an edge, headers that may go are held for a moment.
  void pass_moment() { pass_time(26); }
  void answer(Dir dir, uint8_t mode) { answer(headers_of(dir), mode); }
  void output(Dir dir, size_t acknowledged, std::string_view text, uint8_t flags) {
    ASSERT_TRUE(host().output(id_, dir, static_cast<uint32_t>(acknowledged), text, flags));
    turn();
  }
  // As the link would when a deadline has passed.
  void pass_time(int millis) {
    usleep(static_cast<useconds_t>(millis) * 1000);
    turn();
  }
  bool condemned() const { return stage_->link.condemned > 0; }

  Stage::Options options_;
  std::unique_ptr<Stage> stage_;
  std::unique_ptr<FakeEnvoy> envoy_;
  StreamId id_;
};

}  // namespace tsf::core::test
