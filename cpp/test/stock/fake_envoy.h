// An Envoy for tests: one HTTP stream with filters of ours in its chain, behaving as Envoy's filter object and filter
// manager do. It records what went on and notes every use that Envoy forbids. EnvoyOptions::chain puts edges and
// filters of others beside ours.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/filter_config.h"
#include "core/mount.h"
#include "core/stream.h"
#include "core/worker.h"
#include "envoy_stub.h"
#include "filter_manager.h"
#include "stock/edge.h"
#include "stock/observing_stream.h"
#include "stock/stock_stream.h"
#include "test/core/fake_worker.h"

namespace tsf::core::test {

// What left the chain in one direction, as the next hop saw it.
struct Seen {
  std::optional<HeaderMap> headers;
  bool headers_ended = false;
  std::string body;
  size_t frames = 0;
  std::optional<HeaderMap> trailers;
  int ends = 0;

  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers.value_or(HeaderMap{}))
      if (key == name) return value;
    return {};
  }
};

// One direction of a filter that is not ours: where it stops until the test lets it go on.
struct Pauses {
  bool headers = false;      // as fault, jwt_authn, ratelimit, Lua's httpCall
  int at_body = -1;          // at that body hook, as Lua's bodyChunks
  bool gathers = false;      // the whole body, as the buffer filter: it needs nobody to let it go on
  uint64_t limit = 8 << 20;  // that it sets then
  bool injects = false;      // as ext_proc: takes each piece, and puts it into the chain when it is let go on
  bool operator==(const Pauses&) const = default;
};

struct ChainEntry {
  enum class Kind : uint8_t { kOurs, kEdge, kOther, kObserver } kind = Kind::kOurs;
  std::array<Pauses, 2> pauses{};
};

struct EnvoyOptions {
  bool shared_flag = false;    // 1.38: one continue flag, replies re-enter our encode hooks
  bool destroy_inside = true;  // 1.38 and 1.39; 1.40 destroys later and makes callbacks no-ops
  size_t buffer_limit = 32 << 10;
  size_t slice = 3000;            // length of the slices that a body is made of
  bool end_with_response = true;  // Envoy ends the stream when the response has gone
  bool tells_watermarks = false;  // of the response's buffer, as it does to every filter
  bool writes_server = false;     // the connection manager's own `server` header
  std::vector<ChainEntry> chain = {{}};
  bool upstream_edge = false;   // an edge in the router's own chain
  bool names_no_chain = false;  // out of memory when an access logger is to find the stream
  // What one stream finds out holds for the next with the same options.
  std::shared_ptr<stock::ChainFacts> facts = std::make_shared<stock::ChainFacts>();
};

// The configs of our entries, as they are counted when Envoy loads them.
class CountedEntries {
 public:
  explicit CountedEntries(const EnvoyOptions& options) : edges_(options.upstream_edge ? 1 : 0), entries_(edges_) {
    for (const auto& entry : options.chain) {
      if (entry.kind != ChainEntry::Kind::kOther) ++entries_;
      if (entry.kind == ChainEntry::Kind::kEdge) ++edges_;
    }
    count(1);
  }
  ~CountedEntries() { count(-1); }
  CountedEntries(const CountedEntries&) = delete;
  CountedEntries& operator=(const CountedEntries&) = delete;

 private:
  void count(int times) const {
    stock::Chain::count_entry(times * entries_);
    stock::Chain::count_edge(times * edges_);
  }
  int edges_;
  int entries_;
};

class FakeEnvoy : public StreamFacts, private FilterManager::Owner {
 public:
  FakeEnvoy(Worker& worker, Loop& loop, std::shared_ptr<const FilterConfig> config, EnvoyOptions options = {})
      : worker_(worker),
        loop_(loop),
        options_(std::move(options)),
        limit_(options_.buffer_limit),
        target_(std::make_shared<Loop::Target>()) {
    for (const auto& entry : options_.chain) add(entry, config);
  }
  ~FakeEnvoy() override {
    teardown();
    flush();
  }
  FakeEnvoy(const FakeEnvoy&) = delete;
  FakeEnvoy& operator=(const FakeEnvoy&) = delete;

