// Which entries of ours are in a stream, in which order, and what they are to each other.
#include "stock/chain.h"

#include <gtest/gtest.h>

#include <memory>

#include "fake_neighbour.h"
#include "small_envoy.h"
#include "stock/edge.h"

namespace tsf::core::test {
namespace {

using stock::Chain;
using stock::EdgeFilter;
using stock::Neighbour;
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;

// Three of ours, from the client to the router.
class ChainTest : public testing::Test {
 protected:
  void SetUp() override {
    for (FakeFilter* f : all()) chain_ = &f->join(envoy_);
  }
  void TearDown() override {
    for (FakeFilter* f : all()) chain_->leave(f->flows[0]);
  }
  std::array<FakeFilter*, 3> all() { return {&client_, &middle_, &router_}; }

  SmallEnvoy envoy_;
  FakeFilter client_, middle_, router_;
  Chain* chain_ = nullptr;
};

// ---- order ----

TEST_F(ChainTest, BeforeIsTowardsTheClientForRequestsAndTowardsTheRouterForResponses) {
  for (FakeFilter* f : all()) (*f)[kReq].open = (*f)[kRes].open = true;
  EXPECT_EQ(chain_->open_before(client_[kReq], kReq), nullptr);
  EXPECT_EQ(chain_->open_before(middle_[kReq], kReq), &client_[kReq]);
  EXPECT_EQ(chain_->open_before(router_[kReq], kReq), &middle_[kReq]) << "the nearest";
  EXPECT_EQ(chain_->open_before(client_[kRes], kRes), &middle_[kRes]);
  EXPECT_EQ(chain_->open_before(middle_[kRes], kRes), &router_[kRes]);
  EXPECT_EQ(chain_->open_before(router_[kRes], kRes), nullptr);
  middle_[kReq].open = false;
  EXPECT_EQ(chain_->open_before(router_[kReq], kReq), &client_[kReq]) << "over one that is through";
}

TEST_F(ChainTest, OneThatWaitsForTrailersIsOpenUntilItHasSeenTheEnd) {
  client_[kReq].open = middle_[kReq].trailers = true;
  EXPECT_EQ(chain_->open_before(router_[kReq], kReq), &middle_[kReq]) << "past it the rest would go unseen";
  middle_[kReq].seen_end = true;
  EXPECT_EQ(chain_->open_before(router_[kReq], kReq), &client_[kReq]) << "it waits for nothing more";
}

TEST_F(ChainTest, OneThatIsNotInItHasNoNeighbours) {
  FakeFilter stranger;
  client_[kReq].open = client_[kReq].seen_end = client_[kReq].leaves = true;
  EXPECT_EQ(chain_->open_before(stranger[kReq], kReq), nullptr);
  EXPECT_EQ(chain_->owner_before(stranger[kReq], kReq), nullptr);
  EXPECT_FALSE(chain_->end_is_held_before(stranger[kReq], kReq));
  chain_->leave(stranger.flows[0]);
  EXPECT_EQ(chain_->owner_before(middle_[kReq], kReq), &client_[kReq]) << "and its leaving takes nobody along";
}

TEST_F(ChainTest, OwnersAreFoundOnTheirSide) {
  client_[kReq].leaves = router_[kReq].leaves = true;
  EXPECT_EQ(chain_->owner_before(middle_[kReq], kReq), &client_[kReq]);
  EXPECT_EQ(chain_->owner_behind(middle_[kReq], kReq), &router_[kReq]);
  EXPECT_EQ(chain_->owner_before(client_[kReq], kReq), nullptr) << "not itself";
  EXPECT_EQ(chain_->owner_before(middle_[kRes], kRes), nullptr) << "the other direction's are others";
  client_[kRes].leaves = true;
  EXPECT_EQ(chain_->owner_behind(router_[kRes], kRes), &client_[kRes]);
  EXPECT_EQ(chain_->owner_before(router_[kRes], kRes), nullptr);
}

// ---- the end ----

TEST_F(ChainTest, AnEndIsHeldByOneWhoHasSeenItAndIsNotThrough) {
  EXPECT_FALSE(chain_->end_is_held_before(router_[kReq], kReq));
  client_[kReq].seen_end = client_[kReq].open = true;
  EXPECT_TRUE(chain_->end_is_held_before(middle_[kReq], kReq));
  EXPECT_TRUE(chain_->end_is_held_before(router_[kReq], kReq));
  EXPECT_FALSE(chain_->end_is_held_before(client_[kReq], kReq)) << "itself it does not hold up";
}

TEST_F(ChainTest, AnEndThatHasLeftOneAndNotComeToTheNextIsHeldByAFilterInBetween) {
  client_[kReq].seen_end = true;
  EXPECT_FALSE(chain_->end_is_held_before(middle_[kReq], kReq));
  chain_->note_end(kReq);  // it stays in the stream when whoever has seen it is gone
  EXPECT_TRUE(chain_->end_is_held_before(middle_[kReq], kReq));
  middle_[kReq].seen_end = true;
  EXPECT_FALSE(chain_->end_is_held_before(middle_[kReq], kReq));
  EXPECT_TRUE(chain_->end_is_held_before(router_[kReq], kReq));
}

TEST_F(ChainTest, OneBeforeThatIsOpenHoldsNothingUpUntilItHasSeenTheEnd) {
  client_[kReq].open = true;
  EXPECT_FALSE(chain_->end_is_held_before(router_[kReq], kReq));
}

TEST_F(ChainTest, ForResponsesTheRoutersSideIsBefore) {
  router_[kRes].seen_end = router_[kRes].open = true;
  EXPECT_TRUE(chain_->end_is_held_before(client_[kRes], kRes));
  EXPECT_FALSE(chain_->end_is_held_before(router_[kRes], kRes));
}

TEST_F(ChainTest, TheOpenResponseNearestToTheRouterIsTheFirst) {
  EXPECT_EQ(chain_->first_open_response(InputEnd::kIn), nullptr);
  client_[kRes].open = middle_[kRes].open = true;
  EXPECT_EQ(chain_->first_open_response(InputEnd::kIn), &middle_[kRes]);
  router_[kReq].open = true;
  EXPECT_EQ(chain_->first_open_response(InputEnd::kIn), &middle_[kRes]) << "a request is none";
}

TEST_F(ChainTest, ATrailersHookNearerToTheRouterIsNotPassedOver) {
  client_[kRes].open = true;
  router_[kRes].trailers = true;
  EXPECT_EQ(chain_->first_open_response(InputEnd::kIn), &client_[kRes]);
  EXPECT_EQ(chain_->first_open_response(InputEnd::kInBeforeTrailers), nullptr);
  router_[kRes].trailers = false;
  EXPECT_EQ(chain_->first_open_response(InputEnd::kInBeforeTrailers), &client_[kRes]);
}

// ---- telling ----

TEST_F(ChainTest, FullnessHeadersAndWakingGoToTheRightSide) {
  router_[kReq].full = true;
  EXPECT_TRUE(chain_->is_full_behind(client_[kReq], kReq));
  EXPECT_FALSE(chain_->is_full_behind(router_[kReq], kReq));
  client_[kRes].headers_here = true;
  EXPECT_TRUE(chain_->are_headers_held_behind(router_[kRes], kRes));
  EXPECT_FALSE(chain_->are_headers_held_behind(client_[kRes], kRes));
  chain_->wake_before(router_[kReq], kReq);
  EXPECT_EQ(client_[kReq].woken + middle_[kReq].woken, 2);
  EXPECT_EQ(router_[kReq].woken + client_[kRes].woken, 0);
}

TEST_F(ChainTest, WhatConcernsAllIsToldToAll) {
  chain_->tell_edge_reached(kRes);
  chain_->tell_buffer_moved(middle_[kReq], kReq);
  chain_->tell_taken_back(middle_[kReq], kReq, 7);
  for (FakeFilter* f : all()) {
    EXPECT_EQ((*f)[kReq].taken_back, f == &router_ ? 7u : 0u) << "they had gone by those behind it";
    EXPECT_EQ((*f)[kRes].told, 1);
    EXPECT_EQ((*f)[kReq].told, 0);
    EXPECT_EQ((*f)[kReq].moved, f == &client_ ? 1 : 0) << "for those before it what lies there now is behind them";
  }
}

TEST_F(ChainTest, RemembersThePushAndThePumpOnTheStack) {
  EXPECT_EQ(chain_->pushed_over(kReq), 0u);
  chain_->set_pushed_over(kReq, 7);
  EXPECT_EQ(chain_->pushed_over(kReq), 7u);
  EXPECT_EQ(chain_->pushed_over(kRes), 0u);
  chain_->set_pumped(&middle_[kRes]);
  EXPECT_EQ(chain_->pumped(), &middle_[kRes]);
  chain_->set_pumped(nullptr);
}

TEST_F(ChainTest, ABodyThatComesByAPushTellsThePushOnly) {
  client_[kReq].open = true;
  envoy_.received(kReq) = "bytes";
  chain_->begin_push(kReq);
  chain_->note_body(middle_[kReq], kReq, envoy_, envoy_.received(kReq).size());
  EXPECT_TRUE(chain_->end_push(kReq));
  EXPECT_EQ(client_[kReq].injected + client_[kReq].let_go, 0);
  chain_->begin_push(kReq);
  EXPECT_FALSE(chain_->end_push(kReq)) << "it has come to nobody";
}

TEST_F(ChainTest, TellsWhetherTheNextHasSeenTheEnd) {
  EXPECT_FALSE(chain_->has_next_seen_end(client_[kReq], kReq));
  router_[kReq].seen_end = true;
  EXPECT_FALSE(chain_->has_next_seen_end(client_[kReq], kReq));
  middle_[kReq].seen_end = true;
  EXPECT_TRUE(chain_->has_next_seen_end(client_[kReq], kReq));
  EXPECT_FALSE(chain_->has_next_seen_end(router_[kReq], kReq)) << "nobody is behind it";
}

TEST_F(ChainTest, HeadersAreAtTheNextOfOursOnlyWhereThatOneHasThem) {
  EXPECT_FALSE(chain_->are_headers_at_next(client_[kReq], kReq));
  router_[kReq].headers_here = true;
  EXPECT_FALSE(chain_->are_headers_at_next(client_[kReq], kReq));
  middle_[kReq].headers_here = true;
  EXPECT_TRUE(chain_->are_headers_at_next(client_[kReq], kReq));
  EXPECT_FALSE(chain_->are_headers_at_next(router_[kReq], kReq)) << "nobody is behind it";
}

TEST_F(ChainTest, ABodyThatComesByNoPushWasKeptOrInjected) {
  client_[kReq].open = true;
  chain_->note_body(middle_[kReq], kReq, envoy_, envoy_.received(kReq).size());
  EXPECT_EQ(client_[kReq].injected + client_[kReq].let_go, 0) << "an empty piece tells nothing";
  envoy_.received(kReq) = "bytes";
  chain_->note_body(middle_[kReq], kReq, envoy_, envoy_.received(kReq).size());
  EXPECT_EQ(client_[kReq].injected, 1);
  envoy_.is_buffered = true;
  chain_->note_body(middle_[kReq], kReq, envoy_, envoy_.received(kReq).size());
  EXPECT_EQ(client_[kReq].let_go, 1);
  client_[kReq].seen_end = true;
  chain_->note_body(middle_[kReq], kReq, envoy_, envoy_.received(kReq).size());
  EXPECT_EQ(client_[kReq].injected, 2) << "behind the end of an open one nothing but the end comes";
  envoy_.is_buffered = client_[kReq].open = false;
  chain_->note_body(middle_[kReq], kReq, envoy_, envoy_.received(kReq).size());
  EXPECT_EQ(client_[kReq].injected, 2) << "one that is through lets everything by";
}

TEST_F(ChainTest, BytesOfNoPushAreToldToAllBeforeThatAreOpenAlsoPastOneThatIsThrough) {
  envoy_.received(kReq) = "bytes";
  client_[kReq].open = client_[kReq].seen_end = true;
  chain_->note_body(router_[kReq], kReq, envoy_, 5);
  EXPECT_EQ(client_[kReq].injected, 1) << "it is the one that has to give the end on";
  middle_[kReq].open = true;
  chain_->note_body(router_[kReq], kReq, envoy_, 5);
  EXPECT_EQ(client_[kReq].injected, 2);
  EXPECT_EQ(middle_[kReq].injected, 1);
  envoy_.is_buffered = true;
  chain_->note_body(router_[kReq], kReq, envoy_, 5);
  EXPECT_EQ(client_[kReq].injected, 3);
  EXPECT_EQ(middle_[kReq].injected, 1) << "its own earlier bytes, which somebody kept";
  EXPECT_EQ(middle_[kReq].let_go, 0);
}

TEST_F(ChainTest, WhatIsAsideGoesBeforeThePushWhereThatComesAsItWas) {
  stock::Aside aside{"kept ", "pushed"};
  chain_->set_aside(kReq, &aside);
  envoy_.received(kReq) = "PUSHED";
  envoy_.is_buffered = true;
  chain_->put_aside_before(kReq, envoy_);
  EXPECT_EQ(envoy_.received(kReq), "PUSHED") << "somebody has made other bytes of it";
  envoy_.received(kReq) = "pushed";
  envoy_.is_buffered = false;
  chain_->put_aside_before(kReq, envoy_);
  EXPECT_EQ(envoy_.received(kReq), "pushed") << "a frame of its own, past what is kept";
  envoy_.is_buffered = true;
  chain_->put_aside_before(kReq, envoy_);
  EXPECT_EQ(envoy_.received(kReq), "kept pushed");
  EXPECT_EQ(aside.kept, "");
  chain_->set_aside(kReq, nullptr);
  chain_->put_aside_before(kReq, envoy_);
  EXPECT_EQ(envoy_.received(kReq), "kept pushed");
}

TEST_F(ChainTest, AddsUpWhatThoseBeforeHaveAdded) {
  router_[kRes].grown = 5;
  middle_[kRes].grown = static_cast<uint64_t>(-2);
  client_[kRes].grown = 100;
  EXPECT_EQ(chain_->growth_before(client_[kRes], kRes), 3u);
  EXPECT_EQ(chain_->growth_before(router_[kRes], kRes), 0u);
}

TEST_F(ChainTest, CountsSiblings) {
  EXPECT_TRUE(chain_->has_siblings());
  chain_->leave(client_.flows[0]);
  EXPECT_TRUE(chain_->has_siblings());
  chain_->leave(middle_.flows[0]);
  EXPECT_FALSE(chain_->has_siblings());
  EXPECT_EQ(chain_->open_before(router_[kReq], kReq), nullptr);
}

// ---- edges ----

class EdgeInChain {
 public:
  EdgeInChain(SmallEnvoy& envoy, const void* config) : filter(envoy, false) { filter.on_new(config); }
  ~EdgeInChain() { filter.on_destroy(); }
  EdgeFilter filter;
};
constexpr char kFirst = 0, kLast = 0, kUpstream = 0;

TEST(EdgeRoles, FollowFromThePlaceInTheChain) {
  SmallEnvoy envoy;
  EdgeInChain first(envoy, &kFirst);
  FakeFilter ours;
  Chain& chain = ours.join(envoy);
  EdgeInChain last(envoy, &kLast);
  EXPECT_EQ(chain.edge(Chain::Role::kFirstEdge), &first.filter);
  EXPECT_EQ(chain.edge(Chain::Role::kLastEdge), &last.filter);
  EXPECT_EQ(chain.edge(Chain::Role::kUpstreamEdge), nullptr);
  EXPECT_EQ(chain.gate(kReq), &last.filter);
  EXPECT_EQ(chain.gate(kRes), &first.filter);
  EXPECT_FALSE(chain.has_siblings()) << "edges are none";
  envoy.facts().is_upstream = true;
  EdgeInChain upstream(envoy, &kUpstream);
  EXPECT_EQ(chain.edge(Chain::Role::kUpstreamEdge), &upstream.filter);
  EXPECT_EQ(chain.edge(Chain::Role::kLastEdge), &last.filter);
  chain.leave(ours.flows[0]);
}

TEST(EdgeRoles, ALaterTrysEntryTakesThePlaceOfTheOneBefore) {
  SmallEnvoy envoy;
  FakeFilter ours;
  Chain& chain = ours.join(envoy);
  envoy.facts().is_upstream = true;
  auto first_try = std::make_unique<EdgeInChain>(envoy, &kUpstream);
  EdgeInChain second_try(envoy, &kUpstream);
  EXPECT_EQ(chain.edge(Chain::Role::kUpstreamEdge), &second_try.filter);
  first_try.reset();
  EXPECT_EQ(chain.edge(Chain::Role::kUpstreamEdge), &second_try.filter) << "the old one's end does not take it away";
  ours[kRes].open = true;
  EXPECT_EQ(chain.first_open_response(InputEnd::kIn), &ours[kRes]);
  chain.leave(ours.flows[0]);
}

TEST(EdgeRoles, AFilterOfATryIsInAChainOfItsOwn) {
  SmallEnvoy envoy;
  FakeFilter ours;
  Chain& chain = ours.join(envoy);
  envoy.facts().is_upstream = true;
  FakeFilter of_try;
  Chain& other = of_try.join(envoy);
  EXPECT_NE(&chain, &other);
  EXPECT_FALSE(chain.has_siblings());
  chain.leave(ours.flows[0]);
  other.leave(of_try.flows[0]);
}

TEST(EdgeRoles, AnEdgeThatLeavesHasNoRole) {
  SmallEnvoy envoy;
  FakeFilter ours;
  Chain& chain = ours.join(envoy);
  {
    EdgeInChain last(envoy, &kLast);
    EXPECT_EQ(chain.gate(kReq), &last.filter);
  }
  EXPECT_EQ(chain.gate(kReq), nullptr);
  chain.leave(ours.flows[0]);
}

// ---- keys ----

TEST(ChainKeys, StreamsWithOtherKeysHaveOtherChains) {
  SmallEnvoy one, two;
  FakeFilter a, b;
  EXPECT_NE(&a.join(one), &b.join(two));
  a.join(two);  // the same entry of the configuration in another stream
  EXPECT_TRUE(b.join(one).has_siblings());
  for (SmallEnvoy* envoy : {&one, &two}) {
    FakeFilter probe;
    Chain& chain = probe.join(*envoy);
    for (FakeFilter* f : {&a, &b, &probe}) chain.leave(f->flows[0]);
  }
}

// Envoy frees a header map and makes the next stream's at the same address, or gives it to the stream that it begins
// anew.
TEST(ChainKeys, TheSameConfigAgainIsANewStreamWithTheKey) {
  SmallEnvoy envoy;
  FakeFilter a, b, again;
  Chain& old_chain = a.join(envoy);
  b.join(envoy);
  stock::Chain::Entry entry;
  entry.config = &a.config;
  entry.flows = {&again.flows[0], &again.flows[1]};
  Chain& new_chain = Chain::join(envoy, entry);
  EXPECT_NE(&new_chain, &old_chain);
  EXPECT_FALSE(new_chain.has_siblings());
  a[kReq].open = true;
  EXPECT_EQ(old_chain.open_before(b[kReq], kReq), &a[kReq]) << "the old one lives until its entries are gone";
  old_chain.leave(a.flows[0]);
  old_chain.leave(b.flows[0]);
  FakeFilter late;
  EXPECT_EQ(&late.join(envoy), &new_chain) << "the end of the old one does not take the key away";
  new_chain.leave(again.flows[0]);
  new_chain.leave(late.flows[0]);
}

TEST(ChainKeys, AKeyThatWasGivenUpIsTheNextStreams) {
  SmallEnvoy envoy;
  FakeFilter a, b;
  Chain& old_chain = a.join(envoy);
  old_chain.give_up_key();
  old_chain.give_up_key();  // twice: nothing is left to give up
  Chain& new_chain = b.join(envoy);
  EXPECT_NE(&new_chain, &old_chain);
  old_chain.leave(a.flows[0]);
  new_chain.give_up_key();
  new_chain.leave(b.flows[0]);
}

// ---- alone ----

TEST(ChainOfOne, IsNotMadeBeforeAnotherEntryComes) {
  SmallEnvoy one, two;
  FakeFilter a, elsewhere, b, c;
  a.join_others(one);
  elsewhere.join_others(two);
  EXPECT_EQ(a.chain, nullptr);
  EXPECT_EQ(elsewhere.chain, nullptr) << "another stream";
  a[kReq].seen_end = true;
  b.join_others(one);
  ASSERT_NE(b.chain, nullptr);
  EXPECT_EQ(a.chain, b.chain) << "the first one hears of it";
  EXPECT_TRUE(b.chain->has_siblings());
  EXPECT_TRUE(b.chain->end_is_held_before(b[kReq], kReq)) << "of the end, too, that came before";
  EXPECT_FALSE(b.chain->end_is_held_before(b[kRes], kRes));
  c.join_others(one);
  EXPECT_EQ(c.chain, b.chain);
  for (FakeFilter* f : {&a, &b, &c}) f->chain->leave(f->flows[0]);
  Chain::forget_alone(elsewhere.flows[0], two.stream_key());
}

TEST(ChainOfOne, AnEdgeOfTheRouterMakesIt) {
  SmallEnvoy envoy;
  FakeFilter ours;
  ours.join_others(envoy);
  envoy.facts().is_upstream = true;
  EdgeInChain upstream(envoy, &kUpstream);
  ASSERT_NE(ours.chain, nullptr);
  EXPECT_EQ(ours.chain->edge(Chain::Role::kUpstreamEdge), &upstream.filter);
  ours.chain->leave(ours.flows[0]);
}

TEST(ChainOfOne, WhoHasGoneIsNotFound) {
  SmallEnvoy envoy;
  FakeFilter gone, later, last;
  gone.join_others(envoy);
  Chain::forget_alone(gone.flows[0], envoy.stream_key());
  later.join_others(envoy);
  EXPECT_EQ(later.chain, nullptr);
  Chain::forget_alone(gone.flows[0], envoy.stream_key());  // of the one before: it takes nobody's place away
  last.join_others(envoy);
  EXPECT_NE(last.chain, nullptr);
  for (FakeFilter* f : {&later, &last}) f->chain->leave(f->flows[0]);
}

TEST(ChainOfOne, TheSameConfigAgainIsANewStreamWithTheKey) {
  SmallEnvoy envoy;
  FakeFilter a, again, b;
  a.join_others(envoy);
  stock::Chain::Entry entry;
  entry.config = &a.config;
  entry.flows = {&again.flows[0], &again.flows[1]};
  entry.home = &again.chain;
  EXPECT_EQ(Chain::join_others(envoy, entry), nullptr);
  b.join_others(envoy);
  EXPECT_EQ(a.chain, nullptr);
  EXPECT_EQ(again.chain, b.chain);
  entry.flows = {&a.flows[0], &a.flows[1]};
  entry.home = &a.chain;
  EXPECT_EQ(Chain::join_others(envoy, entry), nullptr) << "a third stream with it: the chain has no key any more";
  Chain::forget_alone(a.flows[0], envoy.stream_key());
  for (FakeFilter* f : {&again, &b}) f->chain->leave(f->flows[0]);
}

// ---- access loggers ----

TEST(ChainIds, LoggersFindAChainByItsId) {
  SmallEnvoy envoy, other_envoy;
  FakeFilter a, b;
  Chain& chain = a.join(envoy);
  EXPECT_EQ(Chain::find(0), nullptr);
  chain.be_found(envoy);
  const uint64_t id = envoy.facts().chain_id;
  ASSERT_NE(id, 0u);
  chain.be_found(envoy);
  EXPECT_EQ(envoy.facts().chain_id, id) << "once";
  EXPECT_EQ(Chain::find(id), &chain);
  Chain& other_chain = b.join(other_envoy);
  other_chain.be_found(other_envoy);
  EXPECT_NE(other_envoy.facts().chain_id, id);
  chain.leave(a.flows[0]);
  EXPECT_EQ(Chain::find(id), nullptr);
  EXPECT_EQ(Chain::find(other_envoy.facts().chain_id), &other_chain);
  other_chain.leave(b.flows[0]);
}

TEST(ChainIds, AChainWithoutItsKeyIsStillFound) {
  SmallEnvoy envoy;
  FakeFilter a;
  Chain& chain = a.join(envoy);
  chain.be_found(envoy);
  chain.give_up_key();
  EXPECT_EQ(Chain::find(envoy.facts().chain_id), &chain);
  chain.leave(a.flows[0]);
  EXPECT_EQ(Chain::find(envoy.facts().chain_id), nullptr);
}

TEST(ChainCounts, ASecondEntryOfTheConfigurationNeedsChains) {
  const bool before = Chain::is_needed();
  EXPECT_FALSE(before);
  Chain::count_entry(1);
  EXPECT_FALSE(Chain::is_needed());
  Chain::count_entry(1);
  EXPECT_TRUE(Chain::is_needed());
  Chain::count_entry(-2);
  EXPECT_FALSE(Chain::has_logger());
  Chain::count_logger(1);
  EXPECT_TRUE(Chain::has_logger());
  Chain::count_logger(-1);
}

}  // namespace
}  // namespace tsf::core::test
