#include "module/envoy_stream.h"

#include <dlfcn.h>

#include <charconv>
#include <string>
#include <system_error>

#include "exchange_generated.h"

namespace tsf::module {
namespace {

constexpr int kDynamic = 0;  // source of metadata: the stream's own

int body_type(core::Dir dir, core::BodySource source) {
  if (dir == core::Dir::kRequest) return source == core::BodySource::kReceived ? kReceivedRequest : kBufferedRequest;
  return source == core::BodySource::kReceived ? kReceivedResponse : kBufferedResponse;
}

// Envoy does not write through these, its interface merely lacks the const.
Header* lines_of(std::span<const core::HeaderLine> headers) { return const_cast<Header*>(headers.data()); }

// Envoy's functions for metrics: one set takes a stream, one a config.
struct MetricUpdates {
  using Update = int (*)(void* envoy, size_t id, Buffer* values, size_t count, uint64_t value);
  Update increment_counter;
  Update increment_gauge;
  Update decrement_gauge;
  Update set_gauge;
  Update record_histogram;

  constexpr Update of(core::MetricKind kind, core::MetricOp op) const {
    if (kind == core::MetricKind::kCounter) return increment_counter;
    if (kind == core::MetricKind::kHistogram) return record_histogram;
    return op == core::MetricOp::kIncrement   ? increment_gauge
           : op == core::MetricOp::kDecrement ? decrement_gauge
                                              : set_gauge;
  }
};

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

// Attribute ids whose values are not strings; Envoy logs an error for a question of the wrong type.
constexpr bool is_int(uint32_t id) {
  switch (id) {
    case 12:  // request.duration
    case 13:  // request.size
    case 14:  // request.total_size
    case 15:  // response.code
    case 17:  // response.flags
    case 18:  // response.grpc_status
    case 21:  // response.size
    case 22:  // response.total_size
    case 23:  // response.backend_latency
    case 25:  // source.port
    case 27:  // destination.port
    case 28:  // connection.id
    case 42:  // upstream.port
      return true;
    default: return false;
  }
}
// Envoy 1.38 tells filters these, and writes an error to its log for each question about another.
constexpr bool known_to_1_38(uint32_t id) {
  switch (id) {
    case 5:   // request.headers
    case 8:   // request.time
    case 12:  // request.duration
    case 13:  // request.size
    case 14:  // request.total_size
    case 30:  // connection.requested_server_name
    case 39:  // connection.transport_failure_reason
    case 40:  // connection.termination_details
    case 54:  // upstream.cx_pool_ready_duration
    case 55:  // upstream.locality
    case 56:  // xds.node
      return false;
    default:
      // Not the response's but its code, the upstream's certificates and addresses, nor xds but cluster and route.
      return !(id >= 16 && id <= 23) && !(id >= 43 && id <= 52) && !(id >= 58 && id != 61);
  }
}

// Envoy's attributes for which there are better callbacks.
constexpr uint32_t kAttemptCount = 53;
constexpr uint32_t kClusterName = 57;
constexpr uint32_t kVirtualHostName = 63;

constexpr uint32_t kMtls = 29;
constexpr bool is_bool(uint32_t id) { return id == kMtls || id == 67; }  // 67: health check

}  // namespace

uint64_t chain_id_of(std::string_view value) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
  return error == std::errc{} && end == value.data() + value.size() ? id : 0;
}

bool EnvoyStream::headers(core::HeaderType type, std::vector<core::HeaderLine>& out) const {
  const int t = static_cast<int>(type);
  out.resize(envoy_dynamic_module_callback_http_get_headers_size(envoy_, t));
  if (out.empty()) return false;
  if (envoy_dynamic_module_callback_http_get_headers(envoy_, t, out.data())) return true;
  out.clear();
  return false;
}

