// Which answers have no body, and what becomes of a message's content-length.
#include "core/framing.h"

#include <gtest/gtest.h>

#include "test/core/mount_stub.h"

namespace tsf::core::test {
namespace {

class FramingTest : public testing::Test {
 protected:
  RequestKind kind(std::string method, bool upgrade = false) {
    HeaderMap lines = {{":method", std::move(method)}, {":path", "/"}};
    if (upgrade) lines.emplace_back("upgrade", "websocket");
    facts_.map(HeaderType::kRequest) = lines;
    return RequestKind::read(mount_);
  }
  // A response with that status and length; -1: none.
  Framing& response(std::string status, int length = -1, bool end = false, std::string method = "GET") {
    const RequestKind k = kind(std::move(method));
    HeaderMap lines = {{":status", std::move(status)}};
    if (length >= 0) lines.emplace_back("content-length", std::to_string(length));
    facts_.map(HeaderType::kResponse) = lines;
    framing_.emplace(Dir::kResponse, mount_);
    framing_->begin(k, end);
    return *framing_;
  }
  void status(const std::string& value) { (*facts_.map(HeaderType::kResponse))[0].second = value; }
  std::string length() {
    framing_->go();
    return std::string(mount_.header(HeaderType::kResponse, "content-length").value_or("none"));
  }

