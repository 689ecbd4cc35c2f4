// What the host says too late, to the wrong stream, or wrong.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

TEST_F(StreamTest, AnswersToAStreamThatIsGoneAreIgnored) {
  connect_and_open();
  const StreamId old = id_;
  envoy().disconnect();
  envoy_.reset();
  open(kReq, kPost, false);
  EXPECT_EQ(id_.slot, old.slot);
  EXPECT_NE(id_.generation, old.generation);
  ASSERT_TRUE(host().answer(old, HeaderType::kRequest, BodyMode_Pass));
  ASSERT_TRUE(host().output(old, kReq, 999, "x", OutputFlag_Last));
  ASSERT_TRUE(host().local_reply(old, 403, {}, "no"));
  ASSERT_TRUE(host().local_reply({99, 1}, 403, {}, "no"));
  turn();
  EXPECT_FALSE(condemned());
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  EXPECT_FALSE(envoy().gone());
}

TEST_F(StreamTest, AnAnswerCountsOnce) {
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Stream, {{wire::HeaderOp_Set, "x", "1"}});
  answer(HeaderType::kRequest, BodyMode_Pass, {{wire::HeaderOp_Set, "x", "2"}});
  envoy().data(kReq, "abc", false);
  EXPECT_EQ(join(hear(), kReq), "abc");
  EXPECT_EQ(envoy().upstream().header("x"), "1");
}

TEST_F(StreamTest, TheClientsGoingIsToldOnce) {
  connect_and_open();
  envoy().disconnect();
  const auto heard = hear();
  ASSERT_EQ(count(heard, wire::FrameKind_End), 1u);
  EXPECT_EQ(first(heard, wire::FrameKind_End)->type, wire::EndReason_Downstream);
  EXPECT_TRUE(hear().empty());
}

TEST_F(StreamTest, AHostCannotTouchTheStreamsOfAnother) {
  connect_and_open();
  const StreamId id = id_;
  auto mine = std::move(envoy_);
  stage_->connect();  // the old host drains and still has `mine`
  open(kReq, kPost, false);
  auto& old_host = *stage_->old_hosts[0];
  const StreamId other = id_;
  ASSERT_NE(other.slot, id.slot);
  ASSERT_TRUE(old_host.local_reply(other, 403, {}, "hostile"));
  ASSERT_TRUE(host().answer(id, HeaderType::kRequest, BodyMode_Pass, {{wire::HeaderOp_Set, "x", "hostile"}}));
  pass_moment();
  EXPECT_FALSE(envoy().gone());
  EXPECT_FALSE(mine->upstream().headers.has_value());
  ASSERT_TRUE(old_host.answer(id, HeaderType::kRequest, BodyMode_Pass));
  pass_moment();
  EXPECT_TRUE(mine->upstream().headers.has_value()) << "its own it may answer";
  mine.reset();
}

