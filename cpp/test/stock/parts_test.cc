// The small classes that a flow on stock Envoy is made of, each alone, with the transitions at its head.
#include <gtest/gtest.h>

#include "small_envoy.h"
#include "stock/buffering.h"
#include "stock/chain_facts.h"
#include "stock/continue_flag.h"
#include "stock/far_end.h"
#include "stock/filters_before.h"
#include "stock/filters_behind.h"
#include "stock/headers_watch.h"
#include "stock/held_input.h"
#include "stock/injector.h"
#include "stock/moment.h"
#include "stock/shared_buffer.h"
#include "test/core/fake_clock.h"

namespace tsf::core::test {
namespace {

using std::chrono::milliseconds;
using stock::Buffering;
using stock::ChainFacts;
using stock::ContinueFlag;
using stock::ExtProc;
using stock::FarEnd;
using stock::FiltersBefore;
using stock::FiltersBehind;
using stock::HeadersWatch;
using stock::HeldInput;
using stock::Injector;
using stock::Moment;
using stock::SharedBuffer;
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;

// ---- ContinueFlag ----

TEST(ContinueFlag, ARunOfStopsGrantsOneContinue) {
  ContinueFlag flag(false);
  EXPECT_FALSE(flag.is_granted(kReq)) << "no hook has run";
  flag.on_hook(kReq, true);
  flag.on_hook(kReq, true);
  EXPECT_TRUE(flag.is_granted(kReq));
  flag.on_continue(kReq);
  flag.after_continue();
  EXPECT_FALSE(flag.is_granted(kReq)) << "two frames, one continue";
  flag.on_hook(kReq, true);
  EXPECT_TRUE(flag.is_granted(kReq));
}

TEST(ContinueFlag, AHookThatContinuesSpendsTheGrant) {
  ContinueFlag flag(false);
  flag.on_hook(kReq, true);
  flag.on_hook(kReq, false);
  EXPECT_FALSE(flag.is_stopped(kReq));
  EXPECT_FALSE(flag.is_granted(kReq));
}

TEST(ContinueFlag, AStopInsideAContinueIsTheNextRun) {
  ContinueFlag flag(false);
  flag.on_hook(kReq, true);
  flag.on_continue(kReq);
  flag.on_hook(kReq, true);  // re-entered
  flag.after_continue();
  EXPECT_TRUE(flag.is_granted(kReq));
}

TEST(ContinueFlag, EachDirectionHasItsOwnFrom139On) {
  ContinueFlag flag(false);
  flag.on_hook(kReq, true);
  flag.on_hook(kRes, true);
  flag.on_continue(kRes);
  flag.after_continue();
  EXPECT_TRUE(flag.is_granted(kReq));
  EXPECT_FALSE(flag.is_lost(kReq));
  flag.on_hook(kRes, false);
  EXPECT_TRUE(flag.is_granted(kReq));
}

TEST(ContinueFlag, On138OneDirectionSpendsTheOthersToo) {
  ContinueFlag flag(true);
  flag.on_hook(kReq, true);
  flag.on_hook(kRes, false);
  EXPECT_TRUE(flag.is_stopped(kReq));
  EXPECT_FALSE(flag.is_granted(kReq));
  EXPECT_TRUE(flag.is_lost(kReq));
  flag.on_hook(kRes, true);
  EXPECT_TRUE(flag.is_granted(kReq)) << "a Stop of one grants both";
  EXPECT_TRUE(flag.is_granted(kRes));
  flag.on_continue(kRes);
  flag.after_continue();
  EXPECT_TRUE(flag.is_lost(kReq));
  EXPECT_FALSE(flag.is_lost(kRes)) << "not stopped any more";
}

TEST(ContinueFlag, On138AStopInsideTheContinueIsOverwritten) {
  ContinueFlag flag(true);
  flag.on_hook(kReq, true);
  flag.on_continue(kReq);
  flag.on_hook(kRes, true);
  EXPECT_TRUE(flag.is_granted(kRes));
  flag.after_continue();
  EXPECT_TRUE(flag.is_lost(kRes));
}

// ---- HeadersWatch ----

TEST(HeadersWatch, ARequestIsThroughWhenTheRouterHasAHost) {
  SmallEnvoy envoy;
  ChainFacts facts;
  HeadersWatch watch(envoy, facts, kReq);
  EXPECT_FALSE(watch.are_gone());
  EXPECT_FALSE(watch.are_held());
  EXPECT_FALSE(watch.are_through());
  watch.let_go();
  EXPECT_TRUE(watch.are_gone());
  EXPECT_TRUE(watch.are_held());
  envoy.facts().has_upstream = true;
  EXPECT_TRUE(watch.are_through());
  EXPECT_FALSE(watch.are_held());
  envoy.facts().has_upstream = false;
  EXPECT_TRUE(watch.are_through()) << "once through, always";
}

TEST(HeadersWatch, ARequestThatTheRouterHasIsNotHeldThoughThereIsNoHostYet) {
  const HeaderLine timeout = HeaderLine::of("x-envoy-expected-rq-timeout-ms", "15000");
  for (const bool from_client : {false, true}) {
    SmallEnvoy envoy;
    ChainFacts facts;
    auto& map = envoy.facts().map(HeaderType::kRequest);
    map = HeaderMap{{":method", "GET"}};
    const auto write = [&] { map->emplace_back(timeout.name(), timeout.value()); };
    if (from_client) write();
    HeadersWatch watch(envoy, facts, kReq);
    watch.let_go();
    EXPECT_TRUE(watch.are_held());
    write();
    EXPECT_EQ(watch.are_held(), from_client) << "a client's says nothing";
    EXPECT_FALSE(watch.are_through());
  }
}

TEST(HeadersWatch, AnUpstreamSaysNothingOfHeadersThatAreWithUs) {
  SmallEnvoy envoy;
  envoy.facts().has_upstream = true;
  ChainFacts facts;
  HeadersWatch watch(envoy, facts, kReq);
  EXPECT_FALSE(watch.are_through());
}

TEST(HeadersWatch, AnEdgesWordCounts) {
  SmallEnvoy envoy;
  ChainFacts facts;
  HeadersWatch watch(envoy, facts, kReq);
  watch.let_go();
  watch.told();
  EXPECT_TRUE(watch.are_through());
  watch.let_go();
  EXPECT_TRUE(watch.are_through()) << "letting go again takes nothing back";
}

TEST(HeadersWatch, AResponseMayBeHeldAsLongAsNothingIsKnown) {
  SmallEnvoy envoy;
  envoy.facts().map(HeaderType::kResponse) = HeaderMap{{"server", "upstream"}};
  ChainFacts facts;
  HeadersWatch watch(envoy, facts, kRes);
  EXPECT_FALSE(watch.may_be_held()) << "they are with us";
  watch.let_go();
  EXPECT_TRUE(watch.may_be_held());
  watch.is_over();
  EXPECT_TRUE(watch.may_be_held()) << "this configuration shows nothing";
  EXPECT_FALSE(watch.are_held());
  HeadersWatch told(envoy, facts, kRes);
  told.let_go();
  told.told();
  EXPECT_FALSE(told.may_be_held());
}

// One test, in this order: that the sign works is remembered for the process, too.
TEST(HeadersWatch, AResponseIsThroughWhenItsServerHeaderIsAnother) {
  ChainFacts here;
  const auto response = [](ChainFacts& facts, SmallEnvoy& envoy) {
    envoy.facts().map(HeaderType::kResponse) = HeaderMap{{"server", std::string(100, 'u')}};
    HeadersWatch watch(envoy, facts, kRes);
    watch.let_go();
    return watch;
  };
  SmallEnvoy one;
  HeadersWatch first = response(here, one);
  EXPECT_FALSE(first.are_through());
  EXPECT_FALSE(first.are_held()) << "nothing is known where nobody writes the header";

  SmallEnvoy two;
  HeadersWatch second = response(here, two);
  EXPECT_FALSE(second.are_through());
  two.facts().map(HeaderType::kResponse) = HeaderMap{{"server", std::string(100, 'e')}};
  EXPECT_TRUE(second.are_through());
  EXPECT_TRUE(first.are_held()) << "seen once, it is trusted when it is missing";

  ChainFacts elsewhere;
  SmallEnvoy three;
  HeadersWatch third = response(elsewhere, three);
  EXPECT_TRUE(third.are_held()) << "what the process has shown is believed";
  third.is_over();
  EXPECT_FALSE(third.are_held()) << "until a whole response has gone without it";
  EXPECT_TRUE(first.are_held()) << "which says nothing of other configurations";
  three.facts().map(HeaderType::kResponse) = HeaderMap{{"server", std::string(100, 'e')}};
  EXPECT_TRUE(third.are_through());
  SmallEnvoy four;
  EXPECT_TRUE(response(elsewhere, four).are_held()) << "seen after all";
}

// ---- SharedBuffer ----

TEST(SharedBuffer, WhatAHookLeavesIsOurs) {
  SmallEnvoy envoy;
  SharedBuffer buffer(envoy, kReq);
  EXPECT_FALSE(buffer.is_ours());
  buffer.leave(3);
  envoy.buffered(kReq) = "abc";
  buffer.leave(2);
  envoy.buffered(kReq) += "de";
  EXPECT_EQ(buffer.ours(), 5u);
  EXPECT_EQ(buffer.foreign(), 0u);
  envoy.drain_body(kReq, stock::BodySource::kBuffered, 4);
  buffer.took(4);
  EXPECT_TRUE(buffer.is_ours());
  EXPECT_FALSE(buffer.is_stolen());
  buffer.took(9);
  EXPECT_FALSE(buffer.is_ours()) << "never less than none";
}

TEST(SharedBuffer, OursCanBeTakenAndPutBack) {
  SmallEnvoy envoy;
  SharedBuffer buffer(envoy, kRes);
  buffer.leave(3);
  envoy.buffered(kRes) = "abc";
  EXPECT_EQ(buffer.take_ours(), "abc");
  EXPECT_FALSE(buffer.is_ours());
  EXPECT_EQ(envoy.buffered(kRes), "");
  buffer.put_ours("");
  EXPECT_EQ(envoy.appends, 0) << "an empty append would make a buffer";
  buffer.put_ours("abc");
  EXPECT_EQ(buffer.ours(), 3u);
  EXPECT_EQ(envoy.buffered(kRes), "abc");
}

TEST(SharedBuffer, ATheftShows) {
  SmallEnvoy envoy;
  SharedBuffer buffer(envoy, kReq);
  buffer.leave(3);
  envoy.buffered(kReq) = "";
  EXPECT_TRUE(buffer.is_stolen());
  buffer.give();
  EXPECT_FALSE(buffer.is_stolen()) << "what was given cannot be stolen";
}

TEST(SharedBuffer, WhoKeepsWhatBeforeAndBehind) {
  SmallEnvoy envoy;
  SharedBuffer buffer(envoy, kReq);
  envoy.buffered(kReq) = "behind";
  EXPECT_TRUE(buffer.is_held_before()) << "nothing of ours has been pushed";
  buffer.after_push();
  EXPECT_EQ(buffer.behind(), 6u);
  EXPECT_EQ(buffer.foreign(), 6u);
  EXPECT_FALSE(buffer.is_held_before());
  envoy.buffered(kReq) += " before";
  EXPECT_TRUE(buffer.is_held_before());
}

TEST(SharedBuffer, OneBeforeUsMayPutItsBytesBehindOurs) {
  SmallEnvoy envoy;
  SharedBuffer buffer(envoy, kReq);
  buffer.leave(3);
  envoy.buffered(kReq) = "abc";
  EXPECT_FALSE(buffer.is_held_before());
  envoy.buffered(kReq) += "not yet ours";
  EXPECT_TRUE(buffer.is_held_before());
  EXPECT_EQ(buffer.foreign(), 0u);
  std::vector<Bytes> pieces = {{"a", 1}, {"bcnot", 5}, {"yet", 3}};
  buffer.trim_to_ours(pieces);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].length, 2u);
  EXPECT_EQ(buffer.take_ours(), "abc");
  EXPECT_EQ(envoy.buffered(kReq), "not yet ours");
}

