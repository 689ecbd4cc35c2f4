// An Envoy for tests: one HTTP stream with our filter in its chain, behaving as Envoy's filter object and filter
// manager do, and a worker's event loop. It records what went on and notes every use that Envoy forbids.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/filter_config.h"
#include "core/mount.h"
#include "core/stream.h"
#include "core/worker.h"
#include "stock/stock_stream.h"

namespace tsf::core::test {

using stock::BodySource;
using stock::BodyStatus;
using stock::HeadersStatus;
using stock::TrailersStatus;

using HeaderMap = std::vector<std::pair<std::string, std::string>>;

// Posts of wakers; the stand-in for the worker's dispatcher.
class Loop {
 public:
  struct Target {
    bool alive = true;
  };
  void post(const std::shared_ptr<Target>& target) { posts_.push_back(target); }
  bool idle() const { return posts_.empty(); }
  void turn(Worker& worker) {
    std::deque<std::shared_ptr<Target>> posts;
    posts.swap(posts_);
    for (const auto& target : posts)
      if (target->alive) worker.run();
  }

 private:
  std::deque<std::shared_ptr<Target>> posts_;
};

class FakeWaker final : public Waker {
 public:
  FakeWaker(Loop& loop, std::shared_ptr<Loop::Target> target) : loop_(loop), target_(std::move(target)) {}
  void wake() override {
    if (target_->alive) loop_.post(target_);
  }

 private:
  Loop& loop_;
  std::shared_ptr<Loop::Target> target_;
};

class FakeProcess final : public ProcessMount {
 public:
  explicit FakeProcess(bool shared_flag) : shared_flag_(shared_flag) {}
  void log(LogLevel level, std::string_view text) override { lines.emplace_back(level, text); }
  bool log_enabled(LogLevel) const override { return true; }
  uint32_t capabilities() const override { return 0; }
  std::string_view envoy_version() const override { return shared_flag_ ? "1.38" : "1.40"; }
  bool logged(std::string_view part) const {
    for (const auto& [level, text] : lines)
      if (text.find(part) != std::string::npos) return true;
    return false;
  }

  std::vector<std::pair<LogLevel, std::string>> lines;

 private:
  const bool shared_flag_;
};

// What left our filter in one direction, as the next hop saw it.
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

struct EnvoyOptions {
  bool shared_flag = false;    // 1.38: one continue flag, replies re-enter our encode hooks
  bool destroy_inside = true;  // 1.38 and 1.39; 1.40 destroys later and makes callbacks no-ops
  size_t buffer_limit = 32 << 10;
  size_t slice = 3000;            // length of the slices that a body is made of
  bool end_with_response = true;  // Envoy ends the stream when the response has gone
};

// What filters ask of their stream beside the flows: kept, and given back.
struct Asked {
  using Item = std::variant<double, std::string, bool>;
  struct Value {
    std::vector<Item> items;
    bool is_list = false;
  };
  struct Record {
    MetricKind kind;
    MetricOp op;
    size_t metric;
    std::vector<std::string> labels;
    uint64_t value;
  };

  std::map<std::string, std::map<std::string, Value>> metadata;
  std::map<std::string, std::string> structs;
  std::map<std::string, std::string> filter_state;
  std::map<size_t, std::string> secrets;
  std::vector<Record> records;
  std::vector<std::string> calls;
  std::vector<uint64_t> buffer_limits;
  std::string host;
  CallStart call_starts = CallStart::kStarted;
  uint64_t last_call = 100;
  bool drained = false;
  bool recreates = true;
  int recreated = 0;

