// What ext_proc's notes say of its place in the chain, and of the messages that it takes.
#include "stock/ext_proc.h"

#include <gtest/gtest.h>

#include "small_envoy.h"

namespace tsf::core::test {
namespace {

using stock::ChainFacts;
using stock::ExtProc;
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;

class ExtProcTest : public ::testing::Test {
 protected:
  // A stream of the same configuration whose headers have come to us.
  ExtProc stream(Dir dir, std::optional<std::string> notes) {
    envoy_.shown_ext_proc = std::move(notes);
    ExtProc one(envoy_, facts_, dir);
    one.look_at_headers();
    return one;
  }

  SmallEnvoy envoy_;
  ChainFacts facts_;
};

TEST_F(ExtProcTest, WithoutNotesItIsNotThere) {
  ExtProc one = stream(kReq, std::nullopt);
  EXPECT_FALSE(one.is_there());
  EXPECT_FALSE(one.may_be_before());
  EXPECT_FALSE(one.may_be_behind());
  EXPECT_FALSE(one.look_behind());
}

TEST_F(ExtProcTest, ItMayBeAnywhereAsLongAsItHasHadNoCall) {
  for (const Dir dir : {kReq, kRes}) {
    ExtProc one = stream(dir, "bs:0,br:0,os:0,ds:");
    EXPECT_TRUE(one.is_there());
    EXPECT_TRUE(one.may_be_before());
    EXPECT_TRUE(one.may_be_behind());
    EXPECT_FALSE(one.is_behind());
  }
}

TEST_F(ExtProcTest, HeadersThatItHasHadBeforeUsShowThePlaceForBothDirections) {
  ExtProc request = stream(kReq, "rh:1250:0,bs:500,br:20");
  EXPECT_TRUE(request.may_be_before());
  EXPECT_FALSE(request.may_be_behind());
  ExtProc response = stream(kRes, "rh:1250:0,bs:500,br:20");
  EXPECT_FALSE(response.may_be_before());
  EXPECT_TRUE(response.may_be_behind());
}

TEST_F(ExtProcTest, TheOtherMessagesCallsSayNothing) {
  ExtProc one = stream(kRes, "rh:1:0,rb:1:2:0,rt:1:0,bs:500");
  EXPECT_FALSE(one.look_behind());
  one.look_at_body();
  EXPECT_FALSE(one.may_be_before());
  EXPECT_TRUE(one.may_be_behind());
}

TEST_F(ExtProcTest, ABodyOfWhichNothingHasGoneOnShowsIt) {
  ExtProc one = stream(kReq, "bs:0,br:0");
  envoy_.shown_ext_proc = "rb:1:2000:0,bs:900,br:20";
  one.look_at_body();
  EXPECT_TRUE(one.may_be_before());
  EXPECT_FALSE(one.may_be_behind());
}

TEST_F(ExtProcTest, ABodyThatCameWithoutItDidNotComePastIt) {
  ExtProc one = stream(kReq, "rh:1250:0,bs:500,br:20");
  one.look_at_body();
  EXPECT_FALSE(one.may_be_before());
  envoy_.shown_ext_proc = "rh:1250:0,rb:1:2000:0,bs:900";
  one.look_at_body();
  EXPECT_FALSE(one.may_be_before()) << "by now something of ours may have gone on";
}

TEST_F(ExtProcTest, WhatOfOursHasComePastItWhileItHasHadABodyIsNoSignThatItTakesNone) {
  ExtProc one = stream(kReq, "bs:0,br:0");
  EXPECT_FALSE(one.look_behind());
  envoy_.shown_ext_proc = "rb:1:2000:0,bs:900";
  EXPECT_TRUE(one.look_behind());
  EXPECT_TRUE(stream(kReq, "bs:0,br:0").is_behind()) << "it is remembered";
}

TEST_F(ExtProcTest, OnlyOnePieceAfterTheOtherShowsThatItTakesNoBodies) {
  struct Row {
    const char* notes;
    ExtProc::Gone gone;
    bool may_take;
  };
  const Row rows[] = {
      {"rh:1:0,bs:500", {.bytes = 501, .pieces = 2}, false},
      {"rh:1:0,bs:500", {.bytes = 501, .pieces = 1}, true},  // the answer that ended the message is not noted yet
      {"rh:1:0,bs:500", {.bytes = 500, .pieces = 2}, true},
      {"rh:1:0,bs:0", {.bytes = 501, .pieces = 2}, true},  // Google's client does not count
      {"rh:1:0,rb:1:7:0,bs:500", {.bytes = 501, .pieces = 2}, true},
      {"rh:1:0,bs:500", {}, true},  // it did not get to its receiver
  };
  for (const Row& row : rows) {
    ChainFacts facts;
    envoy_.shown_ext_proc = row.notes;
    ExtProc one(envoy_, facts, kReq);
    one.look_at_headers();
    one.look_at_end(row.gone);
    EXPECT_EQ(one.may_be_before(), row.may_take) << row.notes << ' ' << row.gone.bytes;
  }
}

TEST_F(ExtProcTest, OnceItHasTakenABodyItMayTakeOthers) {
  ExtProc one = stream(kReq, "rh:1:0,bs:500");
  one.look_at_end({.bytes = 600, .pieces = 2});
  EXPECT_FALSE(stream(kReq, "rh:1:0,bs:500").may_be_before());
  EXPECT_TRUE(stream(kRes, "rh:1:0,bs:500").may_be_behind()) << "of the other message nothing is known";
  envoy_.shown_ext_proc = "rh:1:0,rb:1:7:0,bs:500";
  one.look_at_end({.bytes = 600, .pieces = 2});
  ExtProc next = stream(kReq, "rh:1:0,bs:500");
  EXPECT_TRUE(next.may_be_before());
  next.look_at_end({.bytes = 600, .pieces = 2});
  EXPECT_TRUE(next.may_be_before());
}

TEST_F(ExtProcTest, TextThatIsNoNoteIsPassedOver) {
  for (const char* text : {"", ",", ",,", "r", "rh", "rb", "xh:1", "rh;1", ":::", "rb:", "rb::", "rb:x:y:z", "bs:"}) {
    ExtProc one = stream(kReq, text);
    EXPECT_TRUE(one.is_there()) << text;
    EXPECT_EQ(one.latency(), std::chrono::milliseconds(0)) << text;
  }
}

TEST_F(ExtProcTest, ItsLatencyIsThatOfItsSlowestKindOfCall) {
  EXPECT_EQ(stream(kReq, "rh:1001:0,rb:4:2000:0").latency(), std::chrono::milliseconds(2));
  EXPECT_EQ(stream(kReq, "rh:1001:0,rb:2:20000:0,sh:90000:0").latency(), std::chrono::milliseconds(10));
  EXPECT_EQ(stream(kRes, "rh:1001:0,sh:99999999:0").latency(), std::chrono::milliseconds(250));
  EXPECT_EQ(stream(kRes, std::nullopt).latency(), std::chrono::milliseconds(0));
}

}  // namespace
}  // namespace tsf::core::test
