// The functions that Envoy looks up. Each is a barrier: nothing is thrown across, the safe value goes back.
#include <atomic>
#include <memory>

#include "core/filter_config.h"
#include "core/link.h"
#include "core/stream.h"
#include "module/abi.h"
#include "module/envoy_stream.h"
#include "module/guarded.h"

namespace tsf::module {
namespace {

using core::Dir;
using core::LogLevel;

using ConfigHandle = std::shared_ptr<const core::FilterConfig>;
using RouteHandle = std::shared_ptr<const core::RouteConfig>;

// relaxed: a hint that spares the look-up where no route has a config; a route's config is made before it is used.
std::atomic<bool> any_route_config{false};

// filter_module_ptr: the stream and its mount in one allocation.
class EnvoyFilter final : public EnvoyStream {
 public:
  EnvoyFilter(FilterEnvoy envoy, const std::shared_ptr<const core::FilterConfig>& config)
      : EnvoyStream(envoy),
        config_(config),
        stream_(config->link->worker(envoy_dynamic_module_callback_http_filter_get_worker_index(envoy)), config,
                *this) {}

  core::Stream& stream() { return stream_; }
  RouteHandle route_config() const override {
    if (!any_route_config.load(std::memory_order_relaxed)) return nullptr;
    const void* route = envoy_dynamic_module_callback_get_most_specific_route_config(envoy_);
    return route != nullptr ? *static_cast<const RouteHandle*>(route) : nullptr;
  }
  const std::shared_ptr<const core::FilterConfig>& config() const { return config_; }
  core::Worker& worker() { return stream_.worker(); }

