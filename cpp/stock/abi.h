// The part of Envoy's dynamic module interface that this module uses: our own declarations of the names and shapes
// that stock Envoy 1.38, 1.39 and 1.40 export and look up. Whose memory a pointer names is in its suffix: `_envoy` is
// valid during the call only, `_module` must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/mount.h"

#define TSF_EXPORT __attribute__((visibility("default")))

namespace tsf::stock {

using FilterEnvoy = void*;
using ConfigEnvoy = void*;
using LoggerEnvoy = void*;

// {pointer, length}, by value.
using Buffer = core::Bytes;
// {key, key length, value, value length}
using Header = core::HeaderLine;
static_assert(sizeof(Buffer) == 16 && sizeof(Header) == 32);

enum BodyType : int { kReceivedRequest = 0, kBufferedRequest = 1, kReceivedResponse = 2, kBufferedResponse = 3 };

// Of the bodies, from and to the client; of everything, from and to the upstream.
struct StreamBytes {
  uint64_t received;
  uint64_t sent;
  uint64_t wire_received;
  uint64_t wire_sent;
};

inline Buffer buffer_of(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace tsf::stock

extern "C" {
using tsf::stock::Buffer;
using tsf::stock::ConfigEnvoy;
using tsf::stock::FilterEnvoy;
using tsf::stock::Header;
using tsf::stock::LoggerEnvoy;

bool envoy_dynamic_module_callback_http_get_header(FilterEnvoy, int type, Buffer key, Buffer* value_envoy, size_t index,
                                                   size_t* count);
size_t envoy_dynamic_module_callback_http_get_headers_size(FilterEnvoy, int type);
bool envoy_dynamic_module_callback_http_get_headers(FilterEnvoy, int type, Header* lines_envoy);
// An empty value removes.
bool envoy_dynamic_module_callback_http_set_header(FilterEnvoy, int type, Buffer key, Buffer value);
bool envoy_dynamic_module_callback_http_add_header(FilterEnvoy, int type, Buffer key, Buffer value);

size_t envoy_dynamic_module_callback_http_get_body_size(FilterEnvoy, int body);
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(FilterEnvoy, int body);
bool envoy_dynamic_module_callback_http_get_body_chunks(FilterEnvoy, int body, Buffer* chunks_envoy);
bool envoy_dynamic_module_callback_http_append_body(FilterEnvoy, int body, Buffer bytes);
bool envoy_dynamic_module_callback_http_drain_body(FilterEnvoy, int body, size_t length);
uint64_t envoy_dynamic_module_callback_http_get_buffer_limit(FilterEnvoy);
void envoy_dynamic_module_callback_http_set_buffer_limit(FilterEnvoy, uint64_t limit);
// In a body hook: the received chunk is the buffered body itself.
bool envoy_dynamic_module_callback_http_received_buffered_request_body(FilterEnvoy);
bool envoy_dynamic_module_callback_http_received_buffered_response_body(FilterEnvoy);
void envoy_dynamic_module_callback_http_set_dynamic_metadata_number(FilterEnvoy, Buffer ns, Buffer key, double);
void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(FilterEnvoy, Buffer ns, Buffer key, Buffer);
void envoy_dynamic_module_callback_http_set_dynamic_metadata_bool(FilterEnvoy, Buffer ns, Buffer key, bool);
bool envoy_dynamic_module_callback_http_add_dynamic_metadata_list_number(FilterEnvoy, Buffer ns, Buffer key, double);
bool envoy_dynamic_module_callback_http_add_dynamic_metadata_list_string(FilterEnvoy, Buffer ns, Buffer key, Buffer);
bool envoy_dynamic_module_callback_http_add_dynamic_metadata_list_bool(FilterEnvoy, Buffer ns, Buffer key, bool);
// 1.40. Merges a serialized google.protobuf.Struct into the namespace.
[[gnu::weak]] void envoy_dynamic_module_callback_http_set_dynamic_metadata_struct(FilterEnvoy, Buffer ns, Buffer bytes);
size_t envoy_dynamic_module_callback_http_get_metadata_keys_count(FilterEnvoy, int source, Buffer ns);
bool envoy_dynamic_module_callback_http_get_metadata_keys(FilterEnvoy, int source, Buffer ns, Buffer* keys_envoy);
bool envoy_dynamic_module_callback_http_get_metadata_number(FilterEnvoy, int source, Buffer ns, Buffer key, double*);
bool envoy_dynamic_module_callback_http_get_metadata_string(FilterEnvoy, int source, Buffer ns, Buffer key, Buffer*);
bool envoy_dynamic_module_callback_http_get_metadata_bool(FilterEnvoy, int source, Buffer ns, Buffer key, bool*);
bool envoy_dynamic_module_callback_http_get_metadata_list_size(FilterEnvoy, int source, Buffer ns, Buffer key, size_t*);
bool envoy_dynamic_module_callback_http_get_metadata_list_number(FilterEnvoy, int source, Buffer ns, Buffer key,
                                                                 size_t index, double*);
bool envoy_dynamic_module_callback_http_get_metadata_list_string(FilterEnvoy, int source, Buffer ns, Buffer key,
                                                                 size_t index, Buffer*);
bool envoy_dynamic_module_callback_http_get_metadata_list_bool(FilterEnvoy, int source, Buffer ns, Buffer key,
                                                               size_t index, bool*);
bool envoy_dynamic_module_callback_http_set_filter_state_bytes(FilterEnvoy, Buffer key, Buffer value);
bool envoy_dynamic_module_callback_http_get_filter_state_bytes(FilterEnvoy, Buffer key, Buffer* value_envoy);
// An object that is no plain bytes, as its own text: valid until the next such question.
bool envoy_dynamic_module_callback_http_get_filter_state_typed(FilterEnvoy, Buffer key, Buffer* value_envoy);

void envoy_dynamic_module_callback_http_filter_continue_decoding(FilterEnvoy);
void envoy_dynamic_module_callback_http_filter_continue_encoding(FilterEnvoy);
void envoy_dynamic_module_callback_http_send_response(FilterEnvoy, uint32_t status, Header* headers_module,
                                                      size_t count, Buffer body, Buffer details);
void envoy_dynamic_module_callback_http_send_response_headers(FilterEnvoy, Header* headers_module, size_t count,
                                                              bool end);
void envoy_dynamic_module_callback_http_send_response_data(FilterEnvoy, Buffer bytes, bool end);
void envoy_dynamic_module_callback_http_send_response_trailers(FilterEnvoy, Header* headers_module, size_t count);
void envoy_dynamic_module_callback_http_filter_reset_stream(FilterEnvoy, int reason, Buffer details);

// False for what is no IP address.
bool envoy_dynamic_module_callback_http_set_upstream_override_host(FilterEnvoy, Buffer host, bool strict);
void envoy_dynamic_module_callback_http_filter_send_go_away_and_close(FilterEnvoy, bool graceful);
// `headers`: those of a redirect's response, or none.
bool envoy_dynamic_module_callback_http_filter_recreate_stream(FilterEnvoy, Header* headers_module, size_t count);

// Calls. 0 = started, 2 = no such cluster; the id is set before the first event of the call.
int envoy_dynamic_module_callback_http_filter_start_http_stream(FilterEnvoy, uint64_t* id, Buffer cluster,
                                                                Header* headers_module, size_t count, Buffer body,
                                                                bool end, uint64_t milliseconds);
bool envoy_dynamic_module_callback_http_stream_send_data(FilterEnvoy, uint64_t id, Buffer bytes, bool end);
bool envoy_dynamic_module_callback_http_stream_send_trailers(FilterEnvoy, uint64_t id, Header* lines_module, size_t);
void envoy_dynamic_module_callback_http_filter_reset_http_stream(FilterEnvoy, uint64_t id);

// Metrics: defined while config_new runs; 0 = done. A metric with labels takes one value for each of them.
int envoy_dynamic_module_callback_http_filter_config_define_counter(ConfigEnvoy, Buffer name, Buffer* labels_module,
                                                                    size_t, size_t* id);
int envoy_dynamic_module_callback_http_filter_config_define_gauge(ConfigEnvoy, Buffer name, Buffer* labels_module,
                                                                  size_t, size_t* id);
int envoy_dynamic_module_callback_http_filter_config_define_histogram(ConfigEnvoy, Buffer name, Buffer* labels_module,
                                                                      size_t, size_t* id);
int envoy_dynamic_module_callback_http_filter_increment_counter(FilterEnvoy, size_t id, Buffer* values_module, size_t,
                                                                uint64_t);
int envoy_dynamic_module_callback_http_filter_increment_gauge(FilterEnvoy, size_t id, Buffer* values_module, size_t,
                                                              uint64_t);
int envoy_dynamic_module_callback_http_filter_decrement_gauge(FilterEnvoy, size_t id, Buffer* values_module, size_t,
                                                              uint64_t);
int envoy_dynamic_module_callback_http_filter_set_gauge(FilterEnvoy, size_t id, Buffer* values_module, size_t,
                                                        uint64_t);
int envoy_dynamic_module_callback_http_filter_record_histogram_value(FilterEnvoy, size_t id, Buffer* values_module,
                                                                     size_t, uint64_t);

// 1.39: the same without a stream.
[[gnu::weak]] int envoy_dynamic_module_callback_http_filter_config_increment_counter(ConfigEnvoy, size_t id,
                                                                                     Buffer* values_module, size_t,
                                                                                     uint64_t);
[[gnu::weak]] int envoy_dynamic_module_callback_http_filter_config_increment_gauge(ConfigEnvoy, size_t id,
                                                                                   Buffer* values_module, size_t,
                                                                                   uint64_t);
[[gnu::weak]] int envoy_dynamic_module_callback_http_filter_config_decrement_gauge(ConfigEnvoy, size_t id,
                                                                                   Buffer* values_module, size_t,
                                                                                   uint64_t);
[[gnu::weak]] int envoy_dynamic_module_callback_http_filter_config_set_gauge(ConfigEnvoy, size_t id,
                                                                             Buffer* values_module, size_t, uint64_t);
[[gnu::weak]] int envoy_dynamic_module_callback_http_filter_config_record_histogram_value(ConfigEnvoy, size_t id,
                                                                                          Buffer* values_module, size_t,
                                                                                          uint64_t);

// 1.40. Secrets: subscribed to while config_new runs; the id is 0 when Envoy refuses. An empty `source` names a static
// secret of the bootstrap, else it is an envoy.config.core.v3.ConfigSource as JSON.
[[gnu::weak]] size_t envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe(ConfigEnvoy, Buffer name,
                                                                                               Buffer source);
[[gnu::weak]] bool envoy_dynamic_module_callback_http_filter_get_generic_secret(FilterEnvoy, size_t id,
                                                                                Buffer* value_envoy);

void envoy_dynamic_module_callback_http_clear_route_cache(FilterEnvoy);
const void* envoy_dynamic_module_callback_get_most_specific_route_config(FilterEnvoy);
bool envoy_dynamic_module_callback_http_filter_get_attribute_string(FilterEnvoy, int id, Buffer* value_envoy);
bool envoy_dynamic_module_callback_http_filter_get_attribute_int(FilterEnvoy, int id, uint64_t* value);
bool envoy_dynamic_module_callback_http_filter_get_attribute_bool(FilterEnvoy, int id, bool* value);
bool envoy_dynamic_module_callback_http_get_cluster_name(FilterEnvoy, Buffer* name_envoy);
// 1.40: how many hosts the router has tried.
[[gnu::weak]] size_t envoy_dynamic_module_callback_http_get_upstream_hosts_attempted_size(FilterEnvoy);
uint32_t envoy_dynamic_module_callback_http_filter_get_worker_index(FilterEnvoy);

// The scheduler holds its filter weakly: commit is safe from any thread and after the filter's death.
void* envoy_dynamic_module_callback_http_filter_scheduler_new(FilterEnvoy);
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void* scheduler, uint64_t event);
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void* scheduler);

// Inside the access logger's log hook. `path`: keys joined by dots.
bool envoy_dynamic_module_callback_access_logger_get_dynamic_metadata(LoggerEnvoy, Buffer ns, Buffer path,
                                                                      Buffer* value_envoy);
bool envoy_dynamic_module_callback_access_logger_get_attribute_string(LoggerEnvoy, int id, Buffer* value_envoy);
bool envoy_dynamic_module_callback_access_logger_get_attribute_int(LoggerEnvoy, int id, uint64_t* value);
bool envoy_dynamic_module_callback_access_logger_get_attribute_bool(LoggerEnvoy, int id, bool* value);
void envoy_dynamic_module_callback_access_logger_get_bytes_info(LoggerEnvoy, tsf::stock::StreamBytes* out);
uint64_t envoy_dynamic_module_callback_access_logger_get_response_flags(LoggerEnvoy);

// The same for a config: made on the main thread, committed from any, config_scheduled runs on the main thread.
void* envoy_dynamic_module_callback_http_filter_config_scheduler_new(ConfigEnvoy);
void envoy_dynamic_module_callback_http_filter_config_scheduler_commit(void* scheduler, uint64_t event);
void envoy_dynamic_module_callback_http_filter_config_scheduler_delete(void* scheduler);

// Main thread.
uint32_t envoy_dynamic_module_callback_get_concurrency();
bool envoy_dynamic_module_callback_is_validation_mode();
// Any thread.
void envoy_dynamic_module_callback_log(int level, Buffer text);
bool envoy_dynamic_module_callback_log_enabled(int level);
}