// ---- HeldInput ----

std::string text_of(const std::vector<Bytes>& pieces) {
  std::string text;
  for (const Bytes& piece : pieces) text.append(piece.ptr, piece.length);
  return text;
}

TEST(HeldInput, IsReadFromTheOldestPlaceFirst) {
  SmallEnvoy envoy;
  MemoryCount memory;
  HeldInput input(envoy, memory, kReq);
  input.kept().append("old");
  envoy.buffered(kReq) = "middle";
  input.buffer().leave(6);
  envoy.received(kReq) = "new";
  input.open_chunk();
  std::vector<Bytes> pieces;
  std::string all;
  for (const bool is_all : {false, false, true}) {
    const auto read = input.read(pieces);
    EXPECT_EQ(read.is_all, is_all);
    EXPECT_EQ(read.length, text_of(pieces).size());
    all += text_of(pieces) + ".";
    input.take(read.length);
  }
  EXPECT_EQ(all, "old.middle.new.");
  EXPECT_EQ(input.read(pieces).length, 0u);
  EXPECT_FALSE(input.buffer().is_ours());
}

TEST(HeldInput, AChunkIsReadInItsOwnHookOnly) {
  SmallEnvoy envoy;
  MemoryCount memory;
  HeldInput input(envoy, memory, kRes);
  envoy.received(kRes) = "chunk";
  std::vector<Bytes> pieces;
  EXPECT_EQ(input.read(pieces).length, 0u);
  input.open_chunk();
  EXPECT_EQ(input.read(pieces).length, 5u);
  input.take(2);
  input.keep_received();
  input.close_chunk();
  EXPECT_EQ(envoy.received(kRes), "");
  EXPECT_EQ(input.read(pieces).length, 3u);
  EXPECT_EQ(text_of(pieces), "unk");
}

