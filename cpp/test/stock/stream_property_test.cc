// Random walks: bodies in random pieces both ways at once, a host of random habits, small rings. Whatever happens, each
// direction comes out byte for byte, with one end, and nothing is left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

#include "stage.h"

namespace tsf::core::test {
namespace {

constexpr size_t kBufferLimit = 32 << 10;
constexpr size_t kLargestPiece = 20000;

struct Plan {
  std::string body;
  bool trailers = false;
  uint8_t mode = 0;
  bool may_bypass = false;
};

// One direction as the test drives it and as the host sees it.
struct Course {
  Plan plan;
  size_t fed = 0;
  bool begun = false;
  bool ended = false;
  // the host's
  bool asked = false;
  bool answered = false;
  std::string queue;  // what it has and has not acknowledged
  size_t received = 0;
  size_t outstanding_max = 0;
  bool input_over = false;
  bool trailers_asked = false;
  bool trailers_answered = false;
  bool bypassed = false;
  bool last = false;
  std::string produced;
};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

class Walk {
 public:
  Walk(uint64_t seed, bool shared) : random_(seed), stage_({.shared_flag = shared, .ring_bytes = 64 << 10}) {
    stage_.config->settings.stream_window = pick(2) ? 4096 : 40000;
    stage_.envoy_options.buffer_limit = kBufferLimit;
    stage_.envoy_options.slice = 1 + pick(9000);
    stage_.envoy_options.destroy_inside = pick(2) == 0;
    stage_.connect();
    stage_.turn();
    for (auto& course : courses_) {
      course.plan.body.resize(pick(4) == 0 ? pick(10) : pick(120000));
      for (char& c : course.plan.body) c = static_cast<char>('a' + pick(26));
      course.plan.trailers = pick(3) == 0;
      course.plan.mode = static_cast<uint8_t>(pick(4));
      course.plan.may_bypass = pick(3) == 0;
    }
    envoy_ = stage_.open();
  }

  // Empty: all was well.
  std::string run() {
    int idle = 0;
    for (int step = 0; step < 20000 && idle < 400; ++step) {
      const auto before = progress();
      if (pick(2)) feed(Dir::kRequest);
      if (pick(2)) feed(Dir::kResponse);
      if (pick(3)) listen(pick(2) ? SIZE_MAX : 1);
      for (auto& course : courses_)
        if (pick(2)) act(course);
      if (pick(2)) stage_.turn();
      const int64_t held = stage_.worker.pending();
      most_held_ = std::max(most_held_, held);
      if (envoy_->gone() && envoy_->downstream().ends == 1) break;
      idle = progress() == before ? idle + 1 : 0;
      // A push that waits for more output goes by time.
      if (idle == 200) std::this_thread::sleep_for(std::chrono::milliseconds(21));
    }
    return verdict();
  }

 private:
  uint64_t pick(uint64_t n) { return random_() % n; }
  Course& course(Dir dir) { return courses_[static_cast<size_t>(dir)]; }
  Dir dir_of(const Course& c) const { return &c == &courses_[0] ? Dir::kRequest : Dir::kResponse; }
  size_t progress() const {
    size_t sum = envoy_->upstream().body.size() + envoy_->downstream().body.size() +
                 static_cast<size_t>(envoy_->upstream().ends + envoy_->downstream().ends);
    for (const auto& c : courses_)
      sum += c.fed + c.received + c.produced.size() + c.begun + c.ended + c.asked + c.answered + c.last;
    return sum;
  }

  void feed(Dir dir) {
    Course& c = course(dir);
    if (c.ended || envoy_->gone()) return;
    if (!c.begun) {
      if (dir == Dir::kResponse && !envoy_->upstream().headers) return;
      c.begun = true;
      envoy_->headers(
          dir, dir == Dir::kRequest ? HeaderMap{{":method", "POST"}, {":path", "/"}} : HeaderMap{{":status", "200"}},
          false);
      return;
    }
    if (envoy_->paused(dir)) return;
    const size_t left = c.plan.body.size() - c.fed;
    // The router would cut an upload that the response overtakes; then there is nothing to compare.
    const bool may_end = dir == Dir::kRequest || envoy_->upstream().ends == 1;
    if (left == 0) {
      if (!may_end) return;
      c.ended = true;
      if (c.plan.trailers) {
        envoy_->trailers(dir, {{"t", "1"}});
      } else {
        envoy_->data(dir, "", true);
      }
      return;
    }
    const size_t n = std::min<size_t>(left, 1 + pick(pick(3) ? 500 : kLargestPiece));
    const bool end = n == left && !c.plan.trailers && may_end && pick(2);
    const std::string piece = c.plan.body.substr(c.fed, n);
    c.fed += n;
    c.ended = end;
    envoy_->data(dir, piece, end);
  }

  void listen(size_t most) {
    for (const auto& f : stage_.host->read(most)) {
      id_ = f.id();
      if (f.kind == wire::FrameKind_Headers) {
        Course& c = courses_[f.type / 2];
        (f.type % 2 == 0 ? c.asked : c.trailers_asked) = true;
      } else if (f.kind == wire::FrameKind_Data) {
        Course& c = courses_[f.type];
        if (c.input_over) problem_ = "data after the last";
        c.received += f.bytes.size();
        c.queue += f.bytes;
        c.outstanding_max = std::max(c.outstanding_max, c.queue.size());
        c.input_over = f.has(wire::DataFlag_Last);
      }
    }
  }

