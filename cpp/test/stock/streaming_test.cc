// Bodies that the host streams, their trailers, both directions at once, and ends in the middle of it.
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

// ---- Stream ----

TEST_F(StreamTest, StreamLetsTheHeadersGoAtOnceWhenNoInputWaits) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  envoy().data(kReq, "abc", false);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].bytes, "abc");
  EXPECT_EQ(heard[0].flags, 0);
  EXPECT_EQ(envoy().upstream().body, "");
  output(kReq, 3, "ABC", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "ABC");
}

TEST_F(StreamTest, StreamWithInputAtHandSendsHeadersWithTheFirstPush) {
  connect_and_open();
  envoy().data(kReq, "abc", false);
  answer(kReq, BodyMode_Stream);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  EXPECT_EQ(join(hear(), kReq), "abc");
  output(kReq, 3, "ABC", OutputFlag_Digested);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  EXPECT_EQ(envoy().upstream().body, "ABC");
}

TEST_F(StreamTest, StreamHoldKeepsTheHeadersForTheFirstOutput) {
  connect_and_open();
  answer(kReq, BodyMode_StreamHold);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "", OutputFlag_Digested);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest, {{wire::HeaderOp_Set, "late", "yes"}}));
  output(kReq, 0, "out", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().header("late"), "yes");
  EXPECT_EQ(envoy().upstream().body, "out");
}

TEST_F(StreamTest, ReleaseLetsHeldHeadersGoWithoutOutput) {
  connect_and_open();
  answer(kReq, BodyMode_StreamHold);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "", OutputFlag_Digested);
  EXPECT_FALSE(envoy().upstream().headers.has_value());
  output(kReq, 0, "", static_cast<uint8_t>(wire::OutputFlag_Release | OutputFlag_Digested));
  EXPECT_TRUE(envoy().upstream().headers.has_value());
  EXPECT_EQ(envoy().upstream().body, "");
}

TEST_F(StreamTest, TheEndOfTheInputComesWithTheLastBytes) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].bytes, "abc");
  EXPECT_TRUE(heard[0].has(wire::DataFlag_Last));
  output(kReq, 3, "A", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "") << "one continue is left, it is for the end";
  output(kReq, 0, "BC", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, AnEmptyLastFrameEndsTheStreamToo) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "ABC", OutputFlag_Digested);
  envoy().data(kReq, "", true);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].has(wire::DataFlag_Last));
  output(kReq, 0, "", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TheWindowBoundsWhatTheHostHasAndEnvoyPausesThePeer) {
  settings().stream_window = 10000;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  std::string sent;
  while (!envoy().paused(kReq) && sent.size() < (1 << 20)) {
    std::string piece(3000, static_cast<char>('a' + sent.size() % 26));
    envoy().data(kReq, piece, false);
    sent += piece;
  }
  EXPECT_LE(sent.size(), 10000u + (32 << 10) + 6000);
  std::string got = join(hear(), kReq);
  EXPECT_EQ(got.size(), 10000u);
  for (int i = 0; i < 20 && got.size() < sent.size(); ++i) {
    output(kReq, 5000, "", 0);
    got += join(hear(), kReq);
    EXPECT_LE(got.size(), 10000u + 5000u * (i + 1));
  }
  EXPECT_EQ(got, sent);
  EXPECT_FALSE(envoy().paused(kReq));
}

TEST_F(StreamTest, OutputDoesNotGoWhileTheHostOwesMoreForItsInput) {
  settings().stream_window = 4096;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, std::string(6000, 'x'), false);
  EXPECT_EQ(join(hear(), kReq).size(), 4096u);
  EXPECT_EQ(envoy().buffered(kReq), 1904u);
  output(kReq, 0, "out", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "") << "the one continue is not spent: 4096 bytes are not acknowledged";
  output(kReq, 4096, "put", OutputFlag_Digested);
  EXPECT_EQ(join(hear(), kReq).size(), 1904u);
  EXPECT_EQ(envoy().upstream().body, "") << "nor while there is input that it has not seen";
  output(kReq, 1904, "", 0);
  EXPECT_EQ(envoy().upstream().body, "") << "nor before it has said that nothing more comes";
  output(kReq, 0, "!", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "output!");
  EXPECT_EQ(stage_->worker.pending(), 0);
}

// Memory is dearer than the continue then.
TEST_F(StreamTest, APushUnderPressureMovesUnreadInputToOurMemory) {
  settings().stream_window = 4096;
  settings().max_pending_output = 8192;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, std::string(6000, 'x'), false);
  EXPECT_EQ(join(hear(), kReq).size(), 4096u);
  EXPECT_EQ(envoy().buffered(kReq), 1904u);
  output(kReq, 0, std::string(4095, 'o'), 0);
  EXPECT_EQ(envoy().upstream().body, "");
  output(kReq, 0, "o", 0);
  EXPECT_EQ(envoy().upstream().body, std::string(4096, 'o'));
  EXPECT_EQ(stage_->worker.pending(), 1904);
  EXPECT_EQ(envoy().buffered(kReq), 0u);
  output(kReq, 4096, "", 0);
  EXPECT_EQ(join(hear(), kReq).size(), 1904u);
  EXPECT_EQ(stage_->worker.pending(), 0);
}