TEST(HeldInput, TheFirstBytesOfAChunkMayStay) {
  SmallEnvoy envoy;
  MemoryCount memory;
  HeldInput input(envoy, memory, kReq);
  envoy.received(kReq) = "theirs ours";
  input.keep_received_behind(7);
  EXPECT_EQ(envoy.received(kReq), "theirs ");
  EXPECT_EQ(input.kept().front(), "ours");
  input.keep_received_behind(7);
  EXPECT_EQ(input.kept().size(), 4u) << "nothing lies behind them";
}

TEST(HeldInput, WhatLiesInTheSharedBufferGoesToMemory) {
  SmallEnvoy envoy;
  MemoryCount memory;
  HeldInput input(envoy, memory, kReq);
  envoy.buffered(kReq) = "ours";
  input.buffer().leave(4);
  input.keep_shared();
  EXPECT_FALSE(input.buffer().is_ours());
  EXPECT_EQ(envoy.buffered(kReq), "");
  EXPECT_EQ(input.kept().front(), "ours");
}

// ---- FiltersBehind ----

TEST(FiltersBehind, LetHeadersByAsFarAsAnEdgeOrASignTells) {
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc behind_ext_proc(envoy, facts, kReq);
  FiltersBehind behind(envoy, facts, behind_ext_proc, kReq);
  EXPECT_TRUE(behind.let_by(true)) << "headers that are with us meet nobody";
  behind.watch().let_go();
  EXPECT_FALSE(behind.let_by(true));
  EXPECT_FALSE(behind.let_by(false));
  behind.note_frames(2, 1);
  EXPECT_FALSE(behind.let_by(true)) << "one of two frames was stopped";
  behind.note_frames(2, 2);
  EXPECT_TRUE(behind.let_by(true));
  behind.note_frames(0, 0);
  EXPECT_FALSE(behind.let_by(true)) << "nothing went, so nothing is known";
  envoy.facts().has_upstream = true;
  EXPECT_TRUE(behind.let_by(false));
}

