// An observing filter among others: what it has told its host is what went by where it stands, once, or the host knows
// that it is not all; and nobody else behaves as if it were there.
#include <map>
#include <random>

#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

using Kind = ChainEntry::Kind;

ChainEntry gatherer() { return {Kind::kOther, {Pauses{.gathers = true}, Pauses{}}}; }
ChainEntry pausing(Pauses request) { return {Kind::kOther, {request, Pauses{}}}; }

// What a host heard of one observer.
struct View {
  std::string body;
  bool has_end = false;
  std::optional<uint8_t> reason;
  bool is_whole() const { return has_end && reason == wire::EndReason_Complete; }
};

class ObservingTest : public StreamTest {
 protected:
  void start(std::vector<ChainEntry> chain, bool shared_flag = false) {
    restage({.shared_flag = shared_flag});
    stage_->envoy_options.chain = std::move(chain);
    stage_->envoy_options.destroy_inside = true;
    stage_->connect();
    turn();
    observed_.clear();
    envoy_ = stage_->open();
    envoy_->headers(kReq, kPost, false);
    work();
  }
  void send(std::string_view bytes, bool end) {
    envoy().data(kReq, std::string(bytes), end);
    work();
  }
  // The upstream has answered, and all is over.
  void end() {
    if (!envoy().gone()) envoy().headers(kRes, kOk, false);
    work();
    if (!envoy().gone()) envoy().data(kRes, "answer", true);
    work();
    envoy().disconnect();
    work();
    envoy().flush();
    work();
  }
  // What our own filter's host does: it hands everything back, in capitals.
  void work() {
    pass_moment();
    for (int i = 0; i < 4; ++i) {
      for (const Heard& f : hear()) on_frame(f);
      turn();
    }
  }
  void on_frame(const Heard& f) {
    const auto key = std::pair(f.slot, f.generation);
    if (f.kind == wire::FrameKind_Headers && f.has(wire::HeadersFlag_Observed)) observed_[key];
    if (const auto found = observed_.find(key); found != observed_.end()) {
      View& view = found->second;
      if (f.kind == wire::FrameKind_End) view.reason = f.type;
      if (f.kind != wire::FrameKind_Data || f.type != 0) return;
      view.body += f.bytes;
      view.has_end |= f.has(wire::DataFlag_Last);
      host().output(f.id(), kReq, static_cast<uint32_t>(f.bytes.size()), "", 0);
      return;
    }
    if (f.kind == wire::FrameKind_Headers && !f.has(wire::HeadersFlag_Log)) {
      const bool is_request = f.type == 0;
      host().answer(f.id(), static_cast<HeaderType>(f.type), is_request ? BodyMode_Stream : BodyMode_Pass);
    } else if (f.kind == wire::FrameKind_Data) {
      std::string out = f.bytes;
      for (char& c : out) c = static_cast<char>(std::toupper(c));
      const uint8_t flags = f.has(wire::DataFlag_Last) ? OutputFlag_Last : OutputFlag_Digested;
      host().output(f.id(), kReq, static_cast<uint32_t>(f.bytes.size()), out, flags);
    }
  }
  const View& view() const { return observed_.begin()->second; }

  std::map<std::pair<uint32_t, uint32_t>, View> observed_;
};

TEST_F(ObservingTest, BehindAndBeforeOneOfOurs) {
  start({{Kind::kObserver, {}}, {Kind::kOurs, {}}, {Kind::kObserver, {}}});
  send("one", false);
  send("two", true);
  end();
  ASSERT_EQ(observed_.size(), 2u);
  EXPECT_EQ(envoy().upstream().body, "ONETWO");
  std::vector<std::string> bodies;
  for (const auto& [id, view] : observed_) {
    EXPECT_TRUE(view.is_whole());
    bodies.push_back(view.body);
  }
  std::sort(bodies.begin(), bodies.end());
  EXPECT_EQ(bodies, (std::vector<std::string>{"ONETWO", "onetwo"}));
}

