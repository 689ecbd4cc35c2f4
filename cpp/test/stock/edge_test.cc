// The companion entry alone: what it lets by, what it gates, and the response's end that it holds back.
#include "stock/edge.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "fake_neighbour.h"
#include "small_envoy.h"

namespace tsf::core::test {
namespace {

using stock::BodySource;
using stock::BodyStatus;
using stock::Chain;
using stock::EdgeFilter;
using stock::HeadersStatus;
using stock::TrailersStatus;
using Moves = std::vector<std::string>;
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;
constexpr char kConfig[3] = {};

// [first edge, ours, last edge], and on demand one in the router's own chain.
class EdgeTest : public testing::Test {
 protected:
  explicit EdgeTest(bool shared = false) : shared_(shared) {}
  void SetUp() override {
    first_ = make(first_envoy_, 0);
    chain_ = &ours_.join(first_envoy_);
    last_ = make(last_envoy_, 1);
  }
  void TearDown() override {
    for (auto* edge : {&first_, &last_, &upstream_})
      if (*edge) (*edge)->on_destroy();
    chain_->leave(ours_.flows[0]);
  }
  std::unique_ptr<EdgeFilter> make(SmallEnvoy& envoy, size_t config) {
    envoy.key = &first_envoy_;
    auto edge = std::make_unique<EdgeFilter>(envoy, shared_);
    edge->on_new(&kConfig[config]);
    return edge;
  }
  void reach_upstream() {
    upstream_envoy_.facts().is_upstream = true;
    upstream_ = make(upstream_envoy_, 2);
  }
  // A body hook with these bytes.
  static BodyStatus body(EdgeFilter& edge, SmallEnvoy& envoy, Dir dir, std::string bytes, bool end) {
    envoy.received(dir) = std::move(bytes);
    return edge.on_body(dir, end);
  }
  void accept(EdgeFilter&, FakeNeighbour& from, std::string_view bytes) {
    MemoryCount count;
    ByteQueue queue(count);
    queue.append(bytes);
    from.diverted->accept(queue, InputEnd::kIn);
    EXPECT_TRUE(queue.empty());
  }