TEST(FiltersBehind, WhoKeepsEachPushIsNotShownItAgain) {
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc behind_ext_proc(envoy, facts, kReq);
  FiltersBehind behind(envoy, facts, behind_ext_proc, kReq);
  stock::SharedBuffer buffer(envoy, kReq);
  EXPECT_TRUE(behind.keep_at_once(buffer, 0)) << "nobody keeps anything";
  EXPECT_FALSE(behind.keep_at_once(buffer, 3));
  behind.watch().told();
  envoy.buffered(kReq) = "abc";
  behind.note_push(buffer, std::nullopt, 0, 3, true);
  EXPECT_TRUE(behind.keep_at_once(buffer, 3));
  envoy.buffered(kReq) = "ab";
  behind.look(buffer, std::nullopt);
  EXPECT_FALSE(behind.keep_at_once(buffer, 2)) << "some of it has gone: who knows whose the rest is";
}

TEST(FiltersBehind, TheRoutersCopyIsAllThatItWasSent) {
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc behind_ext_proc(envoy, facts, kReq);
  FiltersBehind behind(envoy, facts, behind_ext_proc, kReq);
  envoy.facts().has_upstream = true;
  EXPECT_FALSE(behind.is_routers_copy(3, 3)) << "our headers have not gone";
  behind.watch().let_go();
  EXPECT_TRUE(behind.is_routers_copy(3, 3));
  EXPECT_FALSE(behind.is_routers_copy(3, 5)) << "more has come to the edge than lies there";
  EXPECT_FALSE(behind.is_routers_copy(0, 0));
  EXPECT_TRUE(behind.is_routers_copy(3, std::nullopt));
  stock::SharedBuffer buffer(envoy, kReq);
  behind.watch().told();
  behind.note_push(buffer, std::nullopt, 0, 4, true);
  EXPECT_FALSE(behind.is_routers_copy(3, std::nullopt)) << "a push was not kept, so the router keeps nothing";
  const ExtProc response_ext_proc(envoy, facts, kRes);
  FiltersBehind response(envoy, facts, response_ext_proc, kRes);
  response.watch().told();
  EXPECT_FALSE(response.is_routers_copy(3, 3)) << "of responses nobody makes a copy";
}

TEST(FiltersBehind, WhatHasPassedTheEdgeIsKeptNoLonger) {
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc behind_ext_proc(envoy, facts, kReq);
  FiltersBehind behind(envoy, facts, behind_ext_proc, kReq);
  stock::SharedBuffer buffer(envoy, kReq);
  envoy.buffered(kReq) = "abcdef";
  behind.look(buffer, 10);
  EXPECT_EQ(behind.still_kept(buffer, 10), 6u);
  EXPECT_EQ(behind.still_kept(buffer, 14), 2u);
  EXPECT_EQ(behind.still_kept(buffer, 99), 0u);
}

// ---- Buffering ----

TEST(Buffering, WhoSetsALimitGathersTheBody) {
  SmallEnvoy envoy;
  envoy.limit = 1000;
  Buffering buffering(envoy, kReq);
  buffering.before_headers();
  EXPECT_EQ(envoy.limit, 1001u) << "another number than before shows who sets one";
  buffering.after_headers();
  EXPECT_FALSE(buffering.is_gathered_behind());
  EXPECT_EQ(envoy.limit, 1000u);
  buffering.before_headers();
  envoy.limit = 1000;  // a filter behind sets the very same
  buffering.after_headers();
  EXPECT_TRUE(buffering.is_gathered_behind());
  EXPECT_EQ(envoy.limit, 1000u);
}

TEST(Buffering, WithoutALimitNothingIsKnown) {
  SmallEnvoy envoy;
  Buffering buffering(envoy, kReq);
  buffering.before_headers();
  EXPECT_EQ(envoy.limit, 0u);
  envoy.limit = 7;
  buffering.after_headers();
  EXPECT_FALSE(buffering.is_gathered_behind());
  EXPECT_EQ(envoy.limit, 7u);
}

Buffering gathered(SmallEnvoy& envoy, Dir dir) {
  envoy.limit = 1000;
  envoy.facts().map(HeaderType::kRequest).emplace();
  Buffering buffering(envoy, dir);
  buffering.before_headers();
  envoy.limit = 5000;
  buffering.after_headers();
  return buffering;
}