TEST_F(StreamTest, OutputThatCannotGoWaitsForTheNextFrame) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "1", false);
  hear();
  output(kReq, 1, "one", OutputFlag_Digested);
  output(kReq, 0, "two", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "one") << "one push for each hook";
  EXPECT_EQ(stage_->worker.pending(), 3);
  envoy().data(kReq, "2", false);
  hear();
  output(kReq, 1, "", OutputFlag_Digested);
  EXPECT_EQ(envoy().upstream().body, "onetwo");
}

TEST_F(StreamTest, LastEarlyDrainsTheRestOfTheInput) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 3, "done", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "done");
  EXPECT_EQ(envoy().upstream().ends, 0);
  for (int i = 0; i < 20; ++i) envoy().data(kReq, std::string(5000, 'x'), false);
  EXPECT_FALSE(envoy().paused(kReq));
  EXPECT_TRUE(hear().empty());
  envoy().data(kReq, "x", true);
  const auto heard = hear();
  ASSERT_LE(heard.size(), 1u);
  EXPECT_EQ(envoy().upstream().body, "done");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, BypassLetsTheRestFlowPast) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abcdef", false);
  hear();
  output(kReq, 3, "ABC", OutputFlag_Bypass | OutputFlag_Digested);
  envoy().data(kReq, "ghi", false);
  EXPECT_TRUE(hear().empty());
  output(kReq, 3, "def", OutputFlag_Digested);
  envoy().data(kReq, "jkl", false);
  turn();
  envoy().data(kReq, "mno", true);
  turn();
  EXPECT_EQ(envoy().upstream().body, "ABCdefghijklmno");
  EXPECT_EQ(envoy().upstream().ends, 1);
  EXPECT_TRUE(hear().empty());
}

TEST_F(StreamTest, BypassWithTheInputEndedSendsTheRestAndTheEnd) {
  settings().stream_window = 4096;
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  const std::string body = std::string(4096, 'a') + std::string(4000, 'b');
  envoy().data(kReq, body, true);
  hear();
  output(kReq, 4096, std::string(4096, 'A'), OutputFlag_Bypass);
  EXPECT_EQ(envoy().upstream().body, std::string(4096, 'A') + std::string(4000, 'b'));
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, ABodyLargerThanAFrameComesInFrames) {
  restage({.ring_bytes = 1 << 20});
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  std::string body(200000, 'x');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  stage_->envoy_options.slice = 1 << 20;
  envoy().data(kReq, body, false);
  EXPECT_EQ(join(hear(), kReq), body);
}

// ---- trailers of hosted bodies ----

TEST_F(StreamTest, TrailersFollowTheLastDataAndTheLastOutput) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  envoy().trailers(kReq, {{"t", "1"}});
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_EQ(heard[0].bytes, "abc");
  EXPECT_EQ(heard[1].flags & (wire::DataFlag_Last | wire::DataFlag_Trailers),
            wire::DataFlag_Last | wire::DataFlag_Trailers);
  EXPECT_EQ(heard[2].type, wire::HeaderType_RequestTrailers);
  EXPECT_EQ(heard[2].headers, (HeaderMap{{"t", "1"}}));
  answer(HeaderType::kRequestTrailers, BodyMode_Pass, {{wire::HeaderOp_Set, "t", "2"}});
  EXPECT_FALSE(envoy().upstream().trailers.has_value()) << "the output is not complete";
  output(kReq, 3, "ABC", OutputFlag_Last);
  EXPECT_EQ(envoy().upstream().body, "ABC");
  EXPECT_EQ(envoy().upstream().trailers, (HeaderMap{{"t", "2"}}));
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersWithoutABodyAreTold) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().trailers(kReq, {{"t", "1"}});
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].bytes, "");
  output(kReq, 0, "", OutputFlag_Last);
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersOfABypassedBodyAreTold) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  hear();
  output(kReq, 0, "", OutputFlag_Bypass);
  envoy().trailers(kReq, {{"t", "1"}});
  turn();
  output(kReq, 3, "abc", 0);
  const auto heard = hear();
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard.back().type, wire::HeaderType_RequestTrailers);
  answer(HeaderType::kRequestTrailers, BodyMode_Pass);
  EXPECT_EQ(envoy().upstream().body, "abc");
  EXPECT_EQ(envoy().upstream().ends, 1);
}