struct Malformed {
  const char* what;
  bool (*send)(ScriptedHost&, StreamId);
};
const Malformed kMalformed[] = {
    {"garbage", [](ScriptedHost& h, StreamId) { return h.raw(wire::FrameKind_Answer, "garbage, not a table"); }},
    {"nothing", [](ScriptedHost& h, StreamId) { return h.raw(wire::FrameKind_Output, ""); }},
    {"a type", [](ScriptedHost& h, StreamId id) { return h.answer(id, static_cast<HeaderType>(4), BodyMode_Pass); }},
    {"a mode", [](ScriptedHost& h, StreamId id) { return h.answer(id, HeaderType::kRequest, 4); }},
    {"a direction", [](ScriptedHost& h, StreamId id) { return h.output(id, static_cast<Dir>(2), 0, "", 0); }},
    {"bytes acknowledged that it never had",
     [](ScriptedHost& h, StreamId id) { return h.output(id, kReq, 1, "", OutputFlag_Added); }},
    {"output before the answer", [](ScriptedHost& h, StreamId id) { return h.output(id, kReq, 0, "x", 0); }},
    {"an operation",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{5, "a", "b"}});
     }},
    {"a name",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{0, "a b", "c"}});
     }},
    {"a value",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{0, "a", "b\r\nc: d"}});
     }},
    {"an empty value",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{1, "a", ""}});
     }},
    {"a pseudo-header",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{0, ":status", "200"}});
     }},
    {"a deleted :path",
     [](ScriptedHost& h, StreamId id) {
       return h.ops(id, HeaderType::kRequest, {{2, ":path", ""}});
     }},
    {"a status under 200", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 199, {}, ""); }},
    {"a status over 599", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 600, {}, ""); }},
    {"a gRPC status", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 200, {}, "", "d", 17); }},
    {"details with a line end", [](ScriptedHost& h, StreamId id) { return h.local_reply(id, 200, {}, "", "a\nb"); }},
    {"a reply's pseudo-header",
     [](ScriptedHost& h, StreamId id) {
       return h.local_reply(id, 200, {{":status", "1"}}, "");
     }},
    {"a reply without a status",
     [](ScriptedHost& h, StreamId id) {
       return h.reply(id, wire::ReplyPart_Headers, packed({{"a", "b"}}), false);
     }},
    {"a reply with a status of 101",
     [](ScriptedHost& h, StreamId id) {
       return h.reply(id, wire::ReplyPart_Headers, packed({{":status", "101"}}), false);
     }},
    {"a reply with nothing",
     [](ScriptedHost& h, StreamId id) { return h.reply(id, wire::ReplyPart_Headers, "", false); }},
    {"a reply's part", [](ScriptedHost& h, StreamId id) { return h.reply(id, 3, "", false); }},
    {"a broken block",
     [](ScriptedHost& h, StreamId id) { return h.reply(id, wire::ReplyPart_Trailers, "abc", false); }},
    {"a failure's type", [](ScriptedHost& h, StreamId id) { return h.fail(id, static_cast<HeaderType>(9), ""); }},
    {"a log level", [](ScriptedHost& h, StreamId) { return h.log(6, "x"); }},
};

TEST_F(StreamTest, AMalformedFrameCostsTheHostItsChannel) {
  for (const auto& malformed : kMalformed) {
    restage({});
    connect_and_open();
    ASSERT_TRUE(malformed.send(host(), id_)) << malformed.what;
    turn();
    EXPECT_TRUE(condemned()) << malformed.what;
    EXPECT_EQ(envoy().downstream().header(":status"), "503") << malformed.what;
    EXPECT_EQ(envoy().violations, std::vector<std::string>{}) << malformed.what;
    envoy_.reset();
  }
}

TEST_F(StreamTest, AMalformedFrameIsFoundWithoutAnyStreamToo) {
  stage_->connect();
  turn();
  ASSERT_TRUE(host().log(9, "x"));
  turn();
  EXPECT_TRUE(condemned());
}

TEST_F(StreamTest, AFrameOfANewerHostIsIgnored) {
  connect_and_open();
  ASSERT_TRUE(host().raw(99, "whatever"));
  turn();
  EXPECT_FALSE(condemned());
}

TEST_F(StreamTest, TheHostsLogLinesAreCleaned) {
  stage_->connect();
  turn();
  ASSERT_TRUE(host().log(2, "a\nb\tc"));
  turn();
  EXPECT_TRUE(stage_->process.logged("ts_filter: a b c"));
}

TEST_F(StreamTest, QueriesAreAnsweredInOrder) {
  connect_and_open();
  envoy().attributes = {{3, {Attribute::Kind::kString, "text", 0}}, {28, {Attribute::Kind::kInt, {}, 1}}};
  ASSERT_TRUE(host().query(id_, 5, 3));
  ASSERT_TRUE(host().query(id_, 6, 99));
  ASSERT_TRUE(host().query(id_, 7, 28));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_EQ(heard[0].number, 5u);
  EXPECT_TRUE(heard[0].found);
  EXPECT_EQ(heard[0].bytes, "text");
  EXPECT_EQ(heard[1].number, 6u);
  EXPECT_FALSE(heard[1].found);
  EXPECT_EQ(heard[2].bytes, std::string("\1\0\0\0\0\0\0\0", 8));
}

}  // namespace
}  // namespace tsf::core::test