TEST(Buffering, ALengthIsSetForWhoWouldCountTwice) {
  SmallEnvoy envoy;
  auto buffering = gathered(envoy, kReq);
  buffering.on_output(40);
  buffering.on_output(2);
  EXPECT_EQ(buffering.emitted(), 42u);
  buffering.before_end(0, 0);
  EXPECT_FALSE(envoy.header(HeaderType::kRequest, "content-length")) << "all of it goes now, and is counted once";
  buffering.before_end(40, 39);
  EXPECT_FALSE(envoy.header(HeaderType::kRequest, "content-length")) << "that filter has not kept all of it";
  buffering.before_end(40, 40);
  EXPECT_EQ(envoy.header(HeaderType::kRequest, "content-length"), "42");
  buffering.on_output(1);
  buffering.before_end(40, 40);
  EXPECT_EQ(envoy.header(HeaderType::kRequest, "content-length"), "42") << "one that is there stays";
}

TEST(Buffering, NoLengthIsSetForResponsesNorForNobody) {
  SmallEnvoy envoy;
  auto response = gathered(envoy, kRes);
  response.on_output(2);
  response.before_end(2, 2);
  EXPECT_FALSE(envoy.header(HeaderType::kRequest, "content-length"));
  Buffering nobody(envoy, kReq);
  nobody.on_output(2);
  nobody.before_end(2, 2);
  EXPECT_FALSE(envoy.header(HeaderType::kRequest, "content-length"));
}

TEST(Buffering, APushPastALargeCopyHasToBeWorthIt) {
  SmallEnvoy envoy;
  envoy.limit = 1000;
  Buffering buffering(envoy, kReq);
  EXPECT_TRUE(buffering.is_worth(0, 5)) << "no copy";
  EXPECT_TRUE(buffering.is_worth(995, 5)) << "within the limit";
  EXPECT_FALSE(buffering.is_worth(996, 5));
  EXPECT_TRUE(buffering.is_worth(996, 1000));
  EXPECT_FALSE(buffering.is_worth(1996, 1000)) << "twice as much each time";
  EXPECT_TRUE(buffering.is_worth(1996, 2000));
  envoy.limit = 0;
  EXPECT_TRUE(buffering.is_worth(1 << 20, 1)) << "no limit";
}

TEST(Buffering, WhatPausedThePeerIsPutBackOverTheLimit) {
  SmallEnvoy envoy;
  envoy.limit = 10;
  Buffering buffering(envoy, kReq);
  envoy.buffered(kReq) = "12345";
  buffering.cross_limit_again(5);
  EXPECT_EQ(envoy.appends, 0) << "half of the limit: Envoy reads again by itself";
  envoy.buffered(kReq) = "123456";
  buffering.cross_limit_again(6);
  EXPECT_EQ(envoy.appends, 1);
  EXPECT_EQ(envoy.buffered(kReq), "123456");
  envoy.limit = 0;
  buffering.cross_limit_again(6);
  EXPECT_EQ(envoy.appends, 1);
}

// ---- FarEnd ----

TEST(FarEnd, IsHeldToldAndReleased) {
  FarEnd end;
  EXPECT_FALSE(end.is_held() || end.is_told());
  end.hold(0, InputEnd::kIn);
  EXPECT_TRUE(end.is_held());
  EXPECT_FALSE(end.is_told());
  EXPECT_EQ(end.end(), InputEnd::kIn);
  end.told();
  EXPECT_TRUE(end.is_told());
  EXPECT_FALSE(end.is_held());
  end.let_go();
  EXPECT_FALSE(end.is_held() || end.is_told());
}

TEST(FarEnd, MayBeToldOnceEverythingBeforeItHasCome) {
  FarEnd end;
  end.saw(3);
  end.hold(8, InputEnd::kInBeforeTrailers);
  EXPECT_FALSE(end.all_has_come());
  end.saw(4);
  EXPECT_FALSE(end.all_has_come());
  end.saw(1);
  EXPECT_TRUE(end.all_has_come());
  end.saw(1);
  EXPECT_FALSE(end.all_has_come()) << "more than went by: somebody in between makes other bytes of them";
  EXPECT_EQ(end.end(), InputEnd::kInBeforeTrailers);
}

TEST(FarEnd, OneThatIsReleasedUntoldIsOpen) {
  FarEnd end;
  end.hold(1, InputEnd::kIn);
  end.let_go();
  EXPECT_FALSE(end.is_held());
}

// ---- Moment ----

TEST(Moment, RunsForTwentyMilliseconds) {
  FakeClock clock;
  Moment moment;
  EXPECT_FALSE(moment.is_running());
  EXPECT_TRUE(moment.is_over(0)) << "one that never began";
  moment.start();
  EXPECT_EQ(moment.until(), now_ns() + nanos(milliseconds(20)));
  clock.pass(milliseconds(19));
  EXPECT_TRUE(moment.is_running());
  EXPECT_FALSE(moment.is_over(0));
  clock.pass(milliseconds(1));
  EXPECT_FALSE(moment.is_running());
  EXPECT_TRUE(moment.is_over(0));
  EXPECT_EQ(moment.until(), 0) << "no deadline is left behind";
}