  // ---- what arrives ----

  void headers(Dir dir, HeaderMap lines, bool end) {
    if (!takes(dir)) return;
    map(headers_of(dir)) = std::move(lines);
    entry_of(dir).headers(dir, end);
  }
  void data(Dir dir, const std::string& bytes, bool end) {
    if (!takes(dir)) return;
    BodyBuffer chunk;
    for (size_t at = 0; at < bytes.size(); at += options_.slice)
      chunk.segments.push_back({bytes.substr(at, options_.slice), 0});
    entry_of(dir).data(dir, std::move(chunk), end);
  }
  void trailers(Dir dir, HeaderMap lines) {
    if (!takes(dir)) return;
    FilterManager& entry = entry_of(dir);
    (&entry == &upstream_ ? upstream_trailers_ : map(trailers_of(dir))) = std::move(lines);
    entry.trailers(dir);
  }

  // A 1xx from the upstream passes our filters by, and sets the continue flag.
  void informational() {
    for (auto& flags : flags_) flags->of(Dir::kResponse, options_.shared_flag) = true;
  }
  void above_watermark() {
    if (gone_) return;
    stream().on_above_watermark();
    for (size_t i = 0; i < edges_.size() && !gone_; ++i) edges_[i]->above_watermark();
  }
  void below_watermark() {
    if (!gone_) core().on_below_watermark();
  }
  // A map that Envoy has before any hook of ours has run.
  void show(HeaderType type, HeaderMap lines) { map(type) = std::move(lines); }
  // The client goes away.
  void disconnect() { teardown(); }
  // What 1.40 does after the event that ended the stream.
  void flush() {
    if (!destroy_later_) return;
    destroy_later_ = false;
    destroy();
  }

  // ---- filters of others ----

  size_t others() const { return others_.size(); }
  bool is_paused(size_t other, Dir dir) const { return !gone_ && others_[other]->is_paused(dir); }
  // It has what it waited for.
  void go_on(size_t other, Dir dir) {
    if (!is_paused(other, dir)) return;
    others_[other]->go_on(dir);
    main_.resume(*others_[other], dir);
  }
  // What it has taken comes back.
  void inject(size_t other, Dir dir) {
    if (gone_) return;
    main_.inject_behind(*others_[other], dir, others_[other]->take(dir), others_[other]->has_end(dir));
  }

  // ---- what can be seen ----

  // Envoy has stopped reading this direction's peer.
  bool paused(Dir dir) const { return main_.paused(dir) || upstream_.paused(dir); }
  // Its peer may send body now.
  bool takes_data(Dir dir) const {
    const FilterManager& entry = const_cast<FakeEnvoy*>(this)->entry_of(dir);
    return !gone_ && entry.arrived(dir) && !entry.ended(dir) && !paused(dir);
  }
  size_t buffered(Dir dir) const { return main_.buffered(dir); }
  const Seen& upstream() const { return seen_[0]; }
  const Seen& downstream() const { return seen_[1]; }
  const Seen& seen(Dir dir) const { return seen_[index(dir)]; }
  bool gone() const { return gone_; }
  bool replied() const { return replied_; }
  const std::string& reset_details() const { return reset_details_; }
  const std::string& reply_details() const { return reply_details_; }
  int ignored_continues() const { return ignored_continues_; }
  // The first of our filters.
  stock::StockStream& stream() { return filters_[0]->stream; }
  Stream& core() { return stream().core(); }

  // The filter behind us answers by itself: called when the request's headers reach it.
  std::function<void()> on_upstream_headers;
  // Called for every use of ours that moves the stream, before it takes effect.
  std::function<void(std::string_view what)> on_move;
  // An access logger of ours, which hears of the end.
  const LogSource* logger = nullptr;

 private:
  // Of one filter object; outlives the filter in it, as Envoy's does.
  struct Flags {
    std::array<bool, 2> continued{};
    bool& of(Dir dir, bool shared) { return continued[shared ? 0 : index(dir)]; }
  };

  // Envoy's filter object for an entry of ours.
  class ModuleHop : public Hop, public EnvoyStub {
   public:
    ModuleHop(FakeEnvoy& envoy, FilterManager& manager)
        : EnvoyStub(envoy),
          envoy_(envoy),
          manager_(manager),
          flags_(*envoy.flags_.emplace_back(std::make_unique<Flags>())) {}