TEST_F(StreamTest, TrailersOfAHostedBodyThatAreNotAnsweredTimeOut) {
  settings().message_timeout = Millis(20);
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  envoy().data(kReq, "abc", false);
  envoy().trailers(kReq, {{"t", "1"}});
  hear();
  output(kReq, 3, "ABC", OutputFlag_Last);
  pass_time(40);
  EXPECT_TRUE(envoy().gone()) << "the host never answers the trailers: nothing may hang";
}

// ---- both directions ----

TEST_F(StreamTest, BothDirectionsStreamAtOnce) {
  connect_and_open();
  answer(kReq, BodyMode_Stream);
  respond();
  answer(kRes, BodyMode_Stream);
  for (int i = 0; i < 5; ++i) {
    envoy().data(kReq, "a", false);
    envoy().data(kRes, "b", false);
    const auto heard = hear();
    EXPECT_EQ(join(heard, kReq), "a");
    EXPECT_EQ(join(heard, kRes), "b");
    ASSERT_TRUE(host().output(id_, kRes, 1, "B", OutputFlag_Digested));
    ASSERT_TRUE(host().output(id_, kReq, 1, "A", OutputFlag_Digested));
    turn();
  }
  EXPECT_EQ(envoy().upstream().body, "AAAAA");
  EXPECT_EQ(envoy().downstream().body, "BBBBB");
}

// Envoy ends the stream inside what we do, or later; either way nothing is used after.
TEST_F(StreamTest, AStreamMayEndInsideEverythingWeDo) {
  for (const bool inside : {true, false}) {
    for (const std::string_view call : {"continue", "send_local_reply", "send_response_headers", "send_response_data",
                                        "send_response_trailers", "reset"}) {
      restage({});
      stage_->envoy_options.destroy_inside = inside;
      connect_and_open();
      envoy().on_move = [&](std::string_view what) {
        if (what == call) envoy().disconnect();
      };
      envoy().data(kReq, "body", true);
      if (call == "continue") {
        answer(kReq, BodyMode_Pass);
      } else if (call == "send_local_reply") {
        ASSERT_TRUE(host().local_reply(id_, 403, {}, "no"));
      } else if (call == "reset") {
        settings().max_pending_output = 0;
        ASSERT_TRUE(host().output(id_, kReq, 0, "x", OutputFlag_Added));
      } else {
        ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Headers, packed(kOk), false));
        ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Data, "data", false));
        ASSERT_TRUE(host().reply(id_, wire::ReplyPart_Trailers, packed({{"a", "b"}}), true));
      }
      turn();
      EXPECT_TRUE(envoy().gone()) << call;
      envoy().flush();
      turn();
      EXPECT_EQ(envoy().violations, std::vector<std::string>{}) << call;
      envoy_.reset();
      EXPECT_EQ(stage_->worker.pending(), 0);
    }
  }
}

// The link would wake the worker for it again and again.
TEST_F(StreamTest, AMomentThatIsOverLeavesNoDeadlineBehind) {
  connect_and_open();
  answer_now(HeaderType::kRequest, BodyMode_Stream);
  envoy().data(kReq, "all of it", true);
  hear();
  pass_moment();
  EXPECT_FALSE(envoy().upstream().headers.has_value()) << "one continue is left, it is for the end";
  EXPECT_EQ(envoy().core().deadline(), 0);
}

TEST_F(StreamTest, AStreamMayEndInsideEachContinueOfATransform) {
  for (int nth = 1; nth <= 3; ++nth) {
    restage({});
    connect_and_open();
    int seen = 0;
    envoy().on_move = [&](std::string_view what) {
      if (what == "continue" && ++seen == nth) envoy().disconnect();
    };
    answer(kReq, BodyMode_Stream);
    envoy().data(kReq, "abc", false);
    hear();
    host().output(id_, kReq, 3, "ABC", OutputFlag_Digested);
    turn();
    envoy().data(kReq, "def", true);
    hear();
    host().output(id_, kReq, nth < 3 ? 0 : 3, "DEF", OutputFlag_Last);
    turn();
    EXPECT_TRUE(envoy().gone());
    EXPECT_EQ(envoy().violations, std::vector<std::string>{});
    envoy_.reset();
  }
}

TEST_F(StreamTest, TheOtherStreamsGoOnWhenTheOneThatWakesTheWorkerDies) {
  connect_and_open();
  auto first_envoy = std::move(envoy_);
  open(kReq, kPost, false);
  const StreamId second = id_;
  usleep(26'000);  // their moment, so that the answer is all they wait for
  ASSERT_TRUE(host().answer(second, HeaderType::kRequest, BodyMode_Pass));
  stage_->worker.wake();  // posted to the first
  first_envoy.reset();    // and lost with it
  for (int i = 0; i < 5; ++i) stage_->loop.turn(stage_->worker);
  EXPECT_TRUE(envoy().upstream().headers.has_value());
}

}  // namespace
}  // namespace tsf::core::test