TEST(Moment, IsOverWhenMuchWasKept) {
  FakeClock clock;
  Moment moment;
  moment.start();
  EXPECT_FALSE(moment.is_over((2 << 20) - 1));
  EXPECT_TRUE(Moment::keeps((2 << 20) - 1));
  EXPECT_FALSE(Moment::keeps(2 << 20));
  EXPECT_TRUE(moment.is_over(2 << 20));
  EXPECT_FALSE(moment.is_running());
  EXPECT_TRUE(moment.is_over(0));
}

TEST(Moment, MayBeALongOne) {
  FakeClock clock;
  Moment moment;
  moment.start(Moment::kLong);
  EXPECT_EQ(moment.until(), now_ns() + nanos(milliseconds(100)));
  clock.pass(milliseconds(90));
  moment.extend();
  EXPECT_EQ(moment.until(), now_ns() + nanos(milliseconds(90))) << "180 in all";
}

// Not beyond a bound: a peer that waits for bytes does not wait for trailers.
TEST(Moment, GrowsWithWhatComesButNotForLong) {
  FakeClock clock;
  Moment moment;
  moment.extend();
  EXPECT_FALSE(moment.is_running()) << "one that never began";
  moment.start();
  for (int i = 0; i < 5; ++i) {
    clock.pass(milliseconds(19));
    EXPECT_TRUE(moment.is_running());
    moment.extend();
  }
  EXPECT_EQ(moment.until(), now_ns() + nanos(milliseconds(5)));
  clock.pass(milliseconds(5));
  moment.extend();
  EXPECT_FALSE(moment.is_running());
}

// ---- FiltersBefore ----

struct Before {
  FakeClock clock;
  SmallEnvoy envoy;
  ChainFacts facts;
  Nanos in(milliseconds time) const { return now_ns() + nanos(time); }
  void tell_length(Dir dir, const char* length) {
    envoy.facts().map(headers_of(dir)) = HeaderMap{{"content-length", length}};
  }
  // What a stream of the same filter knows that begins now.
  Nanos next_waits(Dir dir) {
    FiltersBefore next(envoy, facts, dir);
    return next.hold_end_until({.seen = 0});
  }
};

TEST(FiltersBefore, TrailersThatHaveNotComeToUsAreWithOneOfThem) {
  for (const Dir dir : {kReq, kRes}) {
    Before stream;
    FiltersBefore before(stream.envoy, stream.facts, dir);
    EXPECT_EQ(before.hold_end_until({.seen = 5}), 0);
    stream.envoy.facts().map(trailers_of(dir)).emplace();
    EXPECT_EQ(before.hold_end_until({.seen = 5}), FiltersBefore::kUntilItComes);
    stream.envoy.facts().map(trailers_of(dir)).reset();
    EXPECT_EQ(stream.next_waits(dir), stream.in(milliseconds(50))) << "one that is there stays there";
    EXPECT_EQ(stream.next_waits(other(dir)), 0) << "for the other direction it is behind us";
  }
}

TEST(FiltersBefore, ARequestWithALengthIsInWhenAllOfItHasComeFromTheClient) {
  Before stream;
  stream.tell_length(kReq, "10");
  FiltersBefore before(stream.envoy, stream.facts, kReq);
  EXPECT_EQ(before.hold_end_until({.seen = 4}), stream.in(milliseconds(50))) << "only 1.40 tells, but it is small";
  stream.envoy.shown_request_bytes = 9;
  EXPECT_EQ(before.hold_end_until({.seen = 4}), 0);
  stream.envoy.shown_request_bytes = 10;
  EXPECT_EQ(before.hold_end_until({.seen = 4}), stream.in(milliseconds(1000)));
  EXPECT_EQ(before.hold_end_until({.seen = 10}), stream.in(milliseconds(1000))) << "only the end is missing";
  stream.clock.pass(milliseconds(1000));
  EXPECT_EQ(before.hold_end_until({.seen = 10}), 0) << "the client itself may be late with it";
  stream.tell_length(kReq, "100000");
  stream.envoy.shown_request_bytes.reset();
  EXPECT_EQ(stream.next_waits(kReq), 0) << "a client that is late with its end says nothing of filters";
}

TEST(FiltersBefore, ARequestOfLengthZeroWhoseClientIsLateWithItsEndGoesOn) {
  Before stream;
  stream.tell_length(kReq, "0");
  stream.envoy.shown_request_bytes = 0;
  FiltersBefore before(stream.envoy, stream.facts, kReq);
  EXPECT_EQ(before.hold_end_until({.seen = 0}), stream.in(milliseconds(50)));
  stream.clock.pass(milliseconds(50));
  EXPECT_EQ(before.hold_end_until({.seen = 0}), 0) << "it may wait for a 100 (Continue)";
}