TEST_F(ObservingTest, BehindAFilterThatGathersItSeesAllOfItOnce) {
  start({{Kind::kOurs, {}}, gatherer(), {Kind::kObserver, {}}});
  send("one", false);
  send("two", false);
  send("three", true);
  end();
  EXPECT_EQ(envoy().upstream().body, "ONETWOTHREE");
  EXPECT_TRUE(view().is_whole());
  EXPECT_EQ(view().body, "ONETWOTHREE");
}

TEST_F(ObservingTest, WhatIsShownAgainIsNotToldAgain) {
  start({{Kind::kOurs, {}}, {Kind::kObserver, {}}, gatherer()});
  send("one", false);
  send("two", false);
  send("three", true);
  end();
  EXPECT_EQ(envoy().upstream().body, "ONETWOTHREE");
  if (view().is_whole()) {
    EXPECT_EQ(view().body, "ONETWOTHREE");
  } else {
    EXPECT_EQ(view().reason, wire::EndReason_Dropped);
  }
}

TEST_F(ObservingTest, AfterAPauseBetweenPiecesTheViewIsOver) {
  start({pausing({.at_body = 1}), {Kind::kObserver, {}}, gatherer()});
  send("one", false);
  send("two", false);
  envoy().go_on(0, kReq);
  send("three", true);
  end();
  EXPECT_EQ(envoy().upstream().body, "onetwothree");
  EXPECT_EQ(view().body, "one");
  EXPECT_EQ(view().reason, wire::EndReason_Dropped);
}

TEST_F(ObservingTest, AnEdgeBehindItIsStillTheFirst) {
  start({{Kind::kObserver, {}}, {Kind::kEdge, {}}, {Kind::kOurs, {}}, {Kind::kEdge, {}}});
  ASSERT_NE(envoy().stream().chain(), nullptr);
  EXPECT_NE(envoy().stream().chain()->edge(stock::Chain::Role::kFirstEdge), nullptr);
  EXPECT_NE(envoy().stream().chain()->edge(stock::Chain::Role::kLastEdge), nullptr);
  EXPECT_FALSE(envoy().stream().chain()->has_siblings());
  end();
}

// Whatever stands around it, and however the pieces come.
TEST_F(ObservingTest, NeverAHoleAndACleanEnd) {
  int whole = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](uint64_t n) { return random() % n; };
    const auto any_other = [&]() -> ChainEntry {
      switch (pick(3)) {
        case 0: return gatherer();
        case 1: return pausing({.headers = true});
        default: return pausing({.at_body = static_cast<int>(pick(3))});
      }
    };
    const bool edges = pick(2) == 0;
    std::vector<ChainEntry> chain;
    if (edges) chain.push_back({Kind::kEdge, {}});
    if (pick(2)) chain.push_back(any_other());
    chain.push_back({Kind::kOurs, {}});
    if (pick(2)) chain.push_back(any_other());
    chain.push_back({Kind::kObserver, {}});
    if (pick(2)) chain.push_back(any_other());
    if (edges) chain.push_back({Kind::kEdge, {}});
    start(std::move(chain), pick(3) == 0);
    std::string sent;
    const uint64_t pieces = 1 + pick(4);
    for (uint64_t i = 0; i < pieces; ++i) {
      const std::string piece(1 + pick(2000), static_cast<char>('a' + i));
      if (!envoy().takes_data(kReq)) break;
      send(piece, i + 1 == pieces);
      sent += piece;
      if (pick(2))
        for (size_t other = 0; other < envoy().others(); ++other) envoy().go_on(other, kReq);
      work();
    }
    for (size_t round = 0; round < 3; ++round)
      for (size_t other = 0; other < envoy().others(); ++other) {
        envoy().go_on(other, kReq);
        work();
      }
    const bool has_ended = envoy().upstream().ends > 0;
    const std::string passed = envoy().upstream().body;
    end();
    if (observed_.empty()) continue;
    if (!view().is_whole()) continue;
    ++whole;
    if (has_ended) {
      EXPECT_EQ(view().body, passed) << "seed " << seed;
    }
  }
  EXPECT_GT(whole, 10);
}

}  // namespace
}  // namespace tsf::core::test