std::optional<std::string_view> EnvoyStream::header(core::HeaderType type, std::string_view name) const {
  Buffer value{nullptr, 0};
  size_t count = 0;
  if (!envoy_dynamic_module_callback_http_get_header(envoy_, static_cast<int>(type), buffer_of(name), &value, 0,
                                                     &count))
    return std::nullopt;
  return std::string_view(value.ptr, value.length);
}

void EnvoyStream::set_header(core::HeaderType type, std::string_view name, std::string_view value) {
  envoy_dynamic_module_callback_http_set_header(envoy_, static_cast<int>(type), buffer_of(name), buffer_of(value));
}
void EnvoyStream::add_header(core::HeaderType type, std::string_view name, std::string_view value) {
  envoy_dynamic_module_callback_http_add_header(envoy_, static_cast<int>(type), buffer_of(name), buffer_of(value));
}
void EnvoyStream::remove_header(core::HeaderType type, std::string_view name) {
  envoy_dynamic_module_callback_http_set_header(envoy_, static_cast<int>(type), buffer_of(name), {nullptr, 0});
}

size_t EnvoyStream::body_size(core::Dir dir, core::BodySource source) const {
  return envoy_dynamic_module_callback_http_get_body_size(envoy_, body_type(dir, source));
}

bool EnvoyStream::body_chunks(core::Dir dir, core::BodySource source, std::vector<core::Bytes>& out) const {
  const int type = body_type(dir, source);
  out.resize(envoy_dynamic_module_callback_http_get_body_chunks_size(envoy_, type));
  return !out.empty() && envoy_dynamic_module_callback_http_get_body_chunks(envoy_, type, out.data());
}

void EnvoyStream::drain_body(core::Dir dir, core::BodySource source, size_t length) {
  if (length > 0) envoy_dynamic_module_callback_http_drain_body(envoy_, body_type(dir, source), length);
}
void EnvoyStream::append_body(core::Dir dir, core::BodySource source, std::string_view bytes) {
  envoy_dynamic_module_callback_http_append_body(envoy_, body_type(dir, source), buffer_of(bytes));
}

bool EnvoyStream::received_is_buffered(core::Dir dir) const {
  return dir == core::Dir::kRequest ? envoy_dynamic_module_callback_http_received_buffered_request_body(envoy_)
                                    : envoy_dynamic_module_callback_http_received_buffered_response_body(envoy_);
}

uint64_t EnvoyStream::chain_id() const {
  Buffer value{nullptr, 0};
  return envoy_dynamic_module_callback_http_get_metadata_string(envoy_, kDynamic, buffer_of(kChainNamespace),
                                                                buffer_of(kChainKey), &value)
             ? chain_id_of({value.ptr, value.length})
             : 0;
}
void EnvoyStream::set_chain_id(uint64_t id) {
  set_metadata(kChainNamespace, kChainKey, std::string_view(std::to_string(id)));
}

uint64_t EnvoyStream::buffer_limit() const { return envoy_dynamic_module_callback_http_get_buffer_limit(envoy_); }

void EnvoyStream::set_buffer_limit(uint64_t limit) {
  envoy_dynamic_module_callback_http_set_buffer_limit(envoy_, limit);
}

void EnvoyStream::continue_flow(core::Dir dir) {
  if (dir == core::Dir::kRequest) {
    envoy_dynamic_module_callback_http_filter_continue_decoding(envoy_);
  } else {
    envoy_dynamic_module_callback_http_filter_continue_encoding(envoy_);
  }
}