    HeadersStatus on_headers(Dir dir, bool end) final {
      if (is_passed_over(dir)) return HeadersStatus::kContinue;
      const auto status = headers_hook(dir, end);
      set_flag(dir, status == HeadersStatus::kContinue);
      return status;
    }
    BodyStatus on_body(Dir dir, bool end) final {
      if (is_passed_over(dir)) return BodyStatus::kContinue;
      const auto status = body_hook(dir, end);
      set_flag(dir, status == BodyStatus::kContinue);
      return status;
    }
    TrailersStatus on_trailers(Dir dir) final {
      if (is_passed_over(dir)) return TrailersStatus::kContinue;
      const auto status = trailers_hook(dir);
      set_flag(dir, status == TrailersStatus::kContinue);
      return status;
    }

    bool is_upstream() const override { return facts_.is_upstream || &manager_ == &envoy_.upstream_; }
    size_t body_size(Dir dir, BodySource source) const override {
      const BodyBuffer* buffer = body(dir, source);
      return buffer == nullptr ? 0 : buffer->size();
    }
    bool body_chunks(Dir dir, BodySource source, std::vector<Bytes>& out) const override {
      out.clear();
      const BodyBuffer* buffer = body(dir, source);
      if (buffer == nullptr) return false;
      for (const auto& segment : buffer->segments) out.push_back({segment.bytes.data(), segment.bytes.size()});
      return !out.empty();
    }
    void drain_body(Dir dir, BodySource source, size_t length) override {
      if (envoy_.live("drain_body")) manager_.drain(*this, dir, source, length);
    }
    void append_body(Dir dir, BodySource source, std::string_view bytes) override {
      if (envoy_.live("append_body")) manager_.append(*this, dir, source, bytes, is_edge());
    }
    bool received_is_buffered(Dir dir) const override {
      return envoy_.live("received_is_buffered") && manager_.received_is_buffered(self(), dir);
    }
    uint64_t buffer_limit() const override { return envoy_.limit_; }
    void set_buffer_limit(uint64_t limit) override {
      asked().buffer_limits.push_back(limit);
      envoy_.set_limit(limit);
    }
    void continue_flow(Dir dir) override { envoy_.continue_flow(*this, dir); }
    // An empty frame, which comes to our hooks again.
    void inject_response(std::string_view bytes) override { envoy_.inject_response(*this, bytes); }
    void repeat_response_end() override { envoy_.repeat_response_end(*this); }
    const void* stream_key() const override { return &envoy_; }
    void set_chain_id(uint64_t id) override {
      if (envoy_.options_.names_no_chain) throw std::bad_alloc();
      EnvoyStub::set_chain_id(id);
    }
    void read_response_trailers_from(stock::Envoy* other) override { foreign_trailers_ = other != nullptr; }
    void send_local_reply(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                          std::string_view details) override {
      if (envoy_.moves("send_local_reply", manager_)) envoy_.local_reply(status, headers, body, details);
    }
    void send_reply_headers(std::span<const HeaderLine> headers, bool end) override {
      envoy_.send_reply_headers(*this, headers, end);
    }
    void send_reply_data(std::string_view bytes, bool end) override { envoy_.send_reply_data(*this, bytes, end); }
    void send_reply_trailers(std::span<const HeaderLine> headers) override { envoy_.send_reply_trailers(headers); }
    void reset(std::string_view details) override { envoy_.reset(details); }
    bool recreate() override { return envoy_.recreate(); }
    std::unique_ptr<Waker> make_waker() override { return std::make_unique<FakeWaker>(envoy_.loop_, envoy_.target_); }

    FilterManager& manager() { return manager_; }
    // From 1.39 on an entry that has sent a frame of a response gets no encode hooks any more.
    void pass_over() { passed_over_ = !envoy_.options_.shared_flag; }
    Flags& flags() { return flags_; }
    virtual bool is_edge() const = 0;