  StreamFacts facts_;
  StillMount mount_{facts_};
  std::optional<Framing> framing_;
};

TEST_F(FramingTest, KnowsWhichAnswersHaveABody) {
  for (const uint32_t status : {200u, 205u, 206u, 301u, 404u, 500u})
    EXPECT_EQ(kind("GET").response(status), BodyRule::kBody) << status;
  for (const uint32_t status : {100u, 103u, 204u, 304u})
    EXPECT_EQ(kind("GET").response(status), BodyRule::kNone) << status;
  for (const uint32_t status : {200u, 204u, 404u}) EXPECT_EQ(kind("HEAD").response(status), BodyRule::kNone) << status;
  EXPECT_EQ(kind("CONNECT").response(200), BodyRule::kTunnel);
  EXPECT_EQ(kind("CONNECT").response(403), BodyRule::kBody);
  EXPECT_EQ(kind("GET", true).response(101), BodyRule::kTunnel);
  EXPECT_EQ(kind("GET", true).response(401), BodyRule::kBody);
  EXPECT_EQ(kind("GET").response(101), BodyRule::kNone) << "nobody has asked for it";
}

TEST_F(FramingTest, WithoutALengthWhileTheBodyIsNotComplete) {
  Framing& framing = response("200", 10);
  EXPECT_TRUE(framing.open());
  EXPECT_EQ(mount_.header(HeaderType::kResponse, "content-length"), "10") << "not before they go";
  EXPECT_EQ(length(), "none");
}

TEST_F(FramingTest, WithTheExactOneWhenItIs) {
  Framing& framing = response("200", 3);
  framing.took(3);
  EXPECT_TRUE(framing.made(5));
  EXPECT_TRUE(framing.open());
  EXPECT_TRUE(framing.complete(false)) << "the last word counts";
  EXPECT_EQ(length(), "5");
  response("200", 10).made(5);
  EXPECT_TRUE(framing_->complete(true)) << "trailers, or gRPC";
  EXPECT_EQ(length(), "none");
  response("200").made(5);
  EXPECT_TRUE(framing_->complete(false));
  EXPECT_EQ(length(), "none") << "none came: a filter behind that changes the body knows of none";
  response("200", -1, true).made(5);
  EXPECT_TRUE(framing_->complete(false));
  EXPECT_EQ(length(), "5") << "there was no body";
}

TEST_F(FramingTest, WhatPassesKeepsItsLengthAndWhatIsAddedIsCounted) {
  EXPECT_TRUE(response("200", 10).pass(std::nullopt));
  EXPECT_EQ(length(), "10");
  response("200", 10).made(3);
  EXPECT_TRUE(framing_->pass(std::nullopt));
  EXPECT_EQ(length(), "13");
  response("200").made(3);
  EXPECT_TRUE(framing_->pass(std::nullopt));
  EXPECT_EQ(length(), "none");
  response("200", -1, true).made(3);
  EXPECT_TRUE(framing_->pass(std::nullopt));
  EXPECT_EQ(length(), "3");
}

TEST_F(FramingTest, ABodyThatIsLetGoKeepsItsLength) {
  Framing& framing = response("200", 10);
  EXPECT_TRUE(framing.open());
  framing.took(4);
  EXPECT_TRUE(framing.let_go(4)) << "four bytes are at the host";
  EXPECT_EQ(length(), "10");
  EXPECT_TRUE(framing.made(4));
  EXPECT_TRUE(framing.is_kept_by_passing(std::nullopt));
  response("200", 10).took(4);
  EXPECT_TRUE(framing_->let_go(4));
  framing_->go();
  EXPECT_TRUE(framing_->made(3)) << "the host has given back less";
  EXPECT_FALSE(framing_->is_kept_by_passing(std::nullopt));
}

TEST_F(FramingTest, ALengthThatTheFilterWritesIsHeldAgainstTheBody) {
  Framing& framing = response("200", 10);
  EXPECT_TRUE(framing.write("content-length", "4"));
  EXPECT_TRUE(framing.open());
  EXPECT_EQ(length(), "4");
  EXPECT_TRUE(framing.made(3));
  EXPECT_FALSE(framing.is_full());
  EXPECT_FALSE(framing.is_kept());
  EXPECT_TRUE(framing.made(1));
  EXPECT_TRUE(framing.is_full());
  EXPECT_TRUE(framing.is_kept());
  EXPECT_FALSE(framing.made(1));
  for (const auto& [written, ok] : {std::pair("10", true), std::pair("9", false), std::pair("x", false)}) {
    response("200", 10).write("content-length", written);
    EXPECT_EQ(framing_->pass(std::nullopt), ok) << written;
    response("200").write("content-length", written);
    framing_->made(10);
    EXPECT_EQ(framing_->complete(false), ok) << written;
  }
  response("200").write("content-length", "7");
  EXPECT_TRUE(framing_->pass(std::nullopt)) << "nobody can tell";
  EXPECT_EQ(length(), "none");
  response("200", 10).write("content-length", std::nullopt);
  EXPECT_TRUE(framing_->pass(std::nullopt));
  EXPECT_EQ(length(), "none");
}

TEST_F(FramingTest, ABodyThatMayNotBeIsDropped) {
  Framing& changed = response("200", 10);
  status("204");
  EXPECT_TRUE(changed.pass(std::nullopt));
  EXPECT_TRUE(changed.drops_body());
  EXPECT_EQ(length(), "none") << "not even its length";
  status("200");
  response("200", 10);
  status("304");
  EXPECT_TRUE(framing_->open());
  EXPECT_TRUE(framing_->drops_body());
  EXPECT_EQ(length(), "10") << "of the body that a GET would get";
  response("200", 10, true, "HEAD").made(3);
  EXPECT_TRUE(framing_->pass(std::nullopt));
  EXPECT_TRUE(framing_->drops_body());
  EXPECT_EQ(length(), "13");
}

TEST_F(FramingTest, AnAnswerThatGetsABodyHasItsLength) {
  Framing& framing = response("304", 500, true);
  status("200");
  EXPECT_TRUE(framing.pass(std::nullopt));
  EXPECT_EQ(length(), "0");
}

TEST_F(FramingTest, OfAReplyIsCheckedAndCleaned) {
  std::vector<HeaderLine> lines = {HeaderLine::of(":status", "200"), HeaderLine::of("Content-Length", "4"),
                                   HeaderLine::of("transfer-encoding", "chunked"), HeaderLine::of("a", "b")};
  ReplyFraming framing(kind("GET"), 200, lines, false);
  EXPECT_EQ(lines.size(), 3u);
  EXPECT_TRUE(framing.has_body() && framing.is_valid());
  EXPECT_TRUE(framing.made(4));
  EXPECT_TRUE(framing.is_full() && framing.is_kept());
  EXPECT_FALSE(framing.made(1));
  EXPECT_FALSE(ReplyFraming(kind("HEAD"), 200, lines, false).has_body());
  EXPECT_TRUE(ReplyFraming(kind("HEAD"), 200, lines, false).has_length());
  EXPECT_EQ(lines.size(), 3u);
  EXPECT_FALSE(ReplyFraming(kind("CONNECT"), 200, lines, false).has_body());
  EXPECT_EQ(lines.size(), 2u) << "no length on what begins a tunnel";
  lines.push_back(HeaderLine::of("content-length", "0"));
  EXPECT_TRUE(ReplyFraming(kind("GET"), 200, lines, false).made(5)) << "a body may still come";
  EXPECT_EQ(lines.size(), 2u);
  lines.push_back(HeaderLine::of("content-length", "four"));
  EXPECT_FALSE(ReplyFraming(kind("GET"), 200, lines, false).is_valid());
}

}  // namespace
}  // namespace tsf::core::test