void EnvoyStream::send_local_reply(uint32_t status, std::span<const core::HeaderLine> headers, std::string_view body,
                                   std::string_view details) {
  envoy_dynamic_module_callback_http_send_response(envoy_, status, lines_of(headers), headers.size(), buffer_of(body),
                                                   buffer_of(details));
}
void EnvoyStream::send_reply_headers(std::span<const core::HeaderLine> headers, bool end) {
  envoy_dynamic_module_callback_http_send_response_headers(envoy_, lines_of(headers), headers.size(), end);
}
void EnvoyStream::send_reply_data(std::string_view bytes, bool end) {
  envoy_dynamic_module_callback_http_send_response_data(envoy_, buffer_of(bytes), end);
}
void EnvoyStream::send_reply_trailers(std::span<const core::HeaderLine> headers) {
  envoy_dynamic_module_callback_http_send_response_trailers(envoy_, lines_of(headers), headers.size());
}
void EnvoyStream::reset(std::string_view details) {
  constexpr int kLocalReset = 0;
  envoy_dynamic_module_callback_http_filter_reset_stream(envoy_, kLocalReset, buffer_of(details));
}

void EnvoyStream::set_metadata(std::string_view ns, std::string_view key, double value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_number(envoy_, buffer_of(ns), buffer_of(key), value);
}
void EnvoyStream::set_metadata(std::string_view ns, std::string_view key, std::string_view value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy_, buffer_of(ns), buffer_of(key),
                                                                 buffer_of(value));
}
void EnvoyStream::set_metadata(std::string_view ns, std::string_view key, bool value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_bool(envoy_, buffer_of(ns), buffer_of(key), value);
}
void EnvoyStream::add_metadata(std::string_view ns, std::string_view key, double item) {
  envoy_dynamic_module_callback_http_add_dynamic_metadata_list_number(envoy_, buffer_of(ns), buffer_of(key), item);
}
void EnvoyStream::add_metadata(std::string_view ns, std::string_view key, std::string_view item) {
  envoy_dynamic_module_callback_http_add_dynamic_metadata_list_string(envoy_, buffer_of(ns), buffer_of(key),
                                                                      buffer_of(item));
}
void EnvoyStream::add_metadata(std::string_view ns, std::string_view key, bool item) {
  envoy_dynamic_module_callback_http_add_dynamic_metadata_list_bool(envoy_, buffer_of(ns), buffer_of(key), item);
}
void EnvoyStream::set_metadata_struct(std::string_view ns, std::string_view bytes) {
  if (&envoy_dynamic_module_callback_http_set_dynamic_metadata_struct != nullptr)
    envoy_dynamic_module_callback_http_set_dynamic_metadata_struct(envoy_, buffer_of(ns), buffer_of(bytes));
}

std::vector<std::string_view> EnvoyStream::metadata_keys(std::string_view ns) const {
  const size_t count = envoy_dynamic_module_callback_http_get_metadata_keys_count(envoy_, kDynamic, buffer_of(ns));
  std::vector<Buffer> keys(count);
  std::vector<std::string_view> out;
  if (count == 0 || !envoy_dynamic_module_callback_http_get_metadata_keys(envoy_, kDynamic, buffer_of(ns), keys.data()))
    return out;
  for (const Buffer& key : keys) out.emplace_back(key.ptr, key.length);
  return out;
}

core::MetadataValue EnvoyStream::metadata(std::string_view ns, std::string_view key) const {
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

std::optional<std::string_view> EnvoyStream::filter_state(std::string_view key) const {
  Buffer bytes{nullptr, 0};
  if (!envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy_, buffer_of(key), &bytes)) return std::nullopt;
  return std::string_view(bytes.ptr, bytes.length);
}
void EnvoyStream::set_filter_state(std::string_view key, std::string_view value) {
  envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy_, buffer_of(key), buffer_of(value));
}

bool EnvoyStream::override_host(std::string_view host, bool strict) {
  return envoy_dynamic_module_callback_http_set_upstream_override_host(envoy_, buffer_of(host), strict);
}
void EnvoyStream::drain_connection() {
  constexpr bool kGraceful = true;
  envoy_dynamic_module_callback_http_filter_send_go_away_and_close(envoy_, kGraceful);
}
bool EnvoyStream::recreate() { return envoy_dynamic_module_callback_http_filter_recreate_stream(envoy_, nullptr, 0); }