   protected:
    virtual HeadersStatus headers_hook(Dir dir, bool end) = 0;
    virtual BodyStatus body_hook(Dir dir, bool end) = 0;
    virtual TrailersStatus trailers_hook(Dir dir) = 0;
    bool live(const char* what) const override { return envoy_.live(what); }
    std::optional<HeaderMap>& map(HeaderType type) const override {
      const bool foreign =
          type == HeaderType::kResponseTrailers && (foreign_trailers_ || &manager_ == &envoy_.upstream_);
      return foreign ? envoy_.upstream_trailers_ : EnvoyStub::map(type);
    }

    FakeEnvoy& envoy_;

   private:
    bool is_passed_over(Dir dir) const { return passed_over_ && dir == Dir::kResponse; }
    void set_flag(Dir dir, bool continued) { flags_.of(dir, envoy_.options_.shared_flag) = continued; }
    ModuleHop& self() const { return const_cast<ModuleHop&>(*this); }
    BodyBuffer* body(Dir dir, BodySource source) const {
      return envoy_.live("a body callback") ? manager_.body(self(), dir, source) : nullptr;
    }

    FilterManager& manager_;
    Flags& flags_;
    bool passed_over_ = false;
    bool foreign_trailers_ = false;
  };

  // Outlives the stream's death as long as our code is on the stack.
  class Filter final : public ModuleHop, public Retired {
   public:
    Filter(FakeEnvoy& envoy, std::shared_ptr<const FilterConfig> config)
        : ModuleHop(envoy, envoy.main_),
          stream(envoy.worker_, std::move(config), *envoy.options_.facts, *this, envoy.options_.shared_flag) {}
    bool is_edge() const override { return false; }
    void on_watermark(bool over) override {
      if (!envoy_.options_.tells_watermarks || envoy_.gone_) return;
      over ? stream.on_above_watermark() : stream.core().on_below_watermark();
    }

    stock::StockStream stream;

   private:
    HeadersStatus headers_hook(Dir dir, bool end) override { return stream.on_headers(dir, end); }
    BodyStatus body_hook(Dir dir, bool end) override { return stream.on_body(dir, end); }
    TrailersStatus trailers_hook(Dir dir) override { return stream.on_trailers(dir); }
  };

  // One of ours with `observe_only`, an entry of the configuration of its own.
  class Observing final : public ModuleHop, public Retired {
   public:
    Observing(FakeEnvoy& envoy, const FilterConfig& like) : ModuleHop(envoy, envoy.main_) {
      stream = std::make_unique<stock::ObservingStream>(envoy.worker_, another_of(like), *this);
    }
    bool is_edge() const override { return false; }

    std::unique_ptr<stock::ObservingStream> stream;

   private:
    HeadersStatus headers_hook(Dir dir, bool end) override {
      stream->on_headers(dir, end);
      return HeadersStatus::kContinue;
    }
    BodyStatus body_hook(Dir dir, bool end) override {
      stream->on_body(dir, end);
      return BodyStatus::kContinue;
    }
    TrailersStatus trailers_hook(Dir dir) override {
      stream->on_trailers(dir);
      return TrailersStatus::kContinue;
    }
  };

  class Edge final : public ModuleHop {
   public:
    Edge(FakeEnvoy& envoy, FilterManager& manager, const void* config)
        : ModuleHop(envoy, manager), edge_(*this, envoy.options_.shared_flag) {
      edge_.on_new(config);
    }
    bool is_edge() const override { return true; }
    void destroy() { edge_.on_destroy(); }
    void above_watermark() { edge_.on_above_watermark(); }
    void on_watermark(bool over) override {
      if (over && envoy_.options_.tells_watermarks && !envoy_.gone_) above_watermark();
    }

   private:
    HeadersStatus headers_hook(Dir dir, bool end) override { return edge_.on_headers(dir, end); }
    BodyStatus body_hook(Dir dir, bool end) override { return edge_.on_body(dir, end); }
    TrailersStatus trailers_hook(Dir dir) override { return edge_.on_trailers(dir); }

    stock::EdgeFilter edge_;
  };

  class Other final : public Hop {
   public:
    Other(FakeEnvoy& envoy, std::array<Pauses, 2> pauses) : envoy_(envoy), pauses_(pauses) {}