  void put(std::string_view ns, std::string_view key, Item item) {
    metadata[std::string(ns)][std::string(key)] = {{std::move(item)}, false};
  }
  // As Envoy: a value that is no list stays as it is.
  void add(std::string_view ns, std::string_view key, Item item) {
    Value& value = metadata[std::string(ns)].try_emplace(std::string(key), Value{{}, true}).first->second;
    if (value.is_list) value.items.push_back(std::move(item));
  }
  std::vector<std::string_view> keys(std::string_view ns) const {
    std::vector<std::string_view> out;
    const auto found = metadata.find(std::string(ns));
    if (found != metadata.end())
      for (const auto& [key, value] : found->second) out.push_back(key);
    return out;
  }
  MetadataValue get(std::string_view ns, std::string_view key) const {
    const Value& value = metadata.at(std::string(ns)).at(std::string(key));
    std::vector<MetadataItem> items;
    for (const Item& item : value.items) std::visit([&](const auto& v) { items.push_back(v); }, item);
    if (!value.is_list) return {items[0], std::nullopt};
    return {{}, std::move(items)};
  }
  CallStart start_call(std::string_view cluster, std::span<const HeaderLine> headers, bool end, uint64_t millis,
                       uint64_t& call) {
    if (call_starts != CallStart::kStarted) return call_starts;
    call = ++last_call;
    std::string text = "start " + std::to_string(call) + " " + std::string(cluster);
    for (const HeaderLine& line : headers) text += " " + std::string(line.name()) + "=" + std::string(line.value());
    calls.push_back(text + (end ? " end" : "") + " " + std::to_string(millis) + "ms");
    return CallStart::kStarted;
  }
};

class FakeEnvoy {
 public:
  FakeEnvoy(Worker& worker, Loop& loop, std::shared_ptr<const FilterConfig> config, EnvoyOptions options = {})
      : worker_(worker), loop_(loop), options_(options), target_(std::make_shared<Loop::Target>()) {
    filter_ = std::make_unique<Filter>(*this, worker, std::move(config));
    filter_->stream.on_new();
  }
  ~FakeEnvoy() {
    teardown();
    flush();
  }
  FakeEnvoy(const FakeEnvoy&) = delete;
  FakeEnvoy& operator=(const FakeEnvoy&) = delete;

  // ---- what arrives ----

  void headers(Dir dir, HeaderMap map, bool end) {
    if (!takes(dir)) return;
    Half& h = half(dir);
    require(!h.arrived, "headers twice");
    h.arrived = true;
    h.end_observed = end;
    this->map(headers_of(dir)) = std::move(map);
    enter(h);
    const auto status = stream().on_headers(dir, end);
    leave(h);
    flag(dir) = status == HeadersStatus::kContinue;
    if (gone_) return;
    if (status == HeadersStatus::kStopIteration) {
      h.stopped = true;
    } else {
      h.headers_continued = true;
      next_headers(dir, end);
    }
  }

  void data(Dir dir, std::string bytes, bool end) {
    if (!takes(dir)) return;
    Half& h = half(dir);
    require(h.arrived && !h.end_observed, "data out of turn");
    h.end_observed = end;
    body_hook(dir, std::move(bytes), end);
  }

  void trailers(Dir dir, HeaderMap map) {
    if (!takes(dir)) return;
    Half& h = half(dir);
    require(h.arrived && !h.end_observed, "trailers out of turn");
    h.end_observed = true;
    h.trailers = true;
    this->map(trailers_of(dir)) = std::move(map);
    enter(h);
    const auto status = stream().on_trailers(dir);
    leave(h);
    flag(dir) = status == TrailersStatus::kContinue;
    if (gone_) return;
    if (status == TrailersStatus::kStopIteration) {
      h.stopped = true;
    } else if (h.stopped) {
      common_continue(dir);
    } else {
      next_trailers(dir);
    }
  }

