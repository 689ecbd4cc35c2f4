// What cpp/core needs from the Envoy it runs in. One StreamMount per HTTP stream, one ProcessMount per process; the
// mounts (cpp/module, later cpp/golang) implement both. Nothing here names an Envoy type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tsf::core {

enum class Dir : uint8_t { kRequest = 0, kResponse = 1 };

constexpr Dir other(Dir dir) { return dir == Dir::kRequest ? Dir::kResponse : Dir::kRequest; }

// In Envoy's own numbering, which schema/exchange.fbs shares.
enum class HeaderType : uint8_t { kRequest = 0, kRequestTrailers = 1, kResponse = 2, kResponseTrailers = 3 };

constexpr HeaderType headers_of(Dir dir) { return dir == Dir::kRequest ? HeaderType::kRequest : HeaderType::kResponse; }
constexpr HeaderType trailers_of(Dir dir) {
  return dir == Dir::kRequest ? HeaderType::kRequestTrailers : HeaderType::kResponseTrailers;
}

// One header line; the mount's ABI struct has the same layout.
struct HeaderLine {
  const char* name_ptr;
  size_t name_length;
  const char* value_ptr;
  size_t value_length;

  std::string_view name() const { return {name_ptr, name_length}; }
  std::string_view value() const { return {value_ptr, value_length}; }
  static HeaderLine of(std::string_view name, std::string_view value) {
    return {name.data(), name.size(), value.data(), value.size()};
  }
};

// Bytes that Envoy or the module owns; the mount's ABI struct has the same layout.
struct Bytes {
  const char* ptr;
  size_t length;
};

// Which body: the chunk of the running body hook, or what Envoy holds back for us.
enum class BodySource : uint8_t { kReceived, kBuffered };

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kCritical, kOff };

class RouteConfig;

// A handle with which any thread can cause a run on the worker of the stream that made it. Safe after that stream's
// death, when it does nothing.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void wake() = 0;
};

// Asked for like an attribute, but none of Envoy's; src/info.ts has the same number.
constexpr uint32_t kVirtualCluster = 1000;

// Typed value of an Envoy attribute.
struct Attribute {
  enum class Kind : uint8_t { kString, kInt, kBool } kind;
  std::string_view text;
  uint64_t number = 0;
};

// A value of dynamic metadata, as far as Envoy's interface tells it; monostate for what it does not (nested values).
using MetadataItem = std::variant<std::monostate, double, std::string_view, bool>;
struct MetadataValue {
  MetadataItem item;
  std::optional<std::vector<MetadataItem>> list;
};

enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };
enum class MetricOp : uint8_t { kIncrement, kDecrement, kSet, kRecord };

// How the start of a call to a cluster went.
enum class CallStart : uint8_t { kStarted, kNoCluster, kRefused };

// What an access logger knows of the stream whose event it is being given; valid during the event.
class LogSource {
 public:
  virtual ~LogSource() = default;
  // False: not for it to say, ask the stream.
  virtual bool attribute(uint32_t id, std::optional<Attribute>& out) const = 0;
};

// Callbacks of one stream; worker thread only. After a call that moves the stream (continue, reply, reset) the stream
// may be gone: callers re-check.
class StreamMount {
 public:
  virtual ~StreamMount() = default;

  // Fills `out`; false when Envoy has no such map. The lines stay valid until the map changes.
  virtual bool headers(HeaderType type, std::vector<HeaderLine>& out) const = 0;
  virtual std::optional<std::string_view> header(HeaderType type, std::string_view name) const = 0;
  virtual void set_header(HeaderType type, std::string_view name, std::string_view value) = 0;
  virtual void add_header(HeaderType type, std::string_view name, std::string_view value) = 0;
  virtual void remove_header(HeaderType type, std::string_view name) = 0;

  virtual size_t body_size(Dir dir, BodySource source) const = 0;
  virtual bool body_chunks(Dir dir, BodySource source, std::vector<Bytes>& out) const = 0;
  virtual void drain_body(Dir dir, BodySource source, size_t length) = 0;
  virtual void append_body(Dir dir, BodySource source, std::string_view bytes) = 0;

