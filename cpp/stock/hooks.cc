// The functions that Envoy looks up. Each is a barrier: nothing is thrown across. Where a hook of a message faults, its
// filter's failure_mode decides: the stream passes, or it ends.
#include <memory>
#include <string>
#include <vector>

#include "core/failure.h"
#include "core/http_rules.h"
#include "stock/abi.h"
#include "stock/entries.h"
#include "stock/envoy_config.h"
#include "stock/envoy_process.h"
#include "stock/guarded.h"
#include "stock/real_envoy.h"

namespace tsf::stock {
namespace {

// What a stream gets that has no entry: it passes, where it goes without one or the filter's failure_mode lets it, or
// it ends at its first hook, where none could be made.
char no_entry_passes;
char no_entry_ends;

bool is_entry(const void* module) {
  return module != nullptr && module != &no_entry_passes && module != &no_entry_ends;
}
// Null: it has none, or one that runs no hooks any more.
StreamEntry* running_entry(const void* module) {
  if (!is_entry(module)) return nullptr;
  StreamEntry* const entry = static_cast<StreamEntry*>(const_cast<void*>(module));
  return entry->is_faulty() ? nullptr : entry;
}

bool passes_when_faulty(const void* module) {
  if (!is_entry(module)) return module != &no_entry_ends;
  return guarded("failure_mode", false, [&] { return static_cast<const StreamEntry*>(module)->passes_when_faulty(); });
}

// An Envoy without an entry of ours behind it.
class BareEnvoy final : public RealEnvoy {
 public:
  explicit BareEnvoy(FilterEnvoy envoy) : RealEnvoy(envoy, has_upstream_now(envoy)) {}
  std::shared_ptr<const core::RouteConfig> route_config() const override { return nullptr; }
};

// A hook with a part of a stream's message.
struct MessageHook {
  const char* name;
  int stop;                // what is answered where the part may not go on
  bool can_reply = false;  // nothing of the message has gone on
};
constexpr int kStopMap = static_cast<int>(HeadersStatus::kStopIteration);
constexpr int kStopBody = static_cast<int>(BodyStatus::kStopIterationNoBuffer);
constexpr MessageHook kRequestHeaders{"request_headers", kStopMap, true};
constexpr MessageHook kRequestBody{"request_body", kStopBody};
constexpr MessageHook kRequestTrailers{"request_trailers", kStopMap};
constexpr MessageHook kResponseHeaders{"response_headers", kStopMap};
constexpr MessageHook kResponseBody{"response_body", kStopBody};
constexpr MessageHook kResponseTrailers{"response_trailers", kStopMap};
static_assert(kStopMap == static_cast<int>(TrailersStatus::kStopIteration));

// A hook of a stream's message that cannot do its work. Where the stream may not go on without it, a request whose
// headers just come is answered, and everything else is reset: nothing of it has been checked by the filter. Returns
// `stop` then. The entry may be gone afterwards.
int after_fault(const MessageHook& hook, FilterEnvoy envoy, const void* module) noexcept {
  if (passes_when_faulty(module)) return 0;
  guarded("fault", [&] {
    BareEnvoy bare(envoy);
    if (!hook.can_reply) return bare.reset(core::kFault.code);
    std::vector<core::HeaderLine> lines;
    if (core::names_grpc(bare.header(core::HeaderType::kRequest, "content-type")))
      lines.push_back(core::HeaderLine::of("grpc-status", "13"));
    bare.send_local_reply(core::kFault.http, lines, core::kFault.code, core::kFault.code);
  });
  return hook.stop;
}

template <class Use>
int message_hook(const MessageHook& hook, FilterEnvoy envoy, const void* module, Use use) noexcept {
  const auto fault = [&] { return after_fault(hook, envoy, module); };
  StreamEntry* const entry = running_entry(module);
  if (entry == nullptr) return fault();
  return guarded_by(
      hook.name, [&] { return static_cast<int>(use(*entry)); },
      [&] {
        entry->note_fault();
        return fault();
      });
}

// All others: nothing waits for what they say.
template <class Use>
void with_entry(const char* hook, const void* module, Use use) noexcept {
  if (StreamEntry* const entry = running_entry(module)) guarded(hook, [&] { use(*entry); });
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
  const auto* entry = static_cast<const ConfiguredEntry*>(config);
  return guarded_by(
      "filter_new",
      [&]() -> const void* {
        auto stream = entry->new_stream(envoy);
        return stream ? stream.release() : static_cast<const void*>(&no_entry_passes);
      },
      [&] { return entry->passes_when_faulty() ? &no_entry_passes : &no_entry_ends; });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_destroy(const void* module) {
  if (is_entry(module)) guarded("destroy", [&] { static_cast<StreamEntry*>(const_cast<void*>(module))->on_destroy(); });
}

TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_headers(FilterEnvoy envoy, const void* module, bool end) {
  return message_hook(kRequestHeaders, envoy, module,
                      [&](StreamEntry& entry) { return entry.on_headers(Dir::kRequest, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_body(FilterEnvoy envoy, const void* module, bool end) {
  return message_hook(kRequestBody, envoy, module,
                      [&](StreamEntry& entry) { return entry.on_body(Dir::kRequest, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_trailers(FilterEnvoy envoy, const void* module) {
  return message_hook(kRequestTrailers, envoy, module,
                      [&](StreamEntry& entry) { return entry.on_trailers(Dir::kRequest); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_headers(FilterEnvoy envoy, const void* module, bool end) {
  return message_hook(kResponseHeaders, envoy, module,
                      [&](StreamEntry& entry) { return entry.on_headers(Dir::kResponse, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_body(FilterEnvoy envoy, const void* module, bool end) {
  return message_hook(kResponseBody, envoy, module,
                      [&](StreamEntry& entry) { return entry.on_body(Dir::kResponse, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_trailers(FilterEnvoy envoy, const void* module) {
  return message_hook(kResponseTrailers, envoy, module,
                      [&](StreamEntry& entry) { return entry.on_trailers(Dir::kResponse); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_stream_complete(FilterEnvoy, const void* module) {
  with_entry("stream_complete", module, [&](StreamEntry& entry) { entry.on_complete(); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_scheduled(FilterEnvoy, const void* module, uint64_t) {
  // Of a faulty one, too: it makes the run of all its worker's streams.
  if (is_entry(module))
    guarded("scheduled", [&] { static_cast<StreamEntry*>(const_cast<void*>(module))->on_scheduled(); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(FilterEnvoy,
                                                                                                 const void* module) {
  with_entry("above_write_buffer_high_watermark", module, [&](StreamEntry& entry) { entry.on_above_watermark(); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(FilterEnvoy,
                                                                                                const void* module) {
  with_entry("below_write_buffer_low_watermark", module, [&](StreamEntry& entry) { entry.on_below_watermark(); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_local_reply(FilterEnvoy, const void* module, uint32_t,
                                                               Buffer details, bool) {
  with_entry("local_reply", module, [&](StreamEntry& entry) { entry.on_local_reply({details.ptr, details.length}); });
  return 0;  // Continue: it takes its ordinary way
}

// Calls that a filter makes.
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_headers(FilterEnvoy, const void* module, uint64_t id,
                                                                        Header* lines, size_t count, bool end) {
  with_entry("http_stream_headers", module, [&](StreamEntry& entry) {
    entry.on_call_headers(id, {lines, count}, end);
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_data(FilterEnvoy, const void* module, uint64_t id,
                                                                     const Buffer* chunks, size_t count, bool end) {
  with_entry("http_stream_data", module, [&](StreamEntry& entry) { entry.on_call_data(id, {chunks, count}, end); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_trailers(FilterEnvoy, const void* module, uint64_t id,
                                                                         Header* lines, size_t count) {
  with_entry("http_stream_trailers", module, [&](StreamEntry& entry) { entry.on_call_trailers(id, {lines, count}); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_complete(FilterEnvoy, const void*, uint64_t) {
  // Its last event said so.
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_reset(FilterEnvoy, const void* module, uint64_t id,
                                                                      int) {
  with_entry("http_stream_reset", module, [&](StreamEntry& entry) { entry.on_call_reset(id); });
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