void EnvoyStream::record(core::MetricKind kind, core::MetricOp op, size_t metric,
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

EnvoyMetrics::EnvoyMetrics(ConfigEnvoy envoy, std::vector<size_t> ids) : envoy_(envoy), ids_(std::move(ids)) {
  const bool can_record = &envoy_dynamic_module_callback_http_filter_config_increment_counter != nullptr;
  if (can_record && !ids_.empty()) scheduler_ = envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy);
}

bool EnvoyMetrics::record(core::MetricKind kind, core::MetricOp op, size_t index,
                          std::span<const std::string_view> labels, uint64_t value) {
  const std::lock_guard lock(mutex_);
  if (scheduler_ == nullptr || index >= ids_.size()) return false;
  late_.push_back({kind, op, ids_[index], {labels.begin(), labels.end()}, value});
  if (late_.size() == 1) envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler_, 0);
  return true;
}

void EnvoyMetrics::flush() {
  const std::lock_guard lock(mutex_);
  if (scheduler_ == nullptr) return;
  const MetricUpdates of_config{&envoy_dynamic_module_callback_http_filter_config_increment_counter,
                                &envoy_dynamic_module_callback_http_filter_config_increment_gauge,
                                &envoy_dynamic_module_callback_http_filter_config_decrement_gauge,
                                &envoy_dynamic_module_callback_http_filter_config_set_gauge,
                                &envoy_dynamic_module_callback_http_filter_config_record_histogram_value};
  for (const Late& late : std::exchange(late_, {})) {
    std::vector<Buffer> values;
    for (const std::string& label : late.labels) values.push_back(buffer_of(label));
    of_config.of(late.kind, late.op)(envoy_, late.id, values.data(), values.size(), late.value);
  }
}

void EnvoyMetrics::detach() {
  const std::lock_guard lock(mutex_);
  if (scheduler_ != nullptr) envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler_);
  scheduler_ = nullptr;
}

std::optional<std::string_view> EnvoyStream::secret(size_t secret) const {
  Buffer value{nullptr, 0};
  if (&envoy_dynamic_module_callback_http_filter_get_generic_secret == nullptr ||
      !envoy_dynamic_module_callback_http_filter_get_generic_secret(envoy_, secret, &value))
    return std::nullopt;
  return std::string_view(value.ptr, value.length);
}

core::CallStart EnvoyStream::start_call(std::string_view cluster, std::span<const core::HeaderLine> headers, bool end,
                                        uint64_t millis, uint64_t& call) {
  constexpr int kStarted = 0;
  constexpr int kNoCluster = 2;
  const int result = envoy_dynamic_module_callback_http_filter_start_http_stream(
      envoy_, &call, buffer_of(cluster), lines_of(headers), headers.size(), {nullptr, 0}, end, millis);
  return result == kStarted     ? core::CallStart::kStarted
         : result == kNoCluster ? core::CallStart::kNoCluster
                                : core::CallStart::kRefused;
}
bool EnvoyStream::call_data(uint64_t call, std::string_view bytes, bool end) {
  return envoy_dynamic_module_callback_http_stream_send_data(envoy_, call, buffer_of(bytes), end);
}
bool EnvoyStream::call_trailers(uint64_t call, std::span<const core::HeaderLine> trailers) {
  return envoy_dynamic_module_callback_http_stream_send_trailers(envoy_, call, lines_of(trailers), trailers.size());
}
void EnvoyStream::cancel_call(uint64_t call) {
  envoy_dynamic_module_callback_http_filter_reset_http_stream(envoy_, call);
}

void EnvoyStream::clear_route_cache() { envoy_dynamic_module_callback_http_clear_route_cache(envoy_); }
void EnvoyStream::refresh_route_cache() {
  clear_route_cache();
  // A look-up of the route's config looks the route up.
  (void)envoy_dynamic_module_callback_get_most_specific_route_config(envoy_);
}

