// Mounts for tests of core alone: an Envoy that can inject data at any time, or one that says "later", and never ends a
// stream by itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/byte_queue.h"
#include "core/stream.h"
#include "test/core/fake_worker.h"
#include "test/core/mount_stub.h"
#include "test/core/worker_stage.h"

namespace tsf::core::test {

// One direction. It notes what core may not do.
class FakeFlowMount final : public FlowMount {
 public:
  explicit FakeFlowMount(std::vector<std::string>& violations) : violations_(violations) {}

  // ---- what Envoy does ----
  // True: it waits for the core.
  bool arrives(std::string_view bytes) {
    if (is_passing || is_dropped) {
      if (is_passing) out += bytes;
      return false;
    }
    input_ += bytes;
    return true;
  }

  // ---- core::FlowMount ----
  Input input(std::vector<Bytes>& pieces) override {
    pieces.clear();
    if (is_passing || is_dropped || is_finished) return {};
    // As it came: in pieces of any length.
    for (size_t at = 0; at < input_.size(); at += piece)
      pieces.push_back({input_.data() + at, std::min(piece, input_.size() - at)});
    offered_ = input_.size();
    return {input_.size(), true};
  }
  void take(size_t length) override {
    require(length <= offered_, "more was taken than was offered");
    input_.erase(0, length);
    offered_ -= std::min(offered_, length);
  }
  void put_back(ByteQueue& bytes) override {
    std::string all;
    bytes.each([&](std::string_view part) { all += part; });
    bytes.clear();
    input_ = all + input_;
    offered_ = 0;
  }
  void let_headers_go() override {
    if (can_inject) go();
  }
  bool headers_gone() const override { return gone; }
  Injected inject(ByteQueue& bytes) override {
    require(!is_finished && !is_passing && !is_dropped, "output after the end");
    if (!bytes.empty() && !can_inject) return Injected::kLater;
    if (can_inject) move(bytes);
    return Injected::kAccepted;
  }
  Injected finish(ByteQueue& bytes) override {
    require(!is_finished && !is_dropped, "an end after the end");
    if (!can_inject) return Injected::kLater;
    move(bytes);
    is_finished = true;
    is_passing = false;
    return Injected::kAccepted;
  }
  void pass(ByteQueue& bytes, bool until_trailers) override {
    require(!is_finished && !is_passing && !is_dropped, "passed twice");
    move(bytes);
    out += std::exchange(input_, {});
    is_passing = true;
    this->until_trailers = until_trailers;
  }
  void drop() override {
    is_dropped = true;
    is_passing = false;
    input_.clear();
  }
  void give_back() override { given_back = std::exchange(input_, {}); }
  void on_advanced() override {}
  void on_turn() override { ++turns; }
  int64_t deadline() const override { return due; }
  OutputRoom room() const override { return has_room; }

  FlowEvents* events = nullptr;
  bool can_inject = true;
  OutputRoom has_room = OutputRoom::kPaced;
  size_t piece = 1000;
  int64_t due = 0;

  std::string out;
  std::string given_back;
  bool gone = false;  // the headers
  bool is_passing = false;
  bool until_trailers = false;
  bool is_finished = false;
  bool is_dropped = false;
  int turns = 0;
  const std::string& unread() const { return input_; }

 private:
  void go() {
    if (!gone) events->on_headers_go();
    gone = true;
  }
  void move(ByteQueue& bytes) {
    go();
    bytes.each([&](std::string_view part) { out += part; });
    bytes.clear();
  }
  void require(bool yes, const char* what) {
    if (yes) return;
    violations_.push_back(what);
    // For a person: ASAN_OPTIONS=handle_abort=1 says from where.
    if (std::getenv("STREAM_ABORT") != nullptr) std::abort();
  }

