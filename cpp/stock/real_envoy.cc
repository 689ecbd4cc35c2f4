#include "stock/real_envoy.h"

#include <charconv>
#include <string>
#include <system_error>

#include "stock/metric_updates.h"

namespace tsf::stock {
namespace {

constexpr int kDynamic = 0;  // source of metadata: the stream's own

int body_type(core::Dir dir, BodySource source) {
  if (dir == core::Dir::kRequest) return source == BodySource::kReceived ? kReceivedRequest : kBufferedRequest;
  return source == BodySource::kReceived ? kReceivedResponse : kBufferedResponse;
}

// Envoy does not write through these, its interface merely lacks the const.
Header* lines_of(std::span<const core::HeaderLine> headers) { return const_cast<Header*>(headers.data()); }

class EnvoyWaker final : public core::Waker {
 public:
  explicit EnvoyWaker(void* scheduler) : scheduler_(scheduler) {}
  ~EnvoyWaker() override { envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler_); }
  EnvoyWaker(const EnvoyWaker&) = delete;
  EnvoyWaker& operator=(const EnvoyWaker&) = delete;
  void wake() override { envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler_, 0); }

 private:
  void* const scheduler_;
};

}  // namespace

uint64_t chain_id_of(std::string_view value) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
  return error == std::errc{} && end == value.data() + value.size() ? id : 0;
}

bool RealEnvoy::headers(core::HeaderType type, std::vector<core::HeaderLine>& out) const {
  if (const Envoy* other = other_for(type)) return other->headers(type, out);
  const int t = static_cast<int>(type);
  out.resize(envoy_dynamic_module_callback_http_get_headers_size(envoy_, t));
  if (out.empty()) return false;
  if (envoy_dynamic_module_callback_http_get_headers(envoy_, t, out.data())) return true;
  out.clear();
  return false;
}

std::optional<std::string_view> RealEnvoy::header(core::HeaderType type, std::string_view name) const {
  if (const Envoy* other = other_for(type)) return other->header(type, name);
  Buffer value{nullptr, 0};
  size_t count = 0;
  if (!envoy_dynamic_module_callback_http_get_header(envoy_, static_cast<int>(type), buffer_of(name), &value, 0,
                                                     &count))
    return std::nullopt;
  return std::string_view(value.ptr, value.length);
}

bool RealEnvoy::has_trailers(core::Dir dir) const {
  return envoy_dynamic_module_callback_http_get_headers_size(envoy_, static_cast<int>(core::trailers_of(dir))) > 0;
}

void RealEnvoy::set_header(core::HeaderType type, std::string_view name, std::string_view value) {
  if (Envoy* other = other_for(type)) return other->set_header(type, name, value);
  envoy_dynamic_module_callback_http_set_header(envoy_, static_cast<int>(type), buffer_of(name), buffer_of(value));
}
void RealEnvoy::add_header(core::HeaderType type, std::string_view name, std::string_view value) {
  if (Envoy* other = other_for(type)) return other->add_header(type, name, value);
  envoy_dynamic_module_callback_http_add_header(envoy_, static_cast<int>(type), buffer_of(name), buffer_of(value));
}
void RealEnvoy::remove_header(core::HeaderType type, std::string_view name) {
  if (Envoy* other = other_for(type)) return other->remove_header(type, name);
  envoy_dynamic_module_callback_http_set_header(envoy_, static_cast<int>(type), buffer_of(name), {nullptr, 0});
}

size_t RealEnvoy::body_size(core::Dir dir, BodySource source) const {
  return envoy_dynamic_module_callback_http_get_body_size(envoy_, body_type(dir, source));
}

bool RealEnvoy::body_chunks(core::Dir dir, BodySource source, std::vector<core::Bytes>& out) const {
  const int type = body_type(dir, source);
  out.resize(envoy_dynamic_module_callback_http_get_body_chunks_size(envoy_, type));
  return !out.empty() && envoy_dynamic_module_callback_http_get_body_chunks(envoy_, type, out.data());
}