  // In a body hook: the received chunk is Envoy's buffer itself, because an earlier filter continued with it.
  virtual bool received_is_buffered(Dir dir) const = 0;
  // A number that all our filters in this HTTP stream share, 0 while none was set.
  virtual uint64_t chain_id() const = 0;
  virtual void set_chain_id(uint64_t id) = 0;

  // Bytes from which on Envoy pauses who sends a body; 0 = no limit.
  virtual uint64_t buffer_limit() const = 0;
  virtual void set_buffer_limit(uint64_t limit) = 0;

  virtual void continue_flow(Dir dir) = 0;
  virtual void send_local_reply(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                                std::string_view details) = 0;
  virtual void send_reply_headers(std::span<const HeaderLine> headers, bool end) = 0;
  virtual void send_reply_data(std::string_view bytes, bool end) = 0;
  virtual void send_reply_trailers(std::span<const HeaderLine> headers) = 0;
  virtual void reset(std::string_view details) = 0;

  // Dynamic metadata of the stream. A list is filled item by item; setting a number in its place empties it first.
  virtual void set_metadata(std::string_view ns, std::string_view key, double value) = 0;
  virtual void set_metadata(std::string_view ns, std::string_view key, std::string_view value) = 0;
  virtual void set_metadata(std::string_view ns, std::string_view key, bool value) = 0;
  virtual void add_metadata(std::string_view ns, std::string_view key, double item) = 0;
  virtual void add_metadata(std::string_view ns, std::string_view key, std::string_view item) = 0;
  virtual void add_metadata(std::string_view ns, std::string_view key, bool item) = 0;
  // A serialized google.protobuf.Struct that is merged into the namespace. Only with kNestedMetadata.
  virtual void set_metadata_struct(std::string_view ns, std::string_view bytes) = 0;
  virtual std::vector<std::string_view> metadata_keys(std::string_view ns) const = 0;
  virtual MetadataValue metadata(std::string_view ns, std::string_view key) const = 0;

  // Envoy keeps string filter states read-only: the first value of a key stays.
  virtual std::optional<std::string_view> filter_state(std::string_view key) const = 0;
  virtual void set_filter_state(std::string_view key, std::string_view value) = 0;

  // False when Envoy does not take this text for an address.
  virtual bool override_host(std::string_view host, bool strict) = 0;
  // The downstream connection takes no new stream.
  virtual void drain_connection() = 0;
  // Ends this stream and begins it anew with its request headers and the body that Envoy holds. False: refused.
  virtual bool recreate() = 0;
  // `metric` and `secret`: what Envoy named them while the config loaded.
  virtual void record(MetricKind kind, MetricOp op, size_t metric, std::span<const std::string_view> labels,
                      uint64_t value) = 0;
  virtual std::optional<std::string_view> secret(size_t secret) const = 0;

  // Requests to clusters; events come to Stream::on_call_*, possibly before start_call has returned.
  virtual CallStart start_call(std::string_view cluster, std::span<const HeaderLine> headers, bool end, uint64_t millis,
                               uint64_t& call) = 0;
  virtual bool call_data(uint64_t call, std::string_view bytes, bool end) = 0;
  virtual bool call_trailers(uint64_t call, std::span<const HeaderLine> trailers) = 0;
  virtual void cancel_call(uint64_t call) = 0;

  // Null: the stream's route has none.
  virtual std::shared_ptr<const RouteConfig> route_config() const = 0;
  virtual void clear_route_cache() = 0;
  // Clears the cache and looks the route up again at once.
  virtual void refresh_route_cache() = 0;
  virtual std::optional<Attribute> attribute(uint32_t id) const = 0;
  virtual std::unique_ptr<Waker> make_waker() = 0;
};

// Callbacks of the process; any thread.
class ProcessMount {
 public:
  virtual ~ProcessMount() = default;
  virtual void log(LogLevel level, std::string_view text) = 0;
  virtual bool log_enabled(LogLevel level) const = 0;
  virtual std::string_view envoy_version() const = 0;
  // Bits of wire::Capability.
  virtual uint32_t capabilities() const = 0;
  // Envoy 1.38: one "continued" flag for both directions (docs/lifecycle.md).
  virtual bool shared_continue_flag() const = 0;
};

}  // namespace tsf::core