TEST(FiltersBefore, BytesThatHaveNotComeToUsAreWithOneOfThem) {
  Before stream;
  FiltersBefore before(stream.envoy, stream.facts, kReq);
  stream.envoy.shown_request_bytes = 10;
  EXPECT_EQ(before.hold_end_until({.seen = 10}), 0);
  EXPECT_EQ(before.hold_end_until({.seen = 4}), stream.in(milliseconds(250)));
  stream.clock.pass(milliseconds(100));
  before.on_input();
  EXPECT_EQ(before.hold_end_until({.seen = 4}), stream.in(milliseconds(250))) << "from the latest input on";
  EXPECT_EQ(before.hold_end_until({.seen = 10}), stream.in(milliseconds(50))) << "an empty end may be";
  stream.clock.pass(milliseconds(50));
  EXPECT_EQ(before.hold_end_until({.seen = 10}), 0);
  stream.clock.pass(milliseconds(200));
  EXPECT_EQ(before.hold_end_until({.seen = 4}), 0) << "a filter may as well have made less of them";
}

TEST(FiltersBefore, AHookThatBringsLessThanHasComeShowsThemToo) {
  Before stream;
  FiltersBefore before(stream.envoy, stream.facts, kReq);
  stream.envoy.shown_request_bytes = 10;
  before.look(10);
  stream.envoy.shown_request_bytes.reset();
  before.look(4);
  EXPECT_EQ(stream.next_waits(kReq), 0);
  stream.envoy.shown_request_bytes = 10;
  before.look(4);
  stream.envoy.shown_request_bytes.reset();
  EXPECT_EQ(stream.next_waits(kReq), stream.in(milliseconds(50)));
  EXPECT_EQ(stream.next_waits(kRes), 0);
}

TEST(FiltersBefore, OutputOfNoInputMayGoWithAnEndOfAnEmptyMessage) {
  Before stream;
  FiltersBefore before(stream.envoy, stream.facts, kRes);
  EXPECT_EQ(before.hold_end_until({.seen = 0, .gone = 0, .waiting = 2}), stream.in(milliseconds(50)));
  EXPECT_EQ(before.hold_end_until({.seen = 1, .gone = 0, .waiting = 2}), 0);
  stream.clock.pass(milliseconds(50));
  EXPECT_EQ(before.hold_end_until({.seen = 0, .gone = 0, .waiting = 2}), 0);
}

TEST(FiltersBefore, TheLengthIsThatWhichCame) {
  Before stream;
  stream.tell_length(kRes, "10");
  FiltersBefore before(stream.envoy, stream.facts, kRes);
  EXPECT_EQ(before.hold_end_until({.seen = 4}), stream.in(milliseconds(50)));
  stream.tell_length(kRes, "1000000");
  EXPECT_EQ(before.hold_end_until({.seen = 4}), stream.in(milliseconds(50))) << "ours has written that one";
}

TEST(FiltersBefore, WaitsForAnExtProcThatIsSeenAsLongAsItsCallsTake) {
  Before stream;
  stream.envoy.shown_ext_proc = "sh:30000:0,sb:2:20000:0,bs:700,br:80";
  FiltersBefore before(stream.envoy, stream.facts, kRes);
  before.ext_proc().look_at_headers();
  EXPECT_EQ(before.hold_end_until({.seen = 0}), stream.in(milliseconds(250 + 2 * 30))) << "it may have all of it";
  before.on_input();
  EXPECT_EQ(before.hold_end_until({.seen = 5}), stream.in(milliseconds(100 + 2 * 30)));
  stream.envoy.shown_ext_proc = "sh:1:0,sb:2:120000:0,bs:700,br:80";
  EXPECT_EQ(before.hold_end_until({.seen = 5}), stream.in(milliseconds(100 + 2 * 60)));
  stream.envoy.shown_ext_proc = "sh:9000000:0,sb:2:120000:0,bs:700,br:80";
  EXPECT_EQ(before.hold_end_until({.seen = 5}), stream.in(milliseconds(100 + 2 * 250))) << "it waited for a connection";
}

TEST(FiltersBefore, LeavesNoDeadlineBehind) {
  Before stream;
  FiltersBefore before(stream.envoy, stream.facts, kReq);
  before.wait_until(FiltersBefore::kUntilItComes);
  EXPECT_TRUE(before.are_waited_for());
  EXPECT_EQ(before.quiet_at(), 0);
  before.look_at_time();
  EXPECT_TRUE(before.are_waited_for());
  before.wait_until(stream.in(milliseconds(50)));
  EXPECT_NE(before.quiet_at(), 0);
  stream.clock.pass(milliseconds(50));
  before.look_at_time();
  EXPECT_FALSE(before.are_waited_for());
  EXPECT_EQ(before.quiet_at(), 0);
}

// ---- Injector ----