    bool is_paused(Dir dir) const { return paused_[index(dir)]; }
    void go_on(Dir dir) { paused_[index(dir)] = false; }
    std::string take(Dir dir) { return std::exchange(taken_[index(dir)], {}); }
    bool has_end(Dir dir) const { return has_end_[index(dir)]; }

    HeadersStatus on_headers(Dir dir, bool end) override {
      const Pauses& p = pauses_[index(dir)];
      paused_[index(dir)] = p.headers;
      gathering_[index(dir)] = p.gathers && !end;
      if (gathering_[index(dir)]) envoy_.set_limit(p.limit);
      return p.headers || gathering_[index(dir)] ? HeadersStatus::kStopIteration : HeadersStatus::kContinue;
    }
    BodyStatus on_body(Dir dir, bool end) override {
      const size_t d = index(dir);
      if (hooks_[d]++ == pauses_[d].at_body) paused_[d] = true;
      if (pauses_[d].injects) {
        taken_[d] += sides[d].received->text();
        sides[d].received->segments.clear();
        has_end_[d] |= end;
        return BodyStatus::kStopIterationNoBuffer;
      }
      if (gathering_[d]) {
        gathering_[d] = !end;
        if (!end) return kStopIterationAndBuffer;
      }
      return paused_[d] ? BodyStatus::kStopIterationAndWatermark : BodyStatus::kContinue;
    }
    TrailersStatus on_trailers(Dir dir) override {
      gathering_[index(dir)] = false;
      return paused_[index(dir)] ? TrailersStatus::kStopIteration : TrailersStatus::kContinue;
    }

   private:
    FakeEnvoy& envoy_;
    const std::array<Pauses, 2> pauses_;
    std::array<bool, 2> paused_{};
    std::array<bool, 2> gathering_{};
    std::array<int, 2> hooks_{};
    std::array<std::string, 2> taken_;
    std::array<bool, 2> has_end_{};
  };

  static size_t index(Dir dir) { return static_cast<size_t>(dir); }
  // Of another entry of the configuration.
  static std::shared_ptr<const FilterConfig> another_of(const FilterConfig& like) {
    auto config = std::make_shared<FilterConfig>();
    config->name = like.name;
    config->settings = like.settings;
    config->judged = like.judged;
    return config;
  }
  static HeaderMap map_of(std::span<const HeaderLine> lines) {
    HeaderMap out;
    for (const auto& line : lines) out.emplace_back(line.name(), line.value());
    return out;
  }

  void add(const ChainEntry& entry, const std::shared_ptr<const FilterConfig>& config) {
    switch (entry.kind) {
      case ChainEntry::Kind::kOurs: {
        auto& filter =
            filters_.emplace_back(std::make_unique<Filter>(*this, filters_.empty() ? config : another_of(*config)));
        main_.add(*filter);
        filter->stream.on_new();
        return;
      }
      case ChainEntry::Kind::kEdge:
        main_.add(*edges_.emplace_back(std::make_unique<Edge>(*this, main_, &configs_[edges_.size()])));
        return;
      case ChainEntry::Kind::kOther:
        main_.add(*others_.emplace_back(std::make_unique<Other>(*this, entry.pauses)));
        return;
      case ChainEntry::Kind::kObserver:
        main_.add(*observers_.emplace_back(std::make_unique<Observing>(*this, *config)));
        observers_.back()->stream->on_new();
        return;
    }
  }

  // The upstream is cut off once somebody has replied in its place; the client when the stream is gone.
  bool takes(Dir dir) const { return !gone_ && !(dir == Dir::kResponse && (local_reply_ || seen_[1].ends > 0)); }
  FilterManager& entry_of(Dir dir) { return dir == Dir::kResponse && upstream_used_ ? upstream_ : main_; }

  void require(bool yes, const char* what) {
    if (!yes) violation(what);
  }
  // Whether a callback takes effect.
  bool live(const char* what) {
    if (gone_ && options_.destroy_inside) violation(std::string(what) + " after the stream's teardown");
    return !gone_;
  }
  bool moves(const char* what, const FilterManager& manager) {
    if (!live(what)) return false;
    if (manager.in_hook()) violation(std::string(what) + " inside a hook");
    if (on_move) on_move(what);
    return !gone_;
  }
  void set_limit(uint64_t limit) {
    limit_ = limit;
    main_.check_limits();
  }