 private:
  const std::shared_ptr<const core::FilterConfig> config_;
  core::Stream stream_;
};

// What a stream gets when it could not be made: every hook then lets it pass.
char no_filter;

EnvoyFilter* filter_of(const void* module) {
  return module == nullptr || module == &no_filter ? nullptr : static_cast<EnvoyFilter*>(const_cast<void*>(module));
}

void say(LogLevel level, const std::string& text) { envoy_process().log(level, "ts_filter: " + text); }

template <class Use>
int with_filter(const char* hook, const void* module, Use use) noexcept {
  EnvoyFilter* filter = filter_of(module);
  if (filter == nullptr) return 0;
  return guarded(hook, 0, [&] { return static_cast<int>(use(*filter)); });
}

// Metrics and secrets can be told to Envoy only while the config loads. The error's text, empty when there is none.
std::string define(ConfigEnvoy envoy, core::FilterConfig& config) {
  Buffer filter = buffer_of("filter");
  size_t panics = 0;
  if (envoy_dynamic_module_callback_http_filter_config_define_counter(envoy, buffer_of("ts_filter.panics"), &filter, 1,
                                                                      &panics) == 0)
    config.panics = panics;
  for (const core::MetricSpec& metric : config.settings.metrics) {
    std::vector<Buffer> labels;
    for (const std::string& label : metric.labels) labels.push_back(buffer_of(label));
    const auto call = [&](auto* define) {
      size_t id = 0;
      const int result = define(envoy, buffer_of(metric.name), labels.data(), labels.size(), &id);
      config.metrics.push_back(id);
      return result == 0;
    };
    const bool done = metric.kind == core::MetricKind::kCounter
                          ? call(&envoy_dynamic_module_callback_http_filter_config_define_counter)
                      : metric.kind == core::MetricKind::kGauge
                          ? call(&envoy_dynamic_module_callback_http_filter_config_define_gauge)
                          : call(&envoy_dynamic_module_callback_http_filter_config_define_histogram);
    if (!done) return "filter_config.metrics: Envoy does not define \"" + metric.name + "\"";
  }
  for (const core::SecretSpec& secret : config.settings.secrets) {
    if (&envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe == nullptr)
      return "filter_config.secrets: needs Envoy 1.40; this is " + std::string(envoy_process().envoy_version());
    const size_t id = envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe(
        envoy, buffer_of(secret.name), buffer_of(secret.source));
    if (id == 0) return "filter_config.secrets: Envoy has no secret \"" + secret.name + "\" (its log says why)";
    config.secrets.push_back(id);
  }
  return {};
}

// Null: refused; the reason has been logged.
ConfigHandle* new_config(ConfigEnvoy envoy, std::string name, std::string_view text) {
  auto parsed = core::parse_settings(text);
  if (name.empty()) parsed.error = "filter_name: is empty; give the name under which the filter is registered";
  if (!parsed.error.empty()) {
    say(LogLevel::kError, "filter \"" + name + "\": " + parsed.error);
    return nullptr;
  }
  auto config = std::make_shared<core::FilterConfig>();
  config->name = std::move(name);
  config->settings = std::move(*parsed.value);
  if (const std::string error = define(envoy, *config); !error.empty()) {
    say(LogLevel::kError, "filter \"" + config->name + "\": " + error);
    return nullptr;
  }
  if (!envoy_dynamic_module_callback_is_validation_mode()) {
    config->link =
        core::Link::obtain(config->settings, envoy_process(), envoy_dynamic_module_callback_get_concurrency());
    config->judged = config->link->judge(core::filter_text(config->name, config->settings));
    config->metric_sink = std::make_shared<EnvoyMetrics>(envoy, config->metrics);
    config->judged->add_metrics(config->metric_sink);
    const core::Verdict* verdict = config->link->wait_for_verdict(*config->judged, config->settings.config_timeout);
    if (verdict != nullptr && !verdict->accepted) {
      say(LogLevel::kError, "filter \"" + config->name + "\": filter_config." +
                                (config->settings.filters.empty() ? "plugin_config: " : "") + verdict->message);
      return nullptr;
    }
  }
  return std::make_unique<ConfigHandle>(std::move(config)).release();
}

// What new_config made; null under --mode validate.
EnvoyMetrics* metrics_of(const ConfigHandle& config) { return static_cast<EnvoyMetrics*>(config->metric_sink.get()); }

RouteHandle* new_route_config(std::string name, std::string_view text) {
  auto parsed = core::parse_route_settings(text);
  if (!parsed.error.empty()) {
    say(LogLevel::kError, "route config of filter \"" + name + "\": " + parsed.error);
    return nullptr;
  }
  any_route_config.store(true, std::memory_order_relaxed);  // relaxed: see its declaration
  auto route = std::make_shared<const core::RouteConfig>(std::move(name), std::move(*parsed.value));
  return std::make_unique<RouteHandle>(std::move(route)).release();
}

}  // namespace
}  // namespace tsf::module