  // A 1xx from the upstream passes our filter by, and sets the continue flag.
  void informational() {
    if (!gone_) flag(Dir::kResponse) = true;
  }
  void above_watermark() {
    if (!gone_) core().on_above_watermark();
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

  // ---- what can be seen ----

  // Envoy has stopped reading this direction's peer.
  bool paused(Dir dir) const {
    const Half& h = halves_[index(dir)];
    return h.buffered && size_of(*h.buffered) > options_.buffer_limit;
  }
  // Its peer may send body now.
  bool takes_data(Dir dir) const {
    const Half& h = halves_[index(dir)];
    return !gone_ && h.arrived && !h.end_observed && !paused(dir);
  }
  size_t buffered(Dir dir) const {
    const Half& h = halves_[index(dir)];
    return h.buffered ? size_of(*h.buffered) : 0;
  }
  const Seen& upstream() const { return seen_[0]; }
  const Seen& downstream() const { return seen_[1]; }
  const Seen& seen(Dir dir) const { return seen_[index(dir)]; }
  bool gone() const { return gone_; }
  bool replied() const { return replied_; }
  const std::string& reset_details() const { return reset_details_; }
  const std::string& reply_details() const { return reply_details_; }
  const std::vector<std::string>& violations() const { return violations_; }
  int ignored_continues() const { return ignored_continues_; }
  int route_clears() const { return route_clears_; }
  int route_refreshes() const { return route_refreshes_; }
  stock::StockStream& stream() { return filter_->stream; }
  Stream& core() { return filter_->stream.core(); }

  // The filter behind us answers by itself: called when the request's headers reach it.
  std::function<void()> on_upstream_headers;
  // The router has the request.
  bool has_upstream = false;
  // HTTP/1: the connection ends with this stream.
  bool connection_ends = false;
  // Called for every use of ours that moves the stream, before it takes effect.
  std::function<void(std::string_view what)> on_move;
  std::vector<std::pair<uint32_t, Attribute>> attributes;
  Asked asked;
  std::shared_ptr<const RouteConfig> route;
  // An access logger of ours, which hears of the end.
  const LogSource* logger = nullptr;
  uint64_t chain_id() const { return chain_id_; }

 private:
  struct Segment {
    std::string bytes;
    bool output;  // ours, not the peer's
  };
  using Buffer = std::deque<Segment>;

  struct Half {
    bool arrived = false;
    bool stopped = false;  // the iteration state
    bool headers_continued = false;
    bool end_observed = false;
    bool trailers = false;
    int in_hook = 0;
    Buffer* received = nullptr;
    std::optional<Buffer> buffered;
  };

  // The filter object of one stream; outlives the stream's death as long as our code is on the stack.
  class Filter final : public stock::Envoy, public Retired {
   public:
    Filter(FakeEnvoy& envoy, Worker& worker, std::shared_ptr<const FilterConfig> config)
        : envoy_(envoy), stream(worker, std::move(config), *this, envoy.options_.shared_flag) {}

    bool headers(HeaderType type, std::vector<HeaderLine>& out) const override { return envoy_.get_headers(type, out); }
    std::optional<std::string_view> header(HeaderType type, std::string_view name) const override {
      return envoy_.get_header(type, name);
    }
    void set_header(HeaderType type, std::string_view name, std::string_view value) override {
      envoy_.write_header(type, name, value, true);
    }
    void add_header(HeaderType type, std::string_view name, std::string_view value) override {
      envoy_.write_header(type, name, value, false);
    }
    void remove_header(HeaderType type, std::string_view name) override { envoy_.write_header(type, name, {}, true); }
    size_t body_size(Dir dir, BodySource source) const override {
      const Buffer* buffer = envoy_.body(dir, source);
      return buffer == nullptr ? 0 : size_of(*buffer);
    }
    bool body_chunks(Dir dir, BodySource source, std::vector<Bytes>& out) const override {
      return envoy_.get_chunks(dir, source, out);
    }
    void drain_body(Dir dir, BodySource source, size_t length) override { envoy_.drain(dir, source, length); }
    void append_body(Dir dir, BodySource source, std::string_view bytes) override { envoy_.append(dir, source, bytes); }
    void inject_response(std::string_view bytes) override { envoy_.inject_response(bytes); }
    const void* stream_key() const override { return &envoy_; }
    bool has_upstream() const override { return envoy_.has_upstream; }
    void read_response_trailers_from(stock::Envoy*) override {}
    // One filter only in this chain: nobody continues into us with Envoy's buffer.
    bool received_is_buffered(Dir) const override { return false; }
    void set_chain_id(uint64_t id) override { envoy_.chain_id_ = id; }
    uint64_t buffer_limit() const override { return envoy_.options_.buffer_limit; }
    void set_buffer_limit(uint64_t limit) override { asked().buffer_limits.push_back(limit); }
    void end_connection_with_stream() override { envoy_.connection_ends = true; }
    void continue_flow(Dir dir) override { envoy_.continue_flow(dir); }
    void send_local_reply(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                          std::string_view details) override {
      envoy_.send_local_reply(status, headers, body, details);
    }
    void send_reply_headers(std::span<const HeaderLine> headers, bool end) override {
      envoy_.send_reply_headers(headers, end);
    }
    void send_reply_data(std::string_view bytes, bool end) override { envoy_.send_reply_data(bytes, end); }
    void send_reply_trailers(std::span<const HeaderLine> headers) override { envoy_.send_reply_trailers(headers); }
    void reset(std::string_view details) override { envoy_.reset(details); }
    void set_metadata(std::string_view ns, std::string_view key, double value) override { asked().put(ns, key, value); }
    void set_metadata(std::string_view ns, std::string_view key, std::string_view value) override {
      asked().put(ns, key, std::string(value));
    }
    void set_metadata(std::string_view ns, std::string_view key, bool value) override { asked().put(ns, key, value); }
    void add_metadata(std::string_view ns, std::string_view key, double item) override { asked().add(ns, key, item); }
    void add_metadata(std::string_view ns, std::string_view key, std::string_view item) override {
      asked().add(ns, key, std::string(item));
    }
    void add_metadata(std::string_view ns, std::string_view key, bool item) override { asked().add(ns, key, item); }
    void set_metadata_struct(std::string_view ns, std::string_view bytes) override {
      asked().structs[std::string(ns)] = bytes;
    }
    std::vector<std::string_view> metadata_keys(std::string_view ns) const override { return asked().keys(ns); }
    MetadataValue metadata(std::string_view ns, std::string_view key) const override { return asked().get(ns, key); }
    std::optional<std::string_view> filter_state(std::string_view key) const override {
      const auto found = asked().filter_state.find(std::string(key));
      if (found == asked().filter_state.end()) return std::nullopt;
      return found->second;
    }
    void set_filter_state(std::string_view key, std::string_view value) override {
      asked().filter_state.emplace(key, value);
    }
    bool override_host(std::string_view host, bool strict) override {
      asked().host = std::string(host) + (strict ? " strict" : "");
      return host.find(':') != std::string_view::npos;
    }
    void drain_connection() override { asked().drained = true; }
    bool recreate() override { return envoy_.recreate(); }
    void record(MetricKind kind, MetricOp op, size_t metric, std::span<const std::string_view> labels,
                uint64_t value) override {
      asked().records.push_back({kind, op, metric, {labels.begin(), labels.end()}, value});
    }
    std::optional<std::string_view> secret(size_t secret) const override {
      const auto found = asked().secrets.find(secret);
      if (found == asked().secrets.end()) return std::nullopt;
      return found->second;
    }
    CallStart start_call(std::string_view cluster, std::span<const HeaderLine> headers, bool end, uint64_t millis,
                         uint64_t& call) override {
      return asked().start_call(cluster, headers, end, millis, call);
    }
    bool call_data(uint64_t call, std::string_view bytes, bool end) override {
      asked().calls.push_back("data " + std::to_string(call) + " " + std::string(bytes) + (end ? " end" : ""));
      return true;
    }
    bool call_trailers(uint64_t call, std::span<const HeaderLine> trailers) override {
      asked().calls.push_back("trailers " + std::to_string(call) + " " + std::to_string(trailers.size()));
      return true;
    }
    void cancel_call(uint64_t call) override { asked().calls.push_back("cancel " + std::to_string(call)); }
    std::shared_ptr<const RouteConfig> route_config() const override { return envoy_.route; }
    void clear_route_cache() override { ++envoy_.route_clears_; }
    void refresh_route_cache() override { ++envoy_.route_refreshes_; }
    std::optional<Attribute> attribute(uint32_t id) const override {
      for (const auto& [key, value] : envoy_.attributes)
        if (key == id) return value;
      return std::nullopt;
    }
    std::unique_ptr<Waker> make_waker() override { return std::make_unique<FakeWaker>(envoy_.loop_, envoy_.target_); }

   private:
    Asked& asked() const { return envoy_.asked; }
    FakeEnvoy& envoy_;

   public:
    stock::StockStream stream;
  };

  static size_t index(Dir dir) { return static_cast<size_t>(dir); }
  static size_t size_of(const Buffer& buffer) {
    size_t n = 0;
    for (const auto& segment : buffer) n += segment.bytes.size();
    return n;
  }
  static std::string text_of(const Buffer& buffer) {
    std::string out;
    for (const auto& segment : buffer) out += segment.bytes;
    return out;
  }
  static HeaderMap map_of(std::span<const HeaderLine> lines) {
    HeaderMap out;
    for (const auto& line : lines) out.emplace_back(line.name(), line.value());
    return out;
  }

  Half& half(Dir dir) { return halves_[index(dir)]; }
  bool& flag(Dir dir) { return flags_[options_.shared_flag ? 0 : index(dir)]; }
  std::optional<HeaderMap>& map(HeaderType type) { return maps_[static_cast<size_t>(type)]; }
  // The upstream is cut off once somebody has replied in its place; the client when the stream is gone.
  bool takes(Dir dir) const { return !gone_ && !(dir == Dir::kResponse && (local_reply_ || seen_[1].ends > 0)); }

  void violation(std::string what) { violations_.push_back(std::move(what)); }
  void require(bool yes, const char* what) {
    if (!yes) violation(what);
  }
  void enter(Half& h) { ++h.in_hook; }
  void leave(Half& h) {
    --h.in_hook;
    if (gone_ && options_.destroy_inside) violation("the stream was ended inside its own hook");
  }
  bool in_any_hook() const { return halves_[0].in_hook + halves_[1].in_hook > 0; }
  // Whether a callback takes effect.
  bool live(const char* what) const {
    if (gone_ && options_.destroy_inside)
      const_cast<FakeEnvoy*>(this)->violation(std::string(what) + " after the stream's teardown");
    return !gone_;
  }
  bool moves(const char* what) {
    if (!live(what)) return false;
    if (in_any_hook()) violation(std::string(what) + " inside a hook");
    if (on_move) on_move(what);
    return !gone_;
  }

  // ---- the chain ----

  void body_hook(Dir dir, std::string bytes, bool end) {
    Half& h = half(dir);
    Buffer received;
    for (size_t at = 0; at < bytes.size(); at += options_.slice)
      received.push_back({bytes.substr(at, options_.slice), false});
    h.received = &received;
    enter(h);
    const auto status = stream().on_body(dir, end);
    leave(h);
    h.received = nullptr;
    flag(dir) = status == BodyStatus::kContinue;
    if (gone_) return;
    switch (status) {
      case BodyStatus::kContinue:
        if (h.stopped) {
          keep(h, received);
          common_continue(dir);
        } else {
          require(h.headers_continued, "body went on before its headers");
          next_data(dir, text_of(received), end);
        }
        break;
      case BodyStatus::kStopIterationAndWatermark:
        h.stopped = true;
        keep(h, received);
        break;
      case BodyStatus::kStopIterationNoBuffer:
        h.stopped = true;
        if (size_of(received) > 0) violation("bytes were left to NoBuffer, which loses them");
        if (end && !h.buffered) h.buffered.emplace();
        break;
    }
  }

  static void keep(Half& h, Buffer& bytes) {
    if (!h.buffered) h.buffered.emplace();
    for (auto& segment : bytes) h.buffered->push_back(std::move(segment));
    bytes.clear();
  }

  void common_continue(Dir dir) {
    Half& h = half(dir);
    h.stopped = false;
    if (!h.headers_continued) {
      h.headers_continued = true;
      next_headers(dir, h.end_observed && !h.buffered && !h.trailers);
      if (gone_ || (dir == Dir::kResponse && local_reply_)) return;
    }
    const bool had_trailers = h.trailers;
    if (h.buffered) {
      const std::string bytes = text_of(*h.buffered);
      h.buffered->clear();
      next_data(dir, bytes, h.end_observed && !had_trailers);
      if (gone_) return;
    }
    if (had_trailers) next_trailers(dir);
  }

  void next_headers(Dir dir, bool end) {
    Seen& s = seen_[index(dir)];
    require(!s.headers, "headers went on twice");
    s.headers = map(headers_of(dir)).value_or(HeaderMap{});
    s.headers_ended = end;
    if (dir == Dir::kRequest) has_upstream = true;
    if (dir == Dir::kRequest && on_upstream_headers) on_upstream_headers();
    if (end && !gone_) ended(dir);
  }
  void next_data(Dir dir, const std::string& bytes, bool end) {
    Seen& s = seen_[index(dir)];
    require(s.headers.has_value(), "body went on before its headers");
    require(s.ends == 0, "body went on after its end");
    s.body += bytes;
    if (!bytes.empty()) ++s.frames;
    if (end) ended(dir);
  }
  void next_trailers(Dir dir) {
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
    core().on_complete();
    if (logger != nullptr) core().on_log(wire::LogKind_End, *logger);
    filter_->stream.on_destroy();
    worker_.retire(std::move(filter_));
  }

  // ---- callbacks ----

  bool get_headers(HeaderType type, std::vector<HeaderLine>& out) {
    out.clear();
    const auto& m = map(type);
    if (!m || m->empty()) return false;
    for (const auto& [name, value] : *m) out.push_back(HeaderLine::of(name, value));
    return true;
  }
  std::optional<std::string_view> get_header(HeaderType type, std::string_view name) {
    if (const auto& m = map(type))
      for (const auto& [key, value] : *m)
        if (key == name) return value;
    return std::nullopt;
  }
  void write_header(HeaderType type, std::string_view name, std::string_view value, bool replace) {
    if (!live("a header write")) return;
    auto& m = map(type);
    if (!m) return violation("a header write to a map that is not there");
    if (replace) std::erase_if(*m, [&](const auto& line) { return line.first == name; });
    if (!value.empty()) m->emplace_back(name, value);
  }

  Buffer* body(Dir dir, BodySource source) {
    if (!live("a body callback")) return nullptr;
    Half& h = half(dir);
    if (source == BodySource::kReceived) {
      require(h.received != nullptr, "the received body outside its hook");
      return h.received;
    }
    require(half(other(dir)).in_hook == 0, "the other direction's buffered body inside a hook");
    return h.buffered ? &*h.buffered : nullptr;
  }
  bool get_chunks(Dir dir, BodySource source, std::vector<Bytes>& out) {
    out.clear();
    const Buffer* buffer = body(dir, source);
    if (buffer == nullptr) return false;
    for (const auto& segment : *buffer) out.push_back({segment.bytes.data(), segment.bytes.size()});
    return !out.empty();
  }
  void drain(Dir dir, BodySource source, size_t length) {
    Buffer* buffer = body(dir, source);
    if (buffer == nullptr) return;
    if (length > size_of(*buffer)) violation("more was drained than is there");
    while (length > 0 && !buffer->empty()) {
      auto& front = buffer->front();
      const size_t n = std::min(length, front.bytes.size());
      front.bytes.erase(0, n);
      length -= n;
      if (front.bytes.empty()) buffer->pop_front();
    }
  }
  void append(Dir dir, BodySource source, std::string_view bytes) {
    if (!live("append_body")) return;
    require(source == BodySource::kBuffered, "append to the received body");
    Half& h = half(dir);
    require(h.arrived, "append before the headers");
    require(!in_any_hook(), "append inside a hook");
    if (!h.buffered) h.buffered.emplace();
    for (const auto& segment : *h.buffered)
      if (!segment.output) return violation("output was appended behind input that nobody has read");
    // Envoy takes a copy; exactly sized, so that the sanitizer sees a read past it.
    h.buffered->push_back({std::string(bytes), true});
  }

  void continue_flow(Dir dir) {
    if (!moves("continue")) return;
    Half& h = half(dir);
    require(h.arrived, "continue before the headers hook returned");
    if (flag(dir)) {
      ++ignored_continues_;
      return;
    }
    if (!h.stopped) violation("continue of a direction that is not stopped");
    common_continue(dir);
    flag(dir) = true;
  }

  void send_local_reply(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                        std::string_view details) {
    if (!moves("send_local_reply")) return;
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
  void send_reply_headers(std::span<const HeaderLine> headers, bool end) {
    if (!moves("send_response_headers")) return;
    Seen& s = seen_[1];
    require(!s.headers, "a reply after response headers");
    replied_ = true;
    const HeaderMap lines = map_of(headers);
    if (options_.shared_flag) {
      Half& h = half(Dir::kResponse);
      enter(h);
      const auto status = stream().on_headers(Dir::kResponse, end);
      leave(h);
      flag(Dir::kResponse) = status == HeadersStatus::kContinue;
      require(status == HeadersStatus::kContinue, "our own reply was stopped by us");
    }
    s.headers = lines;
    s.headers_ended = end;
    if (end) ended(Dir::kResponse);
  }
  void send_reply_data(std::string_view bytes, bool end) {
    if (!moves("send_response_data")) return;
    const std::string copy(bytes);
    if (options_.shared_flag) {
      Half& h = half(Dir::kResponse);
      Buffer received{{copy, true}};
      h.received = &received;
      enter(h);
      const auto status = stream().on_body(Dir::kResponse, end);
      leave(h);
      h.received = nullptr;
      flag(Dir::kResponse) = status == BodyStatus::kContinue;
      require(status == BodyStatus::kContinue, "our own reply's data was stopped by us");
      require(text_of(received) == copy, "our own reply's data was changed by us");
    }
    next_data(Dir::kResponse, copy, end);
  }
  // An empty frame, which comes to our hook again.
  void inject_response(std::string_view bytes) {
    if (!moves("send_response_data")) return;
    require(options_.shared_flag && bytes.empty() && half(Dir::kResponse).arrived, "stray response data");
    require(!half(Dir::kResponse).end_observed, "response data after the response's end");
    body_hook(Dir::kResponse, {}, false);
  }
  void send_reply_trailers(std::span<const HeaderLine> headers) {
    if (!moves("send_response_trailers")) return;
    require(replied_, "reply trailers without a reply");
    seen_[1].trailers = map_of(headers);
    ended(Dir::kResponse);
  }
  // As Envoy: only of a request whose end has come in.
  bool recreate() {
    if (!asked.recreates || !moves("recreate")) return false;
    ++asked.recreated;
    teardown();
    return true;
  }
  void reset(std::string_view details) {
    if (!moves("reset")) return;
    reset_details_ = details;
    teardown();
  }

  Worker& worker_;
  Loop& loop_;
  const EnvoyOptions options_;
  std::shared_ptr<Loop::Target> target_;
  std::array<Half, 2> halves_;
  std::array<std::optional<HeaderMap>, 4> maps_;
  std::array<Seen, 2> seen_;
  std::array<bool, 2> flags_{};
  std::vector<std::string> violations_;
  std::string reset_details_;
  std::string reply_details_;
  uint64_t chain_id_ = 0;
  int ignored_continues_ = 0;
  int route_clears_ = 0;
  int route_refreshes_ = 0;
  bool replied_ = false;
  bool local_reply_ = false;
  bool gone_ = false;
  bool destroy_later_ = false;
  std::unique_ptr<Filter> filter_;
};

}  // namespace tsf::core::test