  // ---- FilterManager::Owner ----

  bool is_gone() const override { return gone_; }
  void violation(std::string what) override { violations.push_back(std::move(what)); }
  size_t limit() const override { return limit_; }
  void too_large(Dir dir) override {
    local_reply(dir == Dir::kRequest ? 413 : 500, {}, "too large", "a filter behind gathers");
  }
  void headers_out(FilterManager& from, Dir dir, bool end) override {
    if (dir == Dir::kRequest && &from == &main_) {
      has_upstream = true;
      if (options_.upstream_edge) {
        upstream_used_ = true;
        upstream_.add(*edges_.emplace_back(std::make_unique<Edge>(*this, upstream_, &configs_[7])));
        return upstream_.headers(dir, end);
      }
    }
    if (dir == Dir::kResponse && &from == &upstream_) return main_.headers(dir, end);
    Seen& s = seen_[index(dir)];
    require(!s.headers, "headers went on twice");
    s.headers = map(headers_of(dir)).value_or(HeaderMap{});
    s.headers_ended = end;
    if (dir == Dir::kResponse && options_.writes_server) {
      auto& lines = *map(HeaderType::kResponse);
      std::erase_if(lines, [](const auto& line) { return line.first == "server"; });
      lines.emplace_back("server", "envoy");
    }
    if (dir == Dir::kRequest && on_upstream_headers) on_upstream_headers();
    if (end && !gone_) ended(dir);
  }
  void data_out(FilterManager& from, Dir dir, const std::string& bytes, bool end) override {
    if (upstream_used_ && (dir == Dir::kRequest) == (&from == &main_)) {
      BodyBuffer chunk;
      if (!bytes.empty()) chunk.segments.push_back({bytes, 0});
      return (dir == Dir::kRequest ? upstream_ : main_).data(dir, std::move(chunk), end);
    }
    Seen& s = seen_[index(dir)];
    require(s.headers.has_value(), "body went on before its headers");
    require(s.ends == 0, "body went on after its end");
    s.body += bytes;
    if (!bytes.empty()) ++s.frames;
    if (end) ended(dir);
  }
  void trailers_out(FilterManager& from, Dir dir) override {
    if (upstream_used_ && (dir == Dir::kRequest) == (&from == &main_)) {
      if (dir == Dir::kResponse) map(HeaderType::kResponseTrailers) = upstream_trailers_;
      return (dir == Dir::kRequest ? upstream_ : main_).trailers(dir);
    }
    Seen& s = seen_[index(dir)];
    require(s.headers.has_value(), "trailers went on before the headers");
    require(!s.trailers, "trailers went on twice");
    s.trailers = map(trailers_of(dir)).value_or(HeaderMap{});
    ended(dir);
  }
  void ended(Dir dir) {
    Seen& s = seen_[index(dir)];
    if (++s.ends > 1) violation("a direction ended twice");
    if (dir == Dir::kResponse && options_.end_with_response) teardown();
  }

  // ---- the end ----

  void teardown() {
    if (gone_) return;
    gone_ = true;
    target_->alive = false;
    if (options_.destroy_inside) {
      destroy();
    } else {
      destroy_later_ = true;
    }
  }
  void destroy() {
    for (auto& filter : filters_) filter->stream.core().on_complete();
    for (auto& observer : observers_) observer->stream->core().on_complete();
    if (logger != nullptr)
      for (auto& filter : filters_) filter->stream.core().on_log(wire::LogKind_End, *logger);
    for (auto& filter : filters_) {
      filter->stream.on_destroy();
      worker_.retire(std::move(filter));
    }
    for (auto& observer : observers_) {
      observer->stream->on_destroy();
      worker_.retire(std::move(observer));
    }
    for (auto& edge : edges_) {
      edge->destroy();
      edge.reset();
    }
  }

  // ---- callbacks ----