void RealEnvoy::drain_body(core::Dir dir, BodySource source, size_t length) {
  if (length > 0) envoy_dynamic_module_callback_http_drain_body(envoy_, body_type(dir, source), length);
}
void RealEnvoy::append_body(core::Dir dir, BodySource source, std::string_view bytes) {
  envoy_dynamic_module_callback_http_append_body(envoy_, body_type(dir, source), buffer_of(bytes));
}

bool RealEnvoy::received_is_buffered(core::Dir dir) const {
  return dir == core::Dir::kRequest ? envoy_dynamic_module_callback_http_received_buffered_request_body(envoy_)
                                    : envoy_dynamic_module_callback_http_received_buffered_response_body(envoy_);
}

void RealEnvoy::set_chain_id(uint64_t id) {
  set_metadata(kChainNamespace, kChainKey, std::string_view(std::to_string(id)));
}

uint64_t RealEnvoy::buffer_limit() const { return envoy_dynamic_module_callback_http_get_buffer_limit(envoy_); }

void RealEnvoy::set_buffer_limit(uint64_t limit) { envoy_dynamic_module_callback_http_set_buffer_limit(envoy_, limit); }

bool RealEnvoy::is_over_http1() const {
  constexpr uint32_t kRequestProtocol = 10;
  const auto protocol = attribute(kRequestProtocol);
  return protocol && protocol->text.starts_with("HTTP/1");
}

void RealEnvoy::inject_response(std::string_view bytes) {
  envoy_dynamic_module_callback_http_send_response_data(envoy_, buffer_of(bytes), false);
}

void RealEnvoy::repeat_response_end() {
  envoy_dynamic_module_callback_http_send_response_data(envoy_, buffer_of({}), true);
}

// A header's text stays where it is as long as the map lives, and the map is the same for all filters of a stream.
const void* RealEnvoy::stream_key() const {
  Buffer value{nullptr, 0};
  size_t count = 0;
  constexpr int kRequest = 0;
  return envoy_dynamic_module_callback_http_get_header(envoy_, kRequest, buffer_of(":method"), &value, 0, &count)
             ? value.ptr
             : envoy_;
}

bool RealEnvoy::has_upstream_now(FilterEnvoy envoy) {
  constexpr int kUpstreamAddress = 41;
  Buffer address{nullptr, 0};
  return envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy, kUpstreamAddress, &address);
}

void RealEnvoy::continue_flow(core::Dir dir) {
  if (dir == core::Dir::kRequest) {
    envoy_dynamic_module_callback_http_filter_continue_decoding(envoy_);
  } else {
    envoy_dynamic_module_callback_http_filter_continue_encoding(envoy_);
  }
}

void RealEnvoy::send_local_reply(uint32_t status, std::span<const core::HeaderLine> headers, std::string_view body,
                                 std::string_view details) {
  envoy_dynamic_module_callback_http_send_response(envoy_, status, lines_of(headers), headers.size(), buffer_of(body),
                                                   buffer_of(details));
}
void RealEnvoy::send_reply_headers(std::span<const core::HeaderLine> headers, bool end) {
  envoy_dynamic_module_callback_http_send_response_headers(envoy_, lines_of(headers), headers.size(), end);
}
void RealEnvoy::send_reply_data(std::string_view bytes, bool end) {
  envoy_dynamic_module_callback_http_send_response_data(envoy_, buffer_of(bytes), end);
}
void RealEnvoy::send_reply_trailers(std::span<const core::HeaderLine> headers) {
  envoy_dynamic_module_callback_http_send_response_trailers(envoy_, lines_of(headers), headers.size());
}
void RealEnvoy::reset(std::string_view details) {
  constexpr int kLocalReset = 0;
  envoy_dynamic_module_callback_http_filter_reset_stream(envoy_, kLocalReset, buffer_of(details));
}