  void act(Course& c) {
    ScriptedHost& host = *stage_.host;
    const Dir dir = dir_of(c);
    if (c.asked && !c.answered) {
      c.answered = host.answer(id_, headers_of(dir), c.plan.mode);
      return;
    }
    if (c.trailers_asked && !c.trailers_answered && pick(2)) {
      c.trailers_answered = host.answer(id_, trailers_of(dir), wire::BodyMode_Pass);
      return;
    }
    if (!c.answered || c.plan.mode == wire::BodyMode_Pass || c.last) return;
    if (c.bypassed) {
      if (c.queue.empty()) return;
      const size_t n = std::min<size_t>(c.queue.size(), 1 + pick(6000));
      if (emit(c, n, c.queue.substr(0, n), wire::OutputFlag_Digested)) c.queue.erase(0, n);
      return;
    }
    if (c.input_over && c.queue.empty()) {
      c.last = emit(c, 0, "", wire::OutputFlag_Last);
      return;
    }
    if (c.queue.empty() && pick(4)) return;
    // Later it acknowledges more than it gives out, and the other way round.
    const size_t n = std::min<size_t>(c.queue.size(), pick(6000));
    std::string text = c.queue.substr(0, n);
    std::transform(text.begin(), text.end(), text.begin(), upper);
    // All of it: then the filter asks for more, which is told with the frame that makes it true.
    uint8_t flags = n == c.queue.size() ? static_cast<uint8_t>(wire::OutputFlag_Digested) : uint8_t{0};
    const bool bypass = c.plan.may_bypass && pick(6) == 0;
    const bool last = !bypass && c.input_over && n == c.queue.size() && pick(2);
    if (bypass) flags |= wire::OutputFlag_Bypass;
    if (last) flags |= wire::OutputFlag_Last;
    if (!emit(c, n, text, flags)) return;
    c.queue.erase(0, n);
    c.bypassed = bypass;
    c.last = last;
  }

  bool emit(Course& c, size_t acknowledged, const std::string& text, uint8_t flags) {
    if (!stage_.host->output(id_, dir_of(c), static_cast<uint32_t>(acknowledged), text, flags)) return false;
    c.produced += text;
    return true;
  }

  std::string verdict() {
    std::string wrong = problem_;
    const auto say = [&](const std::string& what) { wrong += what + "; "; };
    for (auto& c : courses_) {
      const Dir dir = dir_of(c);
      const std::string name = dir == Dir::kRequest ? "request" : "response";
      const Seen& seen = envoy_->seen(dir);
      std::string expected = c.plan.body;
      if (c.plan.mode != wire::BodyMode_Pass)
        expected = c.produced + (c.bypassed ? c.plan.body.substr(c.received) : "");
      if (seen.body != expected) {
        const auto at = std::mismatch(seen.body.begin(), seen.body.end(), expected.begin(), expected.end()).first;
        say(name + " differs at " + std::to_string(at - seen.body.begin()) + " of " + std::to_string(seen.body.size()) +
            " (" + std::to_string(expected.size()) + " expected, mode " + std::to_string(c.plan.mode) + ", fed " +
            std::to_string(c.fed) + ", received " + std::to_string(c.received) + (c.ended ? ", ended" : "") +
            (c.last ? ", last" : "") + (c.bypassed ? ", bypassed" : "") + (c.trailers_asked ? ", trailers asked" : "") +
            ")");
      }
      if (seen.ends != 1) say(name + " ended " + std::to_string(seen.ends) + " times");
      if (seen.trailers.has_value() != c.plan.trailers) say(name + "'s trailers");
      const size_t window = stage_.config->settings.stream_window;
      if (c.plan.mode != wire::BodyMode_Whole && c.outstanding_max > window) say(name + " beyond its window");
    }
    // Held input by the window and the piece that crossed it, output by what the host has said.
    const auto bound =
        static_cast<int64_t>(2 * (stage_.config->settings.stream_window + kBufferLimit + 2 * kLargestPiece) +
                             courses_[0].plan.body.size() + courses_[1].plan.body.size());
    if (most_held_ > bound) say(std::to_string(most_held_) + " bytes held, more than " + std::to_string(bound));
    if (!envoy_->reset_details().empty()) say("reset: " + envoy_->reset_details());
    if (!envoy_->reply_details().empty()) say("reply: " + envoy_->reply_details());
    if (stage_.link.condemned > 0) say("the host was dropped");
    envoy_->disconnect();
    envoy_->flush();
    stage_.turn();
    stage_.host->read();
    for (const auto& v : envoy_->violations) say(v);
    for (const auto& v : stage_.host->violations()) say(v);
    envoy_.reset();
    if (stage_.worker.pending() != 0) say(std::to_string(stage_.worker.pending()) + " bytes left behind");
    return wrong;
  }

  std::mt19937_64 random_;
  Stage stage_;
  Course courses_[2];
  std::unique_ptr<FakeEnvoy> envoy_;
  StreamId id_;
  int64_t most_held_ = 0;
  std::string problem_;
};

// STREAM_SEED=n runs that walk alone.
void walk_for(bool shared) {
  if (const char* only = std::getenv("STREAM_SEED")) {
    EXPECT_EQ(Walk(std::strtoull(only, nullptr, 10), shared).run(), "");
    return;
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  const uint64_t base = std::random_device()() % 1'000'000 * 1000;
  uint64_t seed = base;
  for (; std::chrono::steady_clock::now() < until && !testing::Test::HasFailure(); ++seed)
    EXPECT_EQ(Walk(seed, shared).run(), "") << "again with STREAM_SEED=" << seed;
  EXPECT_GT(seed - base, 3u);
}

TEST(StreamWalk, WithAFlagForEachDirection) { walk_for(false); }
TEST(StreamWalk, WithOneFlagForBoth) { walk_for(true); }

}  // namespace
}  // namespace tsf::core::test
