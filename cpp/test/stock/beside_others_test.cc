// Ours beside filters of others that pause, step by step: each of these was found by a random walk.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

constexpr ChainEntry kOurs{};
constexpr ChainEntry kEdge{ChainEntry::Kind::kEdge};
// No body is as long.
constexpr std::string_view kNeverReached = "1125899906842624";
ChainEntry stops_at_body(Dir dir, int nth) {
  ChainEntry entry{ChainEntry::Kind::kOther};
  entry.pauses[static_cast<size_t>(dir)].at_body = nth;
  return entry;
}
ChainEntry stops_headers(Dir dir) {
  ChainEntry entry{ChainEntry::Kind::kOther};
  entry.pauses[static_cast<size_t>(dir)].headers = true;
  return entry;
}
ChainEntry gathers(Dir dir) {
  ChainEntry entry{ChainEntry::Kind::kOther};
  entry.pauses[static_cast<size_t>(dir)].gathers = true;
  return entry;
}
ChainEntry injects(Dir dir) {
  ChainEntry entry{ChainEntry::Kind::kOther};
  entry.pauses[static_cast<size_t>(dir)].injects = true;
  return entry;
}

class BesideOthers : public StreamTest {
 protected:
  void begin(std::vector<ChainEntry> chain, bool shared_flag = false) {
    restage({.shared_flag = shared_flag});
    stage_->envoy_options.chain = std::move(chain);
    connect_and_open();
  }
  // A filter behind us has stopped the headers, a piece of ours has gone that far, and the end is in.
  void begin_before_one_that_stops(const HeaderMap& headers, uint32_t phases) {
    restage({});
    settings().upgrades = true;
    stage_->envoy_options.chain = {kOurs, stops_headers(kReq)};
    connect_and_open(headers);
    answer(HeaderType::kRequest, BodyMode_Stream, {}, phases);
    envoy().data(kReq, "a", false);
    hear();
    output(kReq, 1, "A", OutputFlag_Digested);
    envoy().data(kReq, "b", true);
    hear();
  }
  // The first piece of a request is with the host.
  void begin_before_an_injector() {
    begin({kEdge, kOurs, injects(kReq), kEdge});
    answer_now(HeaderType::kRequest, BodyMode_Stream);
    envoy().data(kReq, "a", false);
  }
};

// Envoy's end is in with the one before us, so that what we push meets the gate with an end; when that one goes on, it
// shows us what the gate keeps.
TEST_F(BesideOthers, WhatAGateKeepsIsNotInputWhenOneBeforeUsGoesOn) {
  begin({stops_at_body(kReq, 1), kOurs, kEdge});
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "body", false);
  EXPECT_EQ(join(hear(), kReq), "body");
  envoy().data(kReq, "", true);
  EXPECT_TRUE(envoy().is_paused(0, kReq));
  pass_time(26);  // nothing is known yet of who is behind us
  output(kReq, 4, "BODY", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().ends, 0) << "the gate holds the end that is not ours";
  EXPECT_EQ(envoy().buffered(kReq), 4u);
  envoy().go_on(0, kReq);
  EXPECT_EQ(join(hear(), kReq), "") << "our own output";
  output(kReq, 0, "!", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "BODY!");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(BesideOthers, WhatOneBeforeUsPutsBehindOurInputIsNotOursYet) {
  begin({stops_at_body(kReq, 1), kOurs, kEdge});
  pass_moment();
  const std::string in_memory(32 << 10, 'x');
  envoy().data(kReq, in_memory, false);
  envoy().data(kReq, "ours ", false);
  EXPECT_EQ(envoy().buffered(kReq), 5u) << "not answered: it pauses the peer";
  envoy().data(kReq, "not yet", false);
  EXPECT_EQ(envoy().buffered(kReq), 12u);
  answer(kReq, BodyMode_Whole);
  EXPECT_EQ(stage_->worker.pending(), in_memory.size()) << "the one before has not let the rest go";
  envoy().go_on(0, kReq);
  turn();
  EXPECT_EQ(stage_->worker.pending(), in_memory.size() + 12);
  envoy().data(kReq, "", true);
  EXPECT_TRUE(join(hear(), kReq) == in_memory + "ours not yet") << "each byte once";
  output(kReq, in_memory.size() + 12, "OURS", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "OURS");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(BesideOthers, TrailersHooksGoOnBehindABodyThatSomebodyGathers) {
  begin({kOurs, gathers(kReq)});
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_DecodeTrailers);
  envoy().data(kReq, "a body ", false);
  envoy().data(kReq, "that passes", false);
  envoy().trailers(kReq, {{"t", "1"}});
  EXPECT_EQ(hear().at(0).headers, (HeaderMap{{"t", "1"}}));
  answer(HeaderType::kRequestTrailers, BodyMode_Pass, {{wire::HeaderOp_Add, "u", "2"}});
  EXPECT_EQ(envoy().upstream().body, "a body that passes");
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "1"}, {"u", "2"}}));
}