void RealEnvoy::set_metadata(std::string_view ns, std::string_view key, double value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_number(envoy_, buffer_of(ns), buffer_of(key), value);
}
void RealEnvoy::set_metadata(std::string_view ns, std::string_view key, std::string_view value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy_, buffer_of(ns), buffer_of(key),
                                                                 buffer_of(value));
}
void RealEnvoy::set_metadata(std::string_view ns, std::string_view key, bool value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_bool(envoy_, buffer_of(ns), buffer_of(key), value);
}
void RealEnvoy::add_metadata(std::string_view ns, std::string_view key, double item) {
  envoy_dynamic_module_callback_http_add_dynamic_metadata_list_number(envoy_, buffer_of(ns), buffer_of(key), item);
}
void RealEnvoy::add_metadata(std::string_view ns, std::string_view key, std::string_view item) {
  envoy_dynamic_module_callback_http_add_dynamic_metadata_list_string(envoy_, buffer_of(ns), buffer_of(key),
                                                                      buffer_of(item));
}
void RealEnvoy::add_metadata(std::string_view ns, std::string_view key, bool item) {
  envoy_dynamic_module_callback_http_add_dynamic_metadata_list_bool(envoy_, buffer_of(ns), buffer_of(key), item);
}
void RealEnvoy::set_metadata_struct(std::string_view ns, std::string_view bytes) {
  if (&envoy_dynamic_module_callback_http_set_dynamic_metadata_struct != nullptr)
    envoy_dynamic_module_callback_http_set_dynamic_metadata_struct(envoy_, buffer_of(ns), buffer_of(bytes));
}

std::vector<std::string_view> RealEnvoy::metadata_keys(std::string_view ns) const {
  const size_t count = envoy_dynamic_module_callback_http_get_metadata_keys_count(envoy_, kDynamic, buffer_of(ns));
  std::vector<Buffer> keys(count);
  std::vector<std::string_view> out;
  if (count == 0 || !envoy_dynamic_module_callback_http_get_metadata_keys(envoy_, kDynamic, buffer_of(ns), keys.data()))
    return out;
  for (const Buffer& key : keys) out.emplace_back(key.ptr, key.length);
  return out;
}

core::MetadataValue RealEnvoy::metadata(std::string_view ns, std::string_view key) const {
  // Envoy tells no value's type: one is asked for after the other.
  const Buffer n = buffer_of(ns);
  const Buffer k = buffer_of(key);
  Buffer text{nullptr, 0};
  double number = 0;
  bool yes = false;
  size_t size = 0;
  if (envoy_dynamic_module_callback_http_get_metadata_string(envoy_, kDynamic, n, k, &text))
    return {std::string_view(text.ptr, text.length), std::nullopt};
  if (envoy_dynamic_module_callback_http_get_metadata_number(envoy_, kDynamic, n, k, &number))
    return {number, std::nullopt};
  if (envoy_dynamic_module_callback_http_get_metadata_bool(envoy_, kDynamic, n, k, &yes)) return {yes, std::nullopt};
  if (!envoy_dynamic_module_callback_http_get_metadata_list_size(envoy_, kDynamic, n, k, &size)) return {};
  std::vector<core::MetadataItem> list(size);
  for (size_t i = 0; i < size; ++i) {
    if (envoy_dynamic_module_callback_http_get_metadata_list_string(envoy_, kDynamic, n, k, i, &text)) {
      list[i] = std::string_view(text.ptr, text.length);
    } else if (envoy_dynamic_module_callback_http_get_metadata_list_number(envoy_, kDynamic, n, k, i, &number)) {
      list[i] = number;
    } else if (envoy_dynamic_module_callback_http_get_metadata_list_bool(envoy_, kDynamic, n, k, i, &yes)) {
      list[i] = yes;
    }
  }
  return {{}, std::move(list)};
}

std::optional<std::string_view> RealEnvoy::filter_state(std::string_view key) const {
  Buffer bytes{nullptr, 0};
  if (!envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy_, buffer_of(key), &bytes)) return std::nullopt;
  return std::string_view(bytes.ptr, bytes.length);
}
std::optional<std::string> RealEnvoy::filter_state_object(std::string_view key) const {
  Buffer text{nullptr, 0};
  if (!envoy_dynamic_module_callback_http_get_filter_state_typed(envoy_, buffer_of(key), &text)) return std::nullopt;
  return std::string(text.ptr, text.length);
}
void RealEnvoy::set_filter_state(std::string_view key, std::string_view value) {
  envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy_, buffer_of(key), buffer_of(value));
}