  void continue_flow(ModuleHop& hop, Dir dir) {
    FilterManager& manager = hop.manager();
    if (!moves("continue", manager)) return;
    require(manager.arrived(dir), "continue before the headers hook returned");
    Flags& flags = hop.flags();
    if (flags.of(dir, options_.shared_flag)) {
      ++ignored_continues_;
      return;
    }
    if (!hop.sides[index(dir)].stopped) violation("continue of a direction that is not stopped");
    manager.resume(hop, dir);
    flags.of(dir, options_.shared_flag) = true;
  }

  void local_reply(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                   std::string_view details) {
    Seen& s = seen_[1];
    require(!s.headers, "a local reply after response headers");
    replied_ = local_reply_ = true;
    reply_details_ = details;
    s.headers = HeaderMap{{":status", std::to_string(status)}};
    for (auto& line : map_of(headers)) s.headers->push_back(std::move(line));
    s.headers_ended = body.empty();
    s.body = body;
    ended(Dir::kResponse);
  }
  void send_reply_headers(ModuleHop& hop, std::span<const HeaderLine> headers, bool end) {
    if (!moves("send_response_headers", main_)) return;
    Seen& s = seen_[1];
    require(!s.headers, "a reply after response headers");
    replied_ = true;
    const HeaderMap lines = map_of(headers);
    if (options_.shared_flag) {
      const auto status = hop.on_headers(Dir::kResponse, end);
      require(status == HeadersStatus::kContinue, "our own reply was stopped by us");
    }
    s.headers = lines;
    s.headers_ended = end;
    if (end) ended(Dir::kResponse);
  }
  void send_reply_data(ModuleHop& hop, std::string_view bytes, bool end) {
    if (!moves("send_response_data", main_)) return;
    const std::string copy(bytes);
    if (options_.shared_flag) {
      BodyBuffer received;
      received.segments.push_back({copy, 0});
      auto& side = hop.sides[index(Dir::kResponse)];
      side.received = &received;
      const auto status = hop.on_body(Dir::kResponse, end);
      side.received = nullptr;
      require(status == BodyStatus::kContinue, "our own reply's data was stopped by us");
      require(received.text() == copy, "our own reply's data was changed by us");
    }
    data_out(main_, Dir::kResponse, copy, end);
  }
  void inject_response(ModuleHop& hop, std::string_view bytes) {
    if (!moves("send_response_data", main_)) return;
    hop.pass_over();
    main_.inject(Dir::kResponse, std::string(bytes));
  }
  void repeat_response_end(ModuleHop& hop) {
    if (!moves("send_response_data", main_)) return;
    hop.pass_over();
    main_.repeat_end(Dir::kResponse);
  }
  void send_reply_trailers(std::span<const HeaderLine> headers) {
    if (!moves("send_response_trailers", main_)) return;
    require(replied_, "reply trailers without a reply");
    seen_[1].trailers = map_of(headers);
    ended(Dir::kResponse);
  }
  // As Envoy: only of a request whose end has come in.
  bool recreate() {
    if (!asked.recreates || !moves("recreate", main_)) return false;
    ++asked.recreated;
    teardown();
    return true;
  }
  void reset(std::string_view details) {
    if (!moves("reset", main_)) return;
    reset_details_ = details;
    teardown();
  }

  inline static const char configs_[8] = {};

  Worker& worker_;
  Loop& loop_;
  const EnvoyOptions options_;
  const CountedEntries counted_{options_};
  uint64_t limit_;
  std::shared_ptr<Loop::Target> target_;
  FilterManager main_{*this};
  FilterManager upstream_{*this};  // the router's own
  std::vector<std::unique_ptr<Flags>> flags_;
  std::vector<std::unique_ptr<Filter>> filters_;
  std::vector<std::unique_ptr<Edge>> edges_;
  std::vector<std::unique_ptr<Observing>> observers_;
  std::vector<std::unique_ptr<Other>> others_;
  std::array<Seen, 2> seen_;
  std::optional<HeaderMap> upstream_trailers_;
  std::string reset_details_;
  std::string reply_details_;
  int ignored_continues_ = 0;
  bool upstream_used_ = false;
  bool replied_ = false;
  bool local_reply_ = false;
  bool gone_ = false;
  bool destroy_later_ = false;
};

}  // namespace tsf::core::test