TEST(Injector, WaitsForQuietUntilItKnowsThatNobodyInjects) {
  FakeClock clock;
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc first_ext_proc(envoy, facts, kReq);
  Injector first(facts, first_ext_proc, kReq);
  EXPECT_FALSE(first.is_waited_for()) << "without an edge behind it nothing is known";
  first.watch();
  first.start(std::nullopt);
  EXPECT_TRUE(first.is_waited_for());
  clock.pass(milliseconds(19));
  first.on_input(0);
  clock.pass(milliseconds(19));
  EXPECT_TRUE(first.is_waited_for());
  clock.pass(milliseconds(1));
  EXPECT_FALSE(first.is_waited_for());
  first.look_at_time();
  EXPECT_EQ(first.quiet_at(), 0) << "no deadline is left behind";
  first.on_input(0);
  first.found_none();
  EXPECT_FALSE(first.is_waited_for());
  const ExtProc second_ext_proc(envoy, facts, kReq);
  Injector second(facts, second_ext_proc, kReq);
  second.watch();
  second.start(std::nullopt);
  EXPECT_FALSE(second.is_waited_for()) << "what one stream has found out holds for the next";
}

TEST(Injector, OnceFoundItStaysAndARequestWithALengthWaitsForItsEnd) {
  FakeClock clock;
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc first_ext_proc(envoy, facts, kReq);
  Injector first(facts, first_ext_proc, kReq);
  first.watch();
  first.start(std::nullopt);
  first.found();
  first.found_none();
  const ExtProc second_ext_proc(envoy, facts, kReq);
  Injector second(facts, second_ext_proc, kReq);
  second.watch();
  second.start(10);
  second.on_input(9);
  clock.pass(std::chrono::seconds(5));
  EXPECT_TRUE(second.is_waited_for());
  EXPECT_EQ(second.quiet_at(), 0) << "no time ends that";
  second.on_input(10);
  clock.pass(milliseconds(999));
  EXPECT_TRUE(second.is_waited_for());
  EXPECT_NE(second.quiet_at(), 0);
  clock.pass(milliseconds(1));
  EXPECT_FALSE(second.is_waited_for()) << "the client may be late with its end, and wait for an answer";
  ChainFacts elsewhere;
  const ExtProc other_ext_proc(envoy, elsewhere, kReq);
  Injector other(elsewhere, other_ext_proc, kReq);
  other.watch();
  other.start(std::nullopt);
  other.found_none();
  EXPECT_FALSE(other.is_waited_for());
}

TEST(Injector, AnExtProcThatIsSeenIsBelievedMoreThanAPushThatHasCome) {
  FakeClock clock;
  SmallEnvoy envoy;
  envoy.shown_ext_proc = "rb:1:2000:0,bs:900";
  ChainFacts facts;
  ExtProc ext_proc(envoy, facts, kReq);
  Injector injector(facts, ext_proc, kReq);
  injector.watch();
  injector.found_none();
  injector.start(std::nullopt);
  EXPECT_FALSE(injector.is_waited_for());
  ext_proc.look_at_headers();
  EXPECT_TRUE(ext_proc.look_behind());
  injector.start(std::nullopt);
  clock.pass(milliseconds(249));
  EXPECT_TRUE(injector.is_waited_for());
  clock.pass(milliseconds(1));
  EXPECT_FALSE(injector.is_waited_for());
}

TEST(Injector, BesideAnExtProcThatMayTakeNoBodiesAStreamThatNeverPausesIsLateOnce) {
  for (const bool has_length : {false, true}) {
    FakeClock clock;
    SmallEnvoy envoy;
    envoy.shown_ext_proc = "rh:100:0,bs:500";
    ChainFacts facts;
    ExtProc ext_proc(envoy, facts, kRes);
    ext_proc.look_at_headers();
    Injector injector(facts, ext_proc, kRes);
    injector.start(has_length ? std::optional<uint64_t>(1'000'000) : std::nullopt);
    clock.pass(milliseconds(500));
    for (int i = 1; i <= 25; ++i) {
      injector.on_input(i);
      EXPECT_TRUE(injector.is_waited_for()) << i;
      EXPECT_NE(injector.quiet_at(), 0);
      clock.pass(milliseconds(10));
    }
    injector.on_input(26);
    EXPECT_FALSE(injector.is_waited_for());
  }
}

TEST(Injector, WithoutAnEdgeTheOtherDirectionHasShownIt) {
  FakeClock clock;
  SmallEnvoy envoy;
  ChainFacts facts;
  const ExtProc first_ext_proc(envoy, facts, kReq);
  Injector first(facts, first_ext_proc, kReq);
  first.start(std::nullopt);
  EXPECT_FALSE(first.is_waited_for());
  first.found();
  FiltersBefore(envoy, facts, kReq).found_taker();
  EXPECT_FALSE(first.is_waited_for()) << "that one is before this direction";
  FiltersBefore(envoy, facts, kRes).found_taker();
  first.on_input(0);
  EXPECT_TRUE(first.is_waited_for());
  const ExtProc watched_ext_proc(envoy, facts, kReq);
  Injector watched(facts, watched_ext_proc, kReq);
  watched.watch();
  watched.start(std::nullopt);
  watched.found_none();
  EXPECT_FALSE(watched.is_waited_for()) << "an edge sees it for itself";
}

}  // namespace
}  // namespace tsf::core::test