bool RealEnvoy::override_host(std::string_view host, bool strict) {
  return upstream_ || envoy_dynamic_module_callback_http_set_upstream_override_host(envoy_, buffer_of(host), strict);
}
void RealEnvoy::drain_connection() {
  if (upstream_) return;
  constexpr bool kGraceful = true;
  envoy_dynamic_module_callback_http_filter_send_go_away_and_close(envoy_, kGraceful);
}
bool RealEnvoy::recreate() {
  return !upstream_ && envoy_dynamic_module_callback_http_filter_recreate_stream(envoy_, nullptr, 0);
}

void RealEnvoy::record(core::MetricKind kind, core::MetricOp op, size_t metric,
                       std::span<const std::string_view> labels, uint64_t value) {
  constexpr MetricUpdates kOfStream{&envoy_dynamic_module_callback_http_filter_increment_counter,
                                    &envoy_dynamic_module_callback_http_filter_increment_gauge,
                                    &envoy_dynamic_module_callback_http_filter_decrement_gauge,
                                    &envoy_dynamic_module_callback_http_filter_set_gauge,
                                    &envoy_dynamic_module_callback_http_filter_record_histogram_value};
  std::vector<Buffer> values;
  for (const auto label : labels) values.push_back(buffer_of(label));
  kOfStream.of(kind, op)(envoy_, metric, values.data(), values.size(), value);
}

std::optional<std::string_view> RealEnvoy::secret(size_t secret) const {
  Buffer value{nullptr, 0};
  if (&envoy_dynamic_module_callback_http_filter_get_generic_secret == nullptr ||
      !envoy_dynamic_module_callback_http_filter_get_generic_secret(envoy_, secret, &value))
    return std::nullopt;
  return std::string_view(value.ptr, value.length);
}

core::CallStart RealEnvoy::start_call(std::string_view cluster, std::span<const core::HeaderLine> headers, bool end,
                                      uint64_t millis, uint64_t& call) {
  constexpr int kStarted = 0;
  constexpr int kNoCluster = 2;
  const int result = envoy_dynamic_module_callback_http_filter_start_http_stream(
      envoy_, &call, buffer_of(cluster), lines_of(headers), headers.size(), {nullptr, 0}, end, millis);
  return result == kStarted     ? core::CallStart::kStarted
         : result == kNoCluster ? core::CallStart::kNoCluster
                                : core::CallStart::kRefused;
}
bool RealEnvoy::call_data(uint64_t call, std::string_view bytes, bool end) {
  return envoy_dynamic_module_callback_http_stream_send_data(envoy_, call, buffer_of(bytes), end);
}
bool RealEnvoy::call_trailers(uint64_t call, std::span<const core::HeaderLine> trailers) {
  return envoy_dynamic_module_callback_http_stream_send_trailers(envoy_, call, lines_of(trailers), trailers.size());
}
void RealEnvoy::cancel_call(uint64_t call) {
  envoy_dynamic_module_callback_http_filter_reset_http_stream(envoy_, call);
}

// 1.38 looks for the client's stream without asking whether there is one.
void RealEnvoy::clear_route_cache() {
  if (!upstream_) envoy_dynamic_module_callback_http_clear_route_cache(envoy_);
}
void RealEnvoy::refresh_route_cache() {
  if (upstream_) return;
  clear_route_cache();
  // A look-up of the route's config looks the route up.
  (void)envoy_dynamic_module_callback_get_most_specific_route_config(envoy_);
}

std::unique_ptr<core::Waker> RealEnvoy::make_waker() {
  return std::make_unique<EnvoyWaker>(envoy_dynamic_module_callback_http_filter_scheduler_new(envoy_));
}

}  // namespace tsf::stock