// A failure waits for its turn. What comes before, here the end of the response, must not make a success of it.
TEST_F(BesideOthers, ACutThatIsKnownIsToldBeforeTheResponseEnds) {
  begin({kOurs, stops_at_body(kReq, 1)});
  answer(HeaderType::kRequest, BodyMode_Stream, {},
         wire::Phase_DecodeHeaders | wire::Phase_TransformRequest | wire::Phase_EncodeHeaders |
             wire::Phase_TransformResponse);
  envoy().data(kReq, "zero", false);
  hear();
  output(kReq, 4, "ZERO", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "ZERO");
  envoy().data(kReq, "one", false);
  hear();
  output(kReq, 3, "ONE", OutputFlag_Digested);
  envoy().headers(kRes, kOk, false);
  hear();
  answer(kRes, BodyMode_Stream);
  envoy().data(kRes, "response", true);
  hear();
  ASSERT_TRUE(host().output(id_, kRes, 8, "RESPONSE", OutputFlag_Last));
  envoy().data(kReq, "two", true);
  envoy().go_on(0, kReq);  // it ends the request at ONE
  turn();
  EXPECT_EQ(envoy().reset_details(), "ts_filter_cut_by_chain");
  EXPECT_EQ(envoy().downstream().ends, 0);
}

// A filter behind us goes on with a request whose end is in, and the upstream answers what it has got.
TEST_F(BesideOthers, TheAnswerToARequestThatOthersEndedIsNotGivenOn) {
  for (const uint32_t phases : {UINT32_MAX, wire::Phase_DecodeHeaders | wire::Phase_TransformRequest}) {
    begin_before_one_that_stops(kPost, phases);
    envoy().go_on(0, kReq);
    EXPECT_EQ(envoy().upstream().header("content-length"), kNeverReached);
    EXPECT_EQ(envoy().upstream().header("connection"), "close") << "it waits there for the rest";
    envoy().headers(kRes, kOk, true);
    turn();
    EXPECT_EQ(envoy().reply_details(), "ts_filter_cut_by_chain");
    EXPECT_EQ(envoy().downstream().header(":status"), "502");
  }
}

TEST_F(BesideOthers, OurOwnEndTakesTheMarkAwayAgain) {
  const HeaderMap upgrade{{":method", "POST"}, {":path", "/"}, {"connection", "upgrade"}, {"upgrade", "any"}};
  for (const HeaderMap& headers : {kPost, upgrade}) {
    begin_before_one_that_stops(headers, UINT32_MAX);
    output(kReq, 1, "B", OutputFlag_Last);
    envoy().go_on(0, kReq);
    EXPECT_EQ(envoy().upstream().header("content-length"), "");
    EXPECT_EQ(envoy().upstream().header("connection"), headers == upgrade ? "upgrade" : "");
    EXPECT_EQ(envoy().upstream().body, "AB");
    EXPECT_EQ(envoy().upstream().ends, 1);
  }
}

