// A reply alone, state by state.
#include "core/reply.h"

#include <gtest/gtest.h>

#include "test/core/mount_stub.h"

namespace tsf::core::test {
namespace {

using Moves = std::vector<std::string>;
const ReplyFraming kPlain;

class Mount final : public MountStub<StreamMount> {
 public:
  using MountStub::MountStub;
  void send_local_reply(uint32_t status, std::span<const HeaderLine>, std::string_view body,
                        std::string_view details) override {
    say("whole " + std::to_string(status) + " " + std::string(body) + " " + std::string(details));
  }
  void send_reply_headers(std::span<const HeaderLine>, bool end) override { say(end ? "headers end" : "headers"); }
  void send_reply_data(std::string_view bytes, bool end) override {
    say("data " + std::string(bytes) + (end ? " end" : ""));
  }
  void send_reply_trailers(std::span<const HeaderLine>) override { say("trailers"); }
  void reset(std::string_view) override { say("reset"); }
  bool recreate() override { return false; }
  std::unique_ptr<Waker> make_waker() override { return nullptr; }

  Moves said;
  Reply* watched = nullptr;
  std::vector<bool> on_stack;

 private:
  void say(std::string what) {
    said.push_back(std::move(what));
    if (watched != nullptr) on_stack.push_back(watched->is_on_stack());
  }
};

class ReplyTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(memory_.bytes, static_cast<int64_t>(reply_.waiting())); }
  StreamFacts facts_;
  Mount mount_{facts_};
  MemoryCount memory_;
  Reply reply_{mount_, memory_};
};

TEST_F(ReplyTest, AWholeOneIsSentAtOnce) {
  EXPECT_FALSE(reply_.exists());
  reply_.whole(kPlain, {403, {}, "no", "details"});
  EXPECT_EQ(mount_.said, Moves{"whole 403 no details"});
  EXPECT_TRUE(reply_.exists());
  EXPECT_FALSE(reply_.is_under_way());
}

TEST_F(ReplyTest, SomebodyElsesIsNeitherOpenNorUnderWay) {
  reply_.taken();
  EXPECT_TRUE(reply_.exists());
  EXPECT_FALSE(reply_.is_open() || reply_.is_under_way());
  EXPECT_EQ(reply_.flush(), 0u);
  EXPECT_EQ(mount_.said, Moves{});
}

TEST_F(ReplyTest, PiecesGoAsTheyCome) {
  reply_.begin(kPlain, {}, false, false);
  EXPECT_TRUE(reply_.is_open());
  reply_.data("one", false);
  EXPECT_EQ(reply_.flush(), 3u);
  EXPECT_EQ(reply_.flush(), 0u) << "credit once";
  reply_.data("two", true);
  EXPECT_TRUE(reply_.is_under_way());
  EXPECT_FALSE(reply_.is_open()) << "its last part has come";
  EXPECT_EQ(reply_.flush(), 3u);
  EXPECT_FALSE(reply_.is_under_way());
  EXPECT_EQ(mount_.said, (Moves{"headers", "data one", "data two end"}));
}

TEST_F(ReplyTest, OneOfHeadersOnlyIsSentWithThem) {
  reply_.begin(kPlain, {}, true, false);
  EXPECT_FALSE(reply_.is_under_way());
  EXPECT_EQ(mount_.said, Moves{"headers end"});
}

TEST_F(ReplyTest, AnEmptyLastPieceEndsIt) {
  reply_.begin(kPlain, {}, false, false);
  reply_.data("", true);
  EXPECT_EQ(reply_.flush(), 0u);
  EXPECT_EQ(mount_.said, (Moves{"headers", "data  end"}));
}

TEST_F(ReplyTest, FollowsTheWatermarks) {
  reply_.begin(kPlain, {}, false, false);
  reply_.above_watermark();
  reply_.above_watermark();
  reply_.data("x", true);
  EXPECT_EQ(reply_.flush(), 0u);
  EXPECT_EQ(mount_.said, Moves{"headers"}) << "the end waits, too";
  reply_.below_watermark();
  EXPECT_EQ(1, reply_.watermarks());
  reply_.below_watermark();
  EXPECT_EQ(0, reply_.watermarks());
  reply_.below_watermark();
  EXPECT_EQ(0, reply_.watermarks()) << "more lows than highs";
  EXPECT_EQ(reply_.flush(), 1u);
  EXPECT_EQ(mount_.said, (Moves{"headers", "data x end"}));
}

TEST_F(ReplyTest, TrailersGoBehindAllData) {
  reply_.begin(kPlain, {}, false, false);
  reply_.above_watermark();
  reply_.data("x", false);
  reply_.trailers({});
  EXPECT_EQ(mount_.said, (Moves{"headers", "data x", "trailers"})) << "what the client has not taken is the codec's";
  EXPECT_FALSE(reply_.is_under_way());
}

TEST_F(ReplyTest, ACutOneSendsNothingMore) {
  reply_.begin(kPlain, {}, false, false);
  reply_.above_watermark();
  reply_.data("x", false);
  reply_.cut();
  EXPECT_EQ(reply_.waiting(), 0u);
  EXPECT_TRUE(reply_.exists());
  reply_.below_watermark();
  EXPECT_EQ(reply_.flush(), 0u);
  EXPECT_EQ(mount_.said, Moves{"headers"});
}

TEST_F(ReplyTest, InThePlaceOfAResponseAllGoesInOne) {
  reply_.begin(kPlain, {}, false, true);
  reply_.data("one ", false);
  EXPECT_EQ(reply_.flush(), 4u) << "credit all the same: the host goes on";
  EXPECT_EQ(reply_.flush(), 0u);
  EXPECT_EQ(mount_.said, Moves{}) << "what the response still brings would get into it";
  reply_.data("two", true);
  reply_.flush();
  EXPECT_EQ(mount_.said, (Moves{"headers", "data one two end"}));
  EXPECT_FALSE(reply_.is_under_way());
}

TEST_F(ReplyTest, ItsOwnFramesAreKnownWhileTheyAreOnTheStack) {
  mount_.watched = &reply_;
  reply_.begin(kPlain, {}, false, false);
  reply_.data("x", false);
  reply_.flush();
  reply_.trailers({});
  EXPECT_EQ(mount_.on_stack, (std::vector<bool>{true, true, true}));
  EXPECT_FALSE(reply_.is_on_stack());
}

}  // namespace
}  // namespace tsf::core::test
