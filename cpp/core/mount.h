// What cpp/core needs from the Envoy it runs in: per HTTP stream one StreamMount and a FlowMount for each direction,
// per process one ProcessMount. The mounts (cpp/stock, later cpp/golang) implement them. Nothing here names an Envoy
// type, nor a way of one Envoy to move bytes: core is written as if data could be injected at any time.
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

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kCritical, kOff };

class RouteConfig;

// A handle with which any thread can cause a run on the worker of the stream that made it. Safe after that stream's
// death, when it does nothing.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void wake() = 0;
};

// Asked for like an attribute, but none of Envoy's; src/stream/info.ts has the same number.
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

class ByteQueue;

enum class Injected : uint8_t {
  kAccepted,  // all of it; the queue is empty
  kLater,     // nothing; FlowEvents::on_ready says when to try again
};

// When output that was not accepted can go on.
enum class OutputRoom : uint8_t {
  kPaced,      // as fast as its reader takes it: the host is held up meanwhile
  kBatched,    // once the host has digested its input: it gets no more of it meanwhile
  kCollected,  // not before more input, or the end, has come: everything is taken, up to max_pending_output
};

// One direction of a stream; worker thread only. After a call that moves the stream it may be gone: callers re-check.
class FlowMount {
 public:
  virtual ~FlowMount() = default;

  // Input that has come and was not taken, in pieces that are valid until the next call; what stays here pauses the
  // peer once it is much.
  struct Input {
    size_t length = 0;   // of the pieces; 0 = there is none
    bool is_all = true;  // nothing more lies behind them
  };
  virtual Input input(std::vector<Bytes>& pieces) = 0;
  // The first bytes of input(): read, or not wanted.
  virtual void take(size_t length) = 0;

  // Bytes that were taken, before those that were not; the queue is empty afterwards.
  virtual void put_back(ByteQueue& bytes) = 0;

  // The headers may go on from now on, and go at the latest with the first bytes or the end.
  virtual void let_headers_go() = 0;
  // They are no longer here.
  virtual bool headers_gone() const = 0;

  // Bytes behind those that were injected before. With kLater the caller keeps them.
  virtual Injected inject(ByteQueue& bytes) = 0;
  // The last bytes, then the end, and trailers where there are. The input has ended.
  virtual Injected finish(ByteQueue& bytes) = 0;
  // From here on all goes by: these bytes, what input() still has, then whatever comes. With `until_trailers` the
  // caller still wants to hear of trailers before they go. Remembered where it is not possible yet.
  virtual void pass(ByteQueue& bytes, bool until_trailers) = 0;
  // A reply is in this message's place: nothing of it goes on any more.
  virtual void drop() = 0;
  // Input that was not taken is Envoy's again, which begins the stream anew with it.
  virtual void give_back() = 0;

  // The flow has done what it can for now.
  virtual void on_advanced() = 0;
  // In a turn, before the flow's: carries out what was remembered. And when it wants a turn, 0 = no time in particular.
  virtual void on_turn() = 0;
  virtual int64_t deadline() const = 0;

  // What it cannot do.
  virtual OutputRoom room() const = 0;
};

// How far the input of one direction has come.
enum class InputEnd : uint8_t { kOpen, kIn, kInBeforeTrailers };

// What a mount tells of one direction; implemented by core. None of them moves the stream: that happens in a turn.
class FlowEvents {
 public:
  virtual ~FlowEvents() = default;
  // There is input, or its end, or both.
  virtual void on_input(InputEnd end) = 0;
  // True: the trailers wait for finish().
  virtual bool on_trailers() = 0;
  // In a turn: inject, finish or pass may be possible now.
  virtual void on_ready() = 0;
  // Headers that were held go now: they can be written to for the last time.
  virtual void on_headers_go() = 0;
  // The host has not said of all input that it was given that nothing more comes out of it.
  virtual bool owes_output() const = 0;
  // Bytes of the output that wait here.
  virtual size_t waiting_output() const = 0;
  // The message is ours to end: whoever ends it now cuts it.
  virtual bool is_open() const = 0;
  // Of a message that goes by: its trailers are still for the host.
  virtual bool hears_trailers() const = 0;
  // Another filter has ended the message, or has taken bytes along that were not read.
  virtual void on_cut() = 0;
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

  // It carries one try of a request to a host, behind the router: responses go by, as do calls about the route and the
  // client's stream, which has neither.
  virtual bool is_upstream() const = 0;

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

// Dynamic metadata of this namespace is ours: by it an access logger finds a stream's filters, so that no host writes
// it.
inline constexpr std::string_view kOwnNamespace = "ts_filter";

// Callbacks of the process; any thread.
class ProcessMount {
 public:
  virtual ~ProcessMount() = default;
  virtual void log(LogLevel level, std::string_view text) = 0;
  virtual bool log_enabled(LogLevel level) const = 0;
  virtual std::string_view envoy_version() const = 0;
  // Bits of wire::Capability.
  virtual uint32_t capabilities() const = 0;
};

}  // namespace tsf::core