// What the second of ours leaves unread of a push of the first lies in the buffer then, and what a filter behind both
// keeps has to come before it.
TEST_F(BesideOthers, WhatIsKeptBehindTwoOfOursIsBeforeWhatTheSecondHasNotRead) {
  restage({});
  settings().stream_window = 4096;
  stage_->envoy_options.chain = {kOurs, kOurs, stops_at_body(kReq, 0)};
  connect_and_open();
  const StreamId first_one = id_;
  answer_now(HeaderType::kRequest, BodyMode_Stream);
  envoy().data(kReq, "early", false);
  hear();
  output(kReq, 5, "EARLY", OutputFlag_Digested);
  pass_moment();
  const auto heard = hear();
  const Heard* headers = first(heard, wire::FrameKind_Headers);
  ASSERT_NE(headers, nullptr) << "of the second one";
  const StreamId second_one = id_ = headers->id();
  answer_now(HeaderType::kRequest, BodyMode_Stream);
  EXPECT_EQ(join(hear(), kReq), "EARLY");
  output(kReq, 5, "again", OutputFlag_Digested);
  pass_moment();
  ASSERT_EQ(envoy().buffered(kReq), 5u);

  const auto read_all = [&](StreamId id) {
    id_ = id;
    std::string all;
    for (std::string piece = join(hear(), kReq); !piece.empty(); piece = join(hear(), kReq)) {
      all += piece;
      output(kReq, piece.size(), "", 0);
    }
    return all;
  };
  const std::string late(20'000, 'x');
  envoy().data(kReq, late, false);
  envoy().trailers(kReq, {{"t", "1"}});
  ASSERT_TRUE(read_all(first_one) == late);
  output(kReq, 0, late, OutputFlag_Last);
  ASSERT_TRUE(host().answer(first_one, HeaderType::kRequestTrailers, BodyMode_Pass));
  turn();
  EXPECT_TRUE(read_all(second_one) == late) << "and nothing that it has made itself";
  output(kReq, 0, "!", OutputFlag_Last);
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  envoy().go_on(0, kReq);
  EXPECT_EQ(envoy().upstream().body, "again!");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

// The first edge lets the response's end through by hand, and dies with the stream inside its own continue.
TEST_F(BesideOthers, AnEdgeMayEndTheStreamItself) {
  begin({kEdge, stops_headers(kRes), kOurs});
  answer(kReq, BodyMode_Pass);
  respond();
  answer(kRes, BodyMode_Stream);
  envoy().data(kRes, "body", true);
  hear();
  envoy().go_on(0, kRes);
  output(kRes, 4, "BODY", OutputFlag_Last);
  EXPECT_EQ(envoy().downstream().body, "BODY");
  EXPECT_TRUE(envoy().gone());
}

// A filter that lets go has no more output to ask for a hook with: what lies in the buffer must not pause the peer.
TEST_F(BesideOthers, LettingGoWithInputInThePausedBufferGoesOn) {
  settings().stream_window = 4096;
  begin({kOurs});
  settings().stream_window = 4096;
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, std::string(40000, 'x'), false);
  EXPECT_TRUE(envoy().paused(kReq));
  hear();
  output(kReq, 0, "", OutputFlag_Digested);
  output(kReq, 4096, std::string(4096, 'X'), OutputFlag_Bypass | OutputFlag_Digested);
  turn();
  EXPECT_FALSE(envoy().paused(kReq));
  envoy().data(kReq, "end", true);
  turn();
  EXPECT_EQ(envoy().upstream().body, std::string(4096, 'X') + std::string(35904, 'x') + "end");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

// ext_proc takes what it is given and puts it into the chain later; Envoy forgets that the end is in when it does.
TEST_F(BesideOthers, AResponsesEndIsGivenOnThoughAnInjectorHasUndoneIt) {
  begin({kEdge, injects(kRes), kOurs, kEdge});
  answer(kReq, BodyMode_Pass);
  envoy().data(kReq, "", true);
  envoy().headers(kRes, kOk, false);
  (void)hear();
  answer(kRes, BodyMode_Stream);
  envoy().data(kRes, "a", false);
  output(kRes, 1, "A", OutputFlag_Digested);
  envoy().data(kRes, "b", true);
  envoy().inject(0, kRes);
  EXPECT_EQ(envoy().downstream().body, "A");
  EXPECT_EQ(envoy().downstream().ends, 0);
  output(kRes, 1, "B", OutputFlag_Last);
  envoy().inject(0, kRes);
  EXPECT_EQ(envoy().downstream().body, "AB");
  EXPECT_EQ(envoy().downstream().ends, 1);
}

TEST_F(BesideOthers, ARequestsOutputWaitsForItsEndWhereAnInjectorMayBeBehind) {
  begin_before_an_injector();
  output(kReq, 1, "A", OutputFlag_Digested);
  envoy().inject(0, kReq);
  EXPECT_EQ(envoy().upstream().body, "");
  envoy().data(kReq, "b", true);
  output(kReq, 1, "B", OutputFlag_Last);
  envoy().inject(0, kReq);
  EXPECT_EQ(envoy().upstream().body, "AB");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(BesideOthers, ARequestWhoseEndAnInjectorHasUndoneIsCutWithACode) {
  begin_before_an_injector();
  pass_time(26);
  output(kReq, 1, "A", OutputFlag_Digested);
  envoy().data(kReq, "b", true);
  envoy().inject(0, kReq);
  turn();
  EXPECT_TRUE(stage_->process.logged("ts_filter_cut_by_chain"));
  EXPECT_EQ(envoy().upstream().ends, 0);
}

// Without an edge: the trailers are in for all filters, and the one before us still has bytes.
TEST_F(BesideOthers, OutputWaitsForAnEndThatAnInjectorBeforeUsHas) {
  ChainEntry injects_and_keeps_trailers = injects(kReq);
  injects_and_keeps_trailers.pauses[0].at_body = 1;
  for (const bool shared : {false, true}) {
    begin({injects_and_keeps_trailers, kOurs}, shared);
    answer_now(HeaderType::kRequest, BodyMode_Stream);
    pass_moment();
    envoy().data(kReq, "a", false);
    envoy().inject(0, kReq);
    EXPECT_EQ(join(hear(), kReq), "a");
    envoy().data(kReq, "b", false);
    envoy().trailers(kReq, {{"t", "1"}});
    output(kReq, 1, "A", OutputFlag_Digested);
    pass_time(260);
    EXPECT_EQ(envoy().upstream().body, "");
    EXPECT_EQ(envoy().upstream().ends, 0);
    envoy().inject(0, kReq);
    envoy().go_on(0, kReq);
    EXPECT_EQ(join(hear(), kReq), "b");
    output(kReq, 1, "B", OutputFlag_Last);
    answer(HeaderType::kRequestTrailers, BodyMode_Pass);
    EXPECT_EQ(envoy().upstream().body, "AB");
    EXPECT_EQ(envoy().upstream().ends, 1);
  }
}

// ext_proc lets headers go on with the end that is in, and has bytes of ours at its server.
TEST_F(BesideOthers, On138BytesThatComeTooLateForTheEndCutTheMessageWithACode) {
  ChainEntry stops_and_injects = injects(kReq);
  stops_and_injects.pauses[0].headers = true;
  for (const bool shared : {true, false}) {
    begin({kEdge, kOurs, stops_and_injects, kEdge}, shared);
    answer_now(HeaderType::kRequest, BodyMode_Stream);
    envoy().data(kReq, "a", false);
    pass_moment();
    hear();
    output(kReq, 1, "A", OutputFlag_Digested);
    envoy().data(kReq, "b", true);
    envoy().go_on(0, kReq);
    turn();
    EXPECT_EQ(stage_->process.logged("ts_filter_cut_by_chain"), shared);
    EXPECT_EQ(envoy().upstream().ends, 0);
  }
}

// ext_proc lets the headers go on with the end that has come in, and what it keeps would come too late.
TEST_F(BesideOthers, On138WhatIsKeptBehindGoesAgainWithTheEnd) {
  for (const bool shared : {true, false}) {
    begin({kEdge, kOurs, stops_headers(kReq), kEdge}, shared);
    answer_now(HeaderType::kRequest, BodyMode_Stream);
    envoy().data(kReq, "a", false);
    pass_moment();
    hear();
    output(kReq, 1, "A", OutputFlag_Digested);
    ASSERT_EQ(envoy().buffered(kReq), 1u);
    envoy().data(kReq, "b", false);
    hear();
    envoy().trailers(kReq, {{"t", "1"}});
    EXPECT_EQ(envoy().buffered(kReq), shared ? 0u : 1u) << "only 1.38 needs it";
    envoy().go_on(0, kReq);
    output(kReq, 1, "B", OutputFlag_Last);
    hear();
    answer(HeaderType::kRequestTrailers, BodyMode_Pass);
    EXPECT_EQ(envoy().upstream().body, "AB");
    EXPECT_EQ(envoy().upstream().ends, 1);
    EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "1"}}));
  }
}

TEST_F(BesideOthers, On138WhatWentByOursIsTakenBackForItsTrailers) {
  begin({kEdge, kOurs, stops_headers(kReq), kEdge}, true);
  answer(HeaderType::kRequest, BodyMode_Pass, {}, wire::Phase_DecodeHeaders | wire::Phase_DecodeTrailers);
  envoy().data(kReq, "a body", false);
  ASSERT_EQ(envoy().buffered(kReq), 6u);
  envoy().trailers(kReq, {{"t", "1"}});
  EXPECT_EQ(envoy().buffered(kReq), 0u);
  envoy().go_on(0, kReq);
  hear();
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "a body");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

}  // namespace
}  // namespace tsf::core::test
