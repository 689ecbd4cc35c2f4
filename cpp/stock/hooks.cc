// The functions that Envoy looks up. Each is a barrier: nothing is thrown across, the safe value goes back.
#include <memory>
#include <string>

#include "stock/abi.h"
#include "stock/entries.h"
#include "stock/envoy_config.h"
#include "stock/envoy_process.h"
#include "stock/guarded.h"

namespace tsf::stock {
namespace {

// What a stream gets when its entry could not be made: every hook then lets it pass.
char no_entry;

StreamEntry* entry_of(const void* module) {
  return module == nullptr || module == &no_entry ? nullptr : static_cast<StreamEntry*>(const_cast<void*>(module));
}

template <class Use>
int with_entry(const char* hook, const void* module, Use use) noexcept {
  StreamEntry* entry = entry_of(module);
  if (entry == nullptr) return 0;
  return guarded(hook, 0, [&] { return static_cast<int>(use(*entry)); });
}

}  // namespace
}  // namespace tsf::stock

extern "C" {

using namespace tsf::stock;  // NOLINT: this file's extern "C" block is that namespace's face

TSF_EXPORT const char* envoy_dynamic_module_on_program_init() { return envoy_process().abi_version(); }

TSF_EXPORT const void* envoy_dynamic_module_on_http_filter_config_new(ConfigEnvoy envoy, Buffer name, Buffer config) {
  return guarded<const void*>("config_new", nullptr, [&] {
    return new_entry(envoy, std::string(name.ptr, name.length), std::string_view(config.ptr, config.length)).release();
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_destroy(const void* config) {
  guarded("config_destroy", [&] {
    const std::unique_ptr<const ConfiguredEntry> entry(static_cast<const ConfiguredEntry*>(config));
    entry->on_destroy();
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_scheduled(ConfigEnvoy, const void* config, uint64_t) {
  guarded("config_scheduled", [&] { static_cast<const ConfiguredEntry*>(config)->on_scheduled(); });
}
TSF_EXPORT const void* envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer name, Buffer config) {
  return guarded<const void*>("per_route_config_new", nullptr, [&]() -> const void* {
    auto route = new_route_config(std::string(name.ptr, name.length), std::string_view(config.ptr, config.length));
    if (!route) return nullptr;
    note_route_config();
    return std::make_unique<RouteHandle>(std::move(route)).release();
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void* config) {
  guarded("per_route_config_destroy",
          [&] { std::unique_ptr<RouteHandle>(static_cast<RouteHandle*>(const_cast<void*>(config))).reset(); });
}

TSF_EXPORT const void* envoy_dynamic_module_on_http_filter_new(const void* config, FilterEnvoy envoy) {
  return guarded<const void*>("filter_new", &no_entry,
                              [&] { return static_cast<const ConfiguredEntry*>(config)->new_stream(envoy).release(); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_destroy(const void* module) {
  if (StreamEntry* entry = entry_of(module)) guarded("destroy", [&] { entry->on_destroy(); });
}

TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_headers(FilterEnvoy, const void* module, bool end) {
  return with_entry("request_headers", module,
                    [&](StreamEntry& entry) { return entry.on_headers(Dir::kRequest, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_body(FilterEnvoy, const void* module, bool end) {
  return with_entry("request_body", module, [&](StreamEntry& entry) { return entry.on_body(Dir::kRequest, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_trailers(FilterEnvoy, const void* module) {
  return with_entry("request_trailers", module, [&](StreamEntry& entry) { return entry.on_trailers(Dir::kRequest); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_headers(FilterEnvoy, const void* module, bool end) {
  return with_entry("response_headers", module,
                    [&](StreamEntry& entry) { return entry.on_headers(Dir::kResponse, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_body(FilterEnvoy, const void* module, bool end) {
  return with_entry("response_body", module, [&](StreamEntry& entry) { return entry.on_body(Dir::kResponse, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_trailers(FilterEnvoy, const void* module) {
  return with_entry("response_trailers", module, [&](StreamEntry& entry) { return entry.on_trailers(Dir::kResponse); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_stream_complete(FilterEnvoy, const void* module) {
  with_entry("stream_complete", module, [&](StreamEntry& entry) {
    entry.on_complete();
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_scheduled(FilterEnvoy, const void* module, uint64_t) {
  with_entry("scheduled", module, [&](StreamEntry& entry) {
    entry.on_scheduled();
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(FilterEnvoy,
                                                                                                 const void* module) {
  with_entry("above_write_buffer_high_watermark", module, [&](StreamEntry& entry) {
    entry.on_above_watermark();
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(FilterEnvoy,
                                                                                                const void* module) {
  with_entry("below_write_buffer_low_watermark", module, [&](StreamEntry& entry) {
    entry.on_below_watermark();
    return 0;
  });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_local_reply(FilterEnvoy, const void* module, uint32_t,
                                                               Buffer details, bool) {
  return with_entry("local_reply", module, [&](StreamEntry& entry) {
    entry.on_local_reply({details.ptr, details.length});
    return 0;  // Continue: it takes its ordinary way
  });
}

// Calls that a filter makes.
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_headers(FilterEnvoy, const void* module, uint64_t id,
                                                                        Header* lines, size_t count, bool end) {
  with_entry("http_stream_headers", module, [&](StreamEntry& entry) {
    entry.on_call_headers(id, {lines, count}, end);
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_data(FilterEnvoy, const void* module, uint64_t id,
                                                                     const Buffer* chunks, size_t count, bool end) {
  with_entry("http_stream_data", module, [&](StreamEntry& entry) {
    entry.on_call_data(id, {chunks, count}, end);
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_trailers(FilterEnvoy, const void* module, uint64_t id,
                                                                         Header* lines, size_t count) {
  with_entry("http_stream_trailers", module, [&](StreamEntry& entry) {
    entry.on_call_trailers(id, {lines, count});
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_complete(FilterEnvoy, const void*, uint64_t) {
  // Its last event said so.
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_reset(FilterEnvoy, const void* module, uint64_t id,
                                                                      int) {
  with_entry("http_stream_reset", module, [&](StreamEntry& entry) {
    entry.on_call_reset(id);
    return 0;
  });
}

// Looked up by Envoy, for callouts and schedulers that this module does not make.
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_callout_done(FilterEnvoy, const void*, uint64_t, int, Header*,
                                                                      size_t, Buffer*, size_t) {}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_http_callout_done(void*, const void*, uint64_t, int, Header*,
                                                                             size_t, Buffer*, size_t) {}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_http_stream_headers(void*, const void*, uint64_t, Header*,
                                                                               size_t, bool) {}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_http_stream_data(void*, const void*, uint64_t, const Buffer*,
                                                                            size_t, bool) {}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_http_stream_trailers(void*, const void*, uint64_t, Header*,
                                                                                size_t) {}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_http_stream_complete(void*, const void*, uint64_t) {}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_http_stream_reset(void*, const void*, uint64_t, int) {}
}
