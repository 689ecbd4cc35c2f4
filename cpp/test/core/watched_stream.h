// An observed stream for tests of core alone: what arrives goes on by itself, and every write to the stream is a
// violation.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/observer.h"
#include "test/core/fake_worker.h"
#include "test/core/mount_stub.h"
#include "test/core/worker_stage.h"

namespace tsf::core::test {

class WatchedStream : public StreamFacts {
 public:
  explicit WatchedStream(WorkerStage& stage)
      : mount_(*this, stage.loop), observer_(std::make_unique<Observer>(stage.worker, stage.config, mount_)) {}
  ~WatchedStream() { destroy(); }
  WatchedStream(const WatchedStream&) = delete;
  WatchedStream& operator=(const WatchedStream&) = delete;

  Observer& core() { return *observer_; }
  bool is_gone() const { return observer_ == nullptr; }

  void headers(Dir dir, HeaderMap lines, bool end) {
    map(headers_of(dir)) = std::move(lines);
    observer_->on_headers(dir, end);
  }
  // In slices, as Envoy has it.
  void data(Dir dir, std::string_view bytes, bool end, size_t slice = 3000) {
    std::vector<Bytes> pieces;
    for (size_t at = 0; at < bytes.size(); at += slice)
      pieces.push_back({bytes.data() + at, std::min(slice, bytes.size() - at)});
    observer_->on_body(dir, pieces, end);
  }
  void trailers(Dir dir, HeaderMap lines) {
    map(trailers_of(dir)) = std::move(lines);
    observer_->on_trailers(dir);
  }
  void destroy() {
    if (is_gone()) return;
    observer_->on_complete();
    observer_->on_destroy();
    mount_.die();
    observer_.reset();
  }
  // Results that the operator's counter has been told.
  std::vector<std::string> results() const {
    std::vector<std::string> out;
    for (const auto& record : asked.records)
      if (record.metric == kObserved) out.push_back(record.labels.at(1));
    return out;
  }
  static constexpr size_t kObserved = 77;

 private:
  class Mount final : public MountStub<StreamMount> {
   public:
    Mount(StreamFacts& facts, Loop& loop) : MountStub(facts), loop_(loop), target_(std::make_shared<Loop::Target>()) {}

    void set_header(HeaderType, std::string_view, std::string_view) override { wrong("set_header"); }
    void add_header(HeaderType, std::string_view, std::string_view) override { wrong("add_header"); }
    void remove_header(HeaderType, std::string_view) override { wrong("remove_header"); }
    void send_local_reply(uint32_t, std::span<const HeaderLine>, std::string_view, std::string_view) override {
      wrong("send_local_reply");
    }
    void send_reply_headers(std::span<const HeaderLine>, bool) override { wrong("send_reply_headers"); }
    void send_reply_data(std::string_view, bool) override { wrong("send_reply_data"); }
    void send_reply_trailers(std::span<const HeaderLine>) override { wrong("send_reply_trailers"); }
    void reset(std::string_view) override { wrong("reset"); }
    bool recreate() override { return wrong("recreate"); }
    void set_metadata(std::string_view, std::string_view, double) override { wrong("set_metadata"); }
    void set_metadata(std::string_view, std::string_view, std::string_view) override { wrong("set_metadata"); }
    void set_metadata(std::string_view, std::string_view, bool) override { wrong("set_metadata"); }
    void add_metadata(std::string_view, std::string_view, double) override { wrong("add_metadata"); }
    void add_metadata(std::string_view, std::string_view, std::string_view) override { wrong("add_metadata"); }
    void add_metadata(std::string_view, std::string_view, bool) override { wrong("add_metadata"); }
    void set_metadata_struct(std::string_view, std::string_view) override { wrong("set_metadata_struct"); }
    void set_filter_state(std::string_view, std::string_view) override { wrong("set_filter_state"); }
    bool override_host(std::string_view, bool) override { return wrong("override_host"); }
    void drain_connection() override { wrong("drain_connection"); }
    void clear_route_cache() override { wrong("clear_route_cache"); }
    void refresh_route_cache() override { wrong("refresh_route_cache"); }
    std::unique_ptr<Waker> make_waker() override { return std::make_unique<FakeWaker>(loop_, target_); }
    void die() { target_->alive = false; }

   private:
    bool wrong(const char* what) const {
      facts_.violations.push_back(what);
      return false;
    }
    Loop& loop_;
    std::shared_ptr<Loop::Target> target_;
  };

  Mount mount_;
  std::unique_ptr<Observer> observer_;
};

}  // namespace tsf::core::test