std::optional<core::Attribute> EnvoyStream::attribute(uint32_t id) const {
  using Kind = core::Attribute::Kind;
  Buffer text{nullptr, 0};
  switch (id) {
    case kAttemptCount: {
      if (&envoy_dynamic_module_callback_http_get_upstream_hosts_attempted_size == nullptr) return std::nullopt;
      const size_t count = envoy_dynamic_module_callback_http_get_upstream_hosts_attempted_size(envoy_);
      return count == 0 ? std::nullopt : std::optional(core::Attribute{Kind::kInt, {}, count});
    }
    case kClusterName:
      if (!envoy_dynamic_module_callback_http_get_cluster_name(envoy_, &text)) return std::nullopt;
      return core::Attribute{Kind::kString, std::string_view(text.ptr, text.length), 0};
    case kVirtualHostName:
      // 1.39 answers this with the name of the virtual cluster.
      if (envoy_process().envoy_version() == "1.39") return std::nullopt;
      break;
    case core::kVirtualCluster:
      if (envoy_process().envoy_version() != "1.39") return std::nullopt;
      id = kVirtualHostName;
      break;
    default: break;
  }
  if (envoy_process().envoy_version() == "1.38" && !known_to_1_38(id)) return std::nullopt;
  const int key = static_cast<int>(id);
  if (is_int(id)) {
    uint64_t number = 0;
    if (!envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy_, key, &number)) return std::nullopt;
    return core::Attribute{Kind::kInt, {}, number};
  }
  if (is_bool(id)) {
    bool yes = false;
    const bool told = envoy_dynamic_module_callback_http_filter_get_attribute_bool(envoy_, key, &yes);
    // Without TLS there is no mTLS, which is what Envoy answers elsewhere.
    if (!told && id != kMtls) return std::nullopt;
    return core::Attribute{Kind::kBool, {}, yes ? 1u : 0u};
  }
  constexpr uint32_t kLastAttribute = 67;
  if (id > kLastAttribute || !envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy_, key, &text))
    return std::nullopt;
  return core::Attribute{Kind::kString, std::string_view(text.ptr, text.length), 0};
}

std::unique_ptr<core::Waker> EnvoyStream::make_waker() {
  return std::make_unique<EnvoyWaker>(envoy_dynamic_module_callback_http_filter_scheduler_new(envoy_));
}

EnvoyProcess::EnvoyProcess() {
  // Told apart by callbacks that a version was the first to export; none of them is called.
  const bool is_1_40 = ::dlsym(RTLD_DEFAULT, "envoy_dynamic_module_callback_log_v2") != nullptr;
  const bool is_1_39 = ::dlsym(RTLD_DEFAULT, "envoy_dynamic_module_callback_get_log_level") != nullptr;
  version_ = is_1_40 ? "1.40" : is_1_39 ? "1.39" : "1.38";
  abi_version_ = is_1_40 ? "v0.2.0" : "v0.1.0";
  shared_continue_flag_ = !is_1_40 && !is_1_39;
  capabilities_ = 0;
  if (&envoy_dynamic_module_callback_http_set_dynamic_metadata_struct != nullptr)
    capabilities_ |= wire::Capability_NestedMetadata;
  if (&envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe != nullptr)
    capabilities_ |= wire::Capability_Secrets;
  if (&envoy_dynamic_module_callback_http_filter_config_increment_counter != nullptr)
    capabilities_ |= wire::Capability_LateMetrics;
}

void EnvoyProcess::log(core::LogLevel level, std::string_view text) {
  if (log_enabled(level)) envoy_dynamic_module_callback_log(static_cast<int>(level), buffer_of(text));
}
bool EnvoyProcess::log_enabled(core::LogLevel level) const {
  return envoy_dynamic_module_callback_log_enabled(static_cast<int>(level));
}

EnvoyProcess& envoy_process() {
  static EnvoyProcess& process = *new EnvoyProcess();  // leaked: threads log until the process ends
  return process;
}

}  // namespace tsf::module