  std::vector<std::string>& violations_;
  std::string input_;
  size_t offered_ = 0;
};

// One stream of such an Envoy.
class FakeStream : public StreamFacts {
 public:
  explicit FakeStream(WorkerStage& stage) : FakeStream(stage.worker, stage.loop, stage.config) {}
  FakeStream(Worker& worker, Loop& loop, std::shared_ptr<const FilterConfig> config)
      : mount_(*this, loop), flows_{FakeFlowMount(violations), FakeFlowMount(violations)}, worker_(worker) {
    core_ = std::make_unique<Stream>(worker, std::move(config), Stream::Mounts{mount_, flows_[0], flows_[1]});
    for (const Dir dir : {Dir::kRequest, Dir::kResponse}) mount(dir).events = &core_->flow(dir);
  }
  ~FakeStream() {
    if (core_ && !core_->is_over()) destroy();
  }
  FakeStream(const FakeStream&) = delete;
  FakeStream& operator=(const FakeStream&) = delete;

  Stream& core() { return *core_; }
  FakeFlowMount& mount(Dir dir) { return flows_[static_cast<size_t>(dir)]; }
  const std::vector<std::string>& moves() const { return mount_.moves; }
  bool is_ended() const { return mount_.is_ended; }
  // Of each reply and reset: what the client has been told.
  const std::string& reply() const { return mount_.reply; }

  // ---- what arrives ----
  void headers(Dir dir, HeaderMap lines, bool end) {
    map(headers_of(dir)) = std::move(lines);
    if (core_->has_replied()) {
      mount(dir).drop();
    } else if (core_->on_headers(dir, end) == Stream::OnHeaders::kPass) {
      mount(dir).is_passing = mount(dir).gone = true;
    }
  }
  void data(Dir dir, std::string_view bytes, bool end) {
    const Worker::Scope scope(worker_);
    const bool waits = mount(dir).arrives(bytes);
    if (waits) core_->flow(dir).on_input(end ? InputEnd::kIn : InputEnd::kOpen);
  }
  // True: they wait for the core.
  bool trailers(Dir dir, HeaderMap lines) {
    const Worker::Scope scope(worker_);
    map(trailers_of(dir)) = std::move(lines);
    const bool waits = core_->flow(dir).on_trailers();
    if (waits) mount(dir).is_passing = false;
    return waits;
  }
  // The mount can take output now.
  void ready(Dir dir) {
    mount(dir).can_inject = true;
    core_->defer();
  }
  void destroy() {
    core_->on_complete();
    core_->on_destroy();
    mount_.die();
  }
  // Envoy could not make the filter: the stream goes without ever having been one.
  void abandon() { core_.reset(); }

  // Called for each use of ours that moves the stream.
  std::function<void()> on_move;

 private:
  class Mount final : public MountStub<StreamMount> {
   public:
    Mount(FakeStream& stream, Loop& loop)
        : MountStub(stream), stream_(stream), loop_(loop), target_(std::make_shared<Loop::Target>()) {}
    void send_local_reply(uint32_t status, std::span<const HeaderLine>, std::string_view body,
                          std::string_view details) override {
      move("reply");
      reply = std::to_string(status) + " " + std::string(details) + " " + std::string(body);
      is_ended = true;
    }
    void send_reply_headers(std::span<const HeaderLine> headers, bool end) override {
      move("headers");
      reply = headers.empty() ? "" : std::string(headers[0].value());
      is_ended = end;
    }
    void send_reply_data(std::string_view bytes, bool end) override {
      move("data");
      reply += bytes;
      is_ended = end;
    }
    void send_reply_trailers(std::span<const HeaderLine>) override {
      move("trailers");
      is_ended = true;
    }
    void reset(std::string_view details) override {
      move("reset");
      reply = "reset " + std::string(details);
      is_ended = true;
    }
    bool recreate() override {
      move("recreate");
      return false;
    }
    std::unique_ptr<Waker> make_waker() override { return std::make_unique<FakeWaker>(loop_, target_); }
    void die() { target_->alive = false; }

    std::vector<std::string> moves;
    std::string reply;
    bool is_ended = false;

   private:
    void move(std::string what) {
      if (is_ended) facts_.violations.push_back(what + " after the stream's end");
      moves.push_back(std::move(what));
      if (stream_.on_move) stream_.on_move();
    }
    FakeStream& stream_;
    Loop& loop_;
    std::shared_ptr<Loop::Target> target_;
  };

  Mount mount_;
  std::array<FakeFlowMount, 2> flows_;
  Worker& worker_;
  std::unique_ptr<Stream> core_;
};

}  // namespace tsf::core::test
