#include "stock/envoy_config.h"

#include <utility>
#include <vector>

#include "core/link.h"
#include "stock/envoy_metrics.h"
#include "stock/envoy_process.h"

namespace tsf::stock {
namespace {

using core::LogLevel;

void say(LogLevel level, const std::string& text) { envoy_process().log(level, "ts_filter: " + text); }

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

// Envoy 1.38 hands a route's Struct over as it is on the wire, where each key begins with this byte.
bool is_struct_of_1_38(std::string_view text) {
  return envoy_process().envoy_version() == "1.38" && text.starts_with('\n');
}

}  // namespace

std::shared_ptr<core::FilterConfig> new_filter_config(ConfigEnvoy envoy, std::string name, std::string_view text) {
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
    const auto verdict = config->link->wait_for_verdict(*config->judged, config->settings.config_timeout);
    if (verdict && !verdict->accepted && !verdict->unavailable) {
      say(LogLevel::kError, "filter \"" + config->name + "\": filter_config." +
                                (config->settings.filters.empty() ? "plugin_config: " : "") + verdict->message);
      return nullptr;
    }
  }
  return config;
}

std::shared_ptr<const core::RouteConfig> new_route_config(std::string name, std::string_view text) {
  auto parsed = core::parse_route_settings(text);
  if (!parsed.error.empty()) {
    if (is_struct_of_1_38(text))
      parsed.error =
          "filter_config: Envoy 1.38 does not hand a route's google.protobuf.Struct over as JSON; write it as a "
          "google.protobuf.StringValue that holds the JSON object (Envoy 1.39 and later take both)";
    say(LogLevel::kError, "route config of filter \"" + name + "\": " + parsed.error);
    return nullptr;
  }
  return std::make_shared<const core::RouteConfig>(std::move(name), std::move(*parsed.value));
}

}  // namespace tsf::stock