extern "C" {

using namespace tsf::module;  // NOLINT: this file's extern "C" block is that namespace's face
using tsf::core::Dir;

TSF_EXPORT const char* envoy_dynamic_module_on_program_init() { return envoy_process().abi_version(); }

TSF_EXPORT const void* envoy_dynamic_module_on_http_filter_config_new(ConfigEnvoy envoy, Buffer name, Buffer config) {
  return guarded<const void*>("config_new", nullptr, [&] {
    return new_config(envoy, std::string(name.ptr, name.length), std::string_view(config.ptr, config.length));
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_destroy(const void* config) {
  guarded("config_destroy", [&] {
    const std::unique_ptr<ConfigHandle> handle(static_cast<ConfigHandle*>(const_cast<void*>(config)));
    if (EnvoyMetrics* metrics = metrics_of(*handle)) metrics->detach();
  });
}
TSF_EXPORT const void* envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer name, Buffer config) {
  return guarded<const void*>("per_route_config_new", nullptr, [&] {
    return new_route_config(std::string(name.ptr, name.length), std::string_view(config.ptr, config.length));
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_config_scheduled(ConfigEnvoy, const void* config, uint64_t) {
  guarded("config_scheduled", [&] {
    if (EnvoyMetrics* metrics = metrics_of(*static_cast<const ConfigHandle*>(config))) metrics->flush();
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void* config) {
  guarded("per_route_config_destroy",
          [&] { std::unique_ptr<RouteHandle>(static_cast<RouteHandle*>(const_cast<void*>(config))).reset(); });
}

TSF_EXPORT const void* envoy_dynamic_module_on_http_filter_new(const void* config, FilterEnvoy envoy) {
  return guarded<const void*>("filter_new", &no_filter, [&] {
    auto filter = std::make_unique<EnvoyFilter>(envoy, *static_cast<const ConfigHandle*>(config));
    filter->stream().on_new();
    return filter.release();
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_destroy(const void* module) {
  EnvoyFilter* filter = filter_of(module);
  if (filter == nullptr) return;
  guarded("destroy", [&] {
    // The config, and with it the worker, outlives this call.
    const auto config = filter->config();
    auto& worker = filter->worker();
    filter->stream().on_destroy();
    worker.retire(std::unique_ptr<EnvoyFilter>(filter));
  });
}

TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_headers(FilterEnvoy, const void* module, bool end) {
  return with_filter("request_headers", module,
                     [&](EnvoyFilter& f) { return f.stream().on_headers(Dir::kRequest, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_body(FilterEnvoy, const void* module, bool end) {
  return with_filter("request_body", module, [&](EnvoyFilter& f) { return f.stream().on_body(Dir::kRequest, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_request_trailers(FilterEnvoy, const void* module) {
  return with_filter("request_trailers", module, [&](EnvoyFilter& f) { return f.stream().on_trailers(Dir::kRequest); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_headers(FilterEnvoy, const void* module, bool end) {
  return with_filter("response_headers", module,
                     [&](EnvoyFilter& f) { return f.stream().on_headers(Dir::kResponse, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_body(FilterEnvoy, const void* module, bool end) {
  return with_filter("response_body", module, [&](EnvoyFilter& f) { return f.stream().on_body(Dir::kResponse, end); });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_response_trailers(FilterEnvoy, const void* module) {
  return with_filter("response_trailers", module,
                     [&](EnvoyFilter& f) { return f.stream().on_trailers(Dir::kResponse); });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_stream_complete(FilterEnvoy, const void* module) {
  with_filter("stream_complete", module, [&](EnvoyFilter& f) {
    f.stream().on_complete();
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_scheduled(FilterEnvoy, const void* module, uint64_t) {
  with_filter("scheduled", module, [&](EnvoyFilter& f) {
    f.worker().run();
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(FilterEnvoy,
                                                                                                 const void* module) {
  with_filter("above_write_buffer_high_watermark", module, [&](EnvoyFilter& f) {
    f.stream().on_above_watermark();
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(FilterEnvoy,
                                                                                                const void* module) {
  with_filter("below_write_buffer_low_watermark", module, [&](EnvoyFilter& f) {
    f.stream().on_below_watermark();
    return 0;
  });
}
TSF_EXPORT int envoy_dynamic_module_on_http_filter_local_reply(FilterEnvoy, const void*, uint32_t, Buffer, bool) {
  return 0;  // Continue: Envoy's own replies take their ordinary way
}

// Calls that a filter makes.
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_headers(FilterEnvoy, const void* module, uint64_t id,
                                                                        Header* lines, size_t count, bool end) {
  with_filter("http_stream_headers", module, [&](EnvoyFilter& f) {
    f.stream().on_call_headers(id, {lines, count}, end);
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_data(FilterEnvoy, const void* module, uint64_t id,
                                                                     const Buffer* chunks, size_t count, bool end) {
  with_filter("http_stream_data", module, [&](EnvoyFilter& f) {
    f.stream().on_call_data(id, {chunks, count}, end);
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_trailers(FilterEnvoy, const void* module, uint64_t id,
                                                                         Header* lines, size_t count) {
  with_filter("http_stream_trailers", module, [&](EnvoyFilter& f) {
    f.stream().on_call_trailers(id, {lines, count});
    return 0;
  });
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_complete(FilterEnvoy, const void*, uint64_t) {
  // Its last event said so.
}
TSF_EXPORT void envoy_dynamic_module_on_http_filter_http_stream_reset(FilterEnvoy, const void* module, uint64_t id,
                                                                      int) {
  with_filter("http_stream_reset", module, [&](EnvoyFilter& f) {
    f.stream().on_call_reset(id);
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