  const bool shared_;
  SmallEnvoy first_envoy_, last_envoy_, upstream_envoy_;
  FakeFilter ours_;
  std::unique_ptr<EdgeFilter> first_, last_, upstream_;
  Chain* chain_ = nullptr;
};

// ---- standing by ----

TEST_F(EdgeTest, LetsEverythingByWhileNobodyNeedsIt) {
  for (auto* edge : {&*first_, &*last_}) {
    SmallEnvoy& envoy = edge == &*first_ ? first_envoy_ : last_envoy_;
    for (const Dir dir : {kReq, kRes}) {
      EXPECT_EQ(edge->on_headers(dir, false), HeadersStatus::kContinue);
      EXPECT_EQ(body(*edge, envoy, dir, "abc", false), BodyStatus::kContinue);
      EXPECT_EQ(body(*edge, envoy, dir, "", true), BodyStatus::kContinue);
    }
    EXPECT_EQ(envoy.moves, Moves{});
    EXPECT_EQ(edge->hooks(kReq), 3u);
  }
}

TEST_F(EdgeTest, TellsThatHeadersHaveReachedTheFarEnd) {
  first_->on_headers(kReq, false);
  EXPECT_EQ(ours_[kReq].told, 0) << "the first edge is before ours";
  last_->on_headers(kReq, false);
  EXPECT_EQ(ours_[kReq].told, 1);
  last_->on_headers(kRes, false);
  EXPECT_EQ(ours_[kRes].told, 0);
  first_->on_headers(kRes, false);
  EXPECT_EQ(ours_[kRes].told, 1);
}

// ---- gates ----

TEST_F(EdgeTest, HoldsAnEndThatIsNotOurs) {
  ours_[kReq].open = true;
  EXPECT_EQ(last_->on_headers(kReq, true), HeadersStatus::kStopIteration) << "a filter in between ends it";
  ASSERT_NE(ours_[kReq].diverted, nullptr);
  EXPECT_TRUE(ours_[kReq].diverted->is_open());
  EXPECT_TRUE(ours_[kReq].diverted->collects());
  EXPECT_EQ(last_envoy_.moves, Moves{});
  accept(*last_, ours_[kReq], "the rest");
  EXPECT_EQ(last_envoy_.buffered(kReq), "the rest");
  EXPECT_EQ(last_envoy_.moves, Moves{"continue request"});
  EXPECT_FALSE(ours_[kReq].diverted->is_open());
  EXPECT_TRUE(ours_[kReq].diverted->has_seen_end());
}

TEST_F(EdgeTest, BytesThatCameWithTheEndStayBeforeTheRest) {
  ours_[kReq].open = true;
  last_->on_headers(kReq, false);
  EXPECT_EQ(body(*last_, last_envoy_, kReq, "pushed together", true), BodyStatus::kStopIterationAndWatermark);
  last_envoy_.buffered(kReq) = std::exchange(last_envoy_.received(kReq), {});  // as Envoy does
  accept(*last_, ours_[kReq], ", rest");
  EXPECT_EQ(last_envoy_.buffered(kReq), "pushed together, rest");
  EXPECT_EQ(last_envoy_.moves, Moves{"continue request"});
}

TEST_F(EdgeTest, AnEndWithoutBytesIsHeldWithoutABuffer) {
  ours_[kRes].open = true;
  first_->on_headers(kRes, false);
  EXPECT_EQ(body(*first_, first_envoy_, kRes, "", true), BodyStatus::kStopIterationNoBuffer);
  accept(*first_, ours_[kRes], "");
  EXPECT_EQ(first_envoy_.moves, Moves{"continue response"});
  EXPECT_EQ(first_envoy_.appends, 0);
}

TEST_F(EdgeTest, TrailersAreHeldToo) {
  ours_[kReq].open = true;
  last_->on_headers(kReq, false);
  EXPECT_EQ(last_->on_trailers(kReq), TrailersStatus::kStopIteration);
  EXPECT_NE(ours_[kReq].diverted, nullptr);
  ours_[kRes].open = true;
  EXPECT_EQ(first_->on_trailers(kRes), TrailersStatus::kStopIteration);
}

TEST_F(EdgeTest, AnEdgeBeforeOursHoldsNothing) {
  ours_[kReq].open = ours_[kRes].open = true;
  EXPECT_EQ(first_->on_headers(kReq, true), HeadersStatus::kContinue);
  EXPECT_EQ(body(*last_, last_envoy_, kRes, "", true), BodyStatus::kContinue);
  EXPECT_EQ(ours_[kReq].diverted, nullptr);
  EXPECT_EQ(ours_[kRes].diverted, nullptr);
}

TEST_F(EdgeTest, OnceOursIsThroughTheEndGoesBy) {
  ours_[kReq].open = true;
  last_->on_headers(kReq, false);
  EXPECT_EQ(body(*last_, last_envoy_, kReq, "out", false), BodyStatus::kContinue);
  ours_[kReq].open = false;
  EXPECT_EQ(body(*last_, last_envoy_, kReq, "put", true), BodyStatus::kContinue);
  EXPECT_EQ(ours_[kReq].diverted, nullptr);
}

// ---- a response's end, held at the router ----

class UpstreamEdgeTest : public EdgeTest {
 protected:
  void SetUp() override {
    EdgeTest::SetUp();
    reach_upstream();
    EXPECT_EQ(upstream_->on_headers(kReq, false), HeadersStatus::kContinue);
    EXPECT_EQ(body(*upstream_, upstream_envoy_, kReq, "", true), BodyStatus::kContinue);
    EXPECT_EQ(upstream_->on_headers(kRes, false), HeadersStatus::kContinue);
    ours_[kRes].open = ours_[kRes].pumps = true;
  }
};

TEST_F(UpstreamEdgeTest, IsUpstreamAndTellsNobodyOfHeaders) {
  EXPECT_TRUE(upstream_->is_upstream());
  EXPECT_FALSE(last_->is_upstream());
  EXPECT_EQ(ours_[kReq].told, 0);
}

TEST_F(UpstreamEdgeTest, HoldsTheEndAndPassesItsBytesOn) {
  EXPECT_EQ(body(*upstream_, upstream_envoy_, kRes, "abc", false), BodyStatus::kContinue);
  EXPECT_EQ(body(*upstream_, upstream_envoy_, kRes, "de", true), BodyStatus::kStopIterationNoBuffer);
  EXPECT_EQ(ours_[kRes].passed_on, "de");
  EXPECT_EQ(upstream_envoy_.received(kRes), "");
  EXPECT_EQ(ours_[kRes].held_after, 5u);
  EXPECT_EQ(ours_[kRes].held_end, InputEnd::kIn);
  upstream_->let_end_go();
  EXPECT_EQ(upstream_envoy_.moves, Moves{"continue response"});
  upstream_->let_end_go();
  EXPECT_EQ(upstream_envoy_.moves.size(), 1u) << "once";
}

TEST_F(UpstreamEdgeTest, HoldsTrailers) {
  body(*upstream_, upstream_envoy_, kRes, "abc", false);
  EXPECT_EQ(upstream_->on_trailers(kRes), TrailersStatus::kStopIteration);
  EXPECT_EQ(ours_[kRes].held_after, 3u);
  EXPECT_EQ(ours_[kRes].held_end, InputEnd::kInBeforeTrailers);
}

TEST_F(UpstreamEdgeTest, OffersTheEndAgainWhenOneIsThrough) {
  body(*upstream_, upstream_envoy_, kRes, "abc", true);
  ours_[kRes].held_after = 0;
  EXPECT_TRUE(upstream_->offer_end(InputEnd::kIn)) << "to the next that is open";
  EXPECT_EQ(ours_[kRes].held_after, 3u);
  EXPECT_TRUE(upstream_->holds_end());
  ours_[kRes].open = false;
  EXPECT_FALSE(upstream_->offer_end(InputEnd::kIn));
  EXPECT_TRUE(upstream_->holds_end()) << "who was offered it last lets it go";
}

TEST_F(UpstreamEdgeTest, HoldsNothingForOneWhoCannotUseIt) {
  ours_[kRes].pumps = false;
  EXPECT_EQ(body(*upstream_, upstream_envoy_, kRes, "de", true), BodyStatus::kContinue);
  ours_[kRes].pumps = true;
  ours_[kRes].open = false;
  EXPECT_EQ(body(*upstream_, upstream_envoy_, kRes, "", true), BodyStatus::kContinue);
  EXPECT_EQ(ours_[kRes].passed_on, "");
}

TEST_F(EdgeTest, HoldsNoEndBehindARequestThatIsNotComplete) {
  reach_upstream();
  upstream_->on_headers(kReq, false);
  upstream_->on_headers(kRes, false);
  ours_[kRes].open = ours_[kRes].pumps = true;
  EXPECT_EQ(body(*upstream_, upstream_envoy_, kRes, "de", true), BodyStatus::kContinue);
  EXPECT_EQ(ours_[kRes].passed_on, "");
}

TEST_F(UpstreamEdgeTest, NeverHoldsRequestsNorHeaders) {
  ours_[kReq].open = ours_[kReq].pumps = true;
  EXPECT_EQ(body(*upstream_, upstream_envoy_, kReq, "de", true), BodyStatus::kContinue);
  EXPECT_EQ(upstream_->on_trailers(kReq), TrailersStatus::kContinue);
  SmallEnvoy envoy;
  EXPECT_EQ(upstream_->on_headers(kRes, true), HeadersStatus::kContinue) << "a response of headers only";
}

// ---- the end of the stream inside a continue ----

TEST_F(EdgeTest, MayDieInsideItsOwnContinue) {
  ours_[kRes].open = true;
  first_->on_headers(kRes, true);
  ASSERT_NE(ours_[kRes].diverted, nullptr);
  first_envoy_.on_continue = [&](Dir) {  // the response's end ends the stream
    first_->on_destroy();
    first_.reset();
  };
  accept(*first_, ours_[kRes], "rest");
  EXPECT_EQ(first_, nullptr);
}

// Its trailers are read through it.
TEST_F(UpstreamEdgeTest, SaysThatItIsNoMore) {
  body(*upstream_, upstream_envoy_, kRes, "abc", false);
  upstream_->on_trailers(kRes);
  EXPECT_EQ(ours_[kRes].upstream_edges_gone, 0);
  upstream_->on_destroy();
  upstream_.reset();
  EXPECT_EQ(ours_[kRes].upstream_edges_gone, 1);
  EXPECT_EQ(ours_[kReq].upstream_edges_gone, 0);
}

TEST_F(UpstreamEdgeTest, MayDieInsideItsOwnContinueToo) {
  body(*upstream_, upstream_envoy_, kRes, "", true);
  upstream_envoy_.on_continue = [&](Dir) {
    upstream_->on_destroy();
    upstream_.reset();
  };
  upstream_->let_end_go();
  EXPECT_EQ(upstream_, nullptr);
}

// ---- Envoy 1.38 ----

class SharedFlagEdgeTest : public EdgeTest {
 protected:
  SharedFlagEdgeTest() : EdgeTest(true) {}
};

TEST_F(SharedFlagEdgeTest, AFlagThatTheResponseSpentIsGrantedAgainByAnEmptyFrame) {
  ours_[kReq].open = true;
  last_->on_headers(kReq, false);
  body(*last_, last_envoy_, kReq, "", true);
  last_->on_headers(kRes, false);  // a Continue: the request's continue would do nothing
  std::optional<BodyStatus> pumped;
  last_envoy_.on_inject = [&] { pumped = last_->on_body(kRes, false); };
  accept(*last_, ours_[kReq], "rest");
  EXPECT_EQ(last_envoy_.moves, (Moves{"inject ", "continue request"}));
  EXPECT_EQ(pumped, BodyStatus::kStopIterationNoBuffer) << "a Stop, which grants the request's";
  EXPECT_EQ(body(*last_, last_envoy_, kRes, "x", false), BodyStatus::kContinue) << "only its own frame";
}

TEST_F(SharedFlagEdgeTest, WithoutAResponseTheFlagIsNotLost) {
  ours_[kReq].open = true;
  last_->on_headers(kReq, true);
  accept(*last_, ours_[kReq], "rest");
  EXPECT_EQ(last_envoy_.moves, Moves{"continue request"});
}

TEST_F(SharedFlagEdgeTest, ARequestBehindAHeldResponseIsDroppedAndSpendsNothing) {
  ours_[kRes].open = true;
  first_->on_headers(kReq, false);
  first_->on_headers(kRes, false);
  body(*first_, first_envoy_, kRes, "", true);
  EXPECT_EQ(body(*first_, first_envoy_, kReq, "late upload", false), BodyStatus::kStopIterationNoBuffer);
  EXPECT_EQ(first_envoy_.received(kReq), "");
  EXPECT_EQ(first_->on_trailers(kReq), TrailersStatus::kStopIteration);
  accept(*first_, ours_[kRes], "");
  EXPECT_EQ(first_envoy_.moves, Moves{"continue response"});
}

}  // namespace
}  // namespace tsf::core::test
