#include "core/config_size.h"

#include <optional>
#include <string_view>
#include <vector>

namespace tsf::core {
namespace {

constexpr size_t kItem = 32;  // what the message adds to each text, at the most

std::string limit_text(size_t bytes, size_t limit) {
  return std::to_string(bytes) + " bytes of JSON; the limit is " + std::to_string(limit) +
         " bytes; keep large data in a file that the filter reads";
}

std::string plugin_config_error(const std::string& key, const std::optional<std::string>& text) {
  if (!text || text->size() <= kMostPluginConfig) return {};
  return key + ": is " + limit_text(text->size(), kMostPluginConfig);
}

size_t size_of(const std::vector<std::string>& list) {
  size_t bytes = 0;
  for (const std::string& item : list) bytes += kItem + item.size();
  return bytes;
}

std::string filters_error(const std::vector<ChainedFilter>& filters) {
  size_t total = 0;
  for (size_t i = 0; i < filters.size(); ++i) {
    const std::string key = "filters[" + std::to_string(i) + "].plugin_config";
    if (auto error = plugin_config_error(key, filters[i].plugin_config); !error.empty()) return error;
    total += filters[i].plugin_config ? filters[i].plugin_config->size() : 0;
  }
  if (total <= kMostPluginConfig) return {};
  return "filters: their plugin_config together are " + limit_text(total, kMostPluginConfig);
}

std::string other_keys_error(const Settings& settings) {
  size_t filters = 0;
  for (const ChainedFilter& filter : settings.filters) filters += kItem + filter.name.size();
  size_t metrics = 0;
  for (const MetricSpec& metric : settings.metrics) metrics += 2 * kItem + metric.name.size() + size_of(metric.labels);
  const struct {
    std::string_view key;
    size_t bytes;
  } keys[] = {{"filters", filters},
              {"headers.allow", size_of(settings.allow)},
              {"headers.deny", size_of(settings.deny)},
              {"metrics", metrics}};
  size_t total = 0;
  for (const auto& [key, bytes] : keys) {
    total += bytes;
    if (total > kMostOtherKeys)
      return std::string(key) + ": with the keys before it is " + limit_text(total, kMostOtherKeys);
  }
  return {};
}

}  // namespace

std::string json_size_error(size_t bytes) {
  if (bytes <= kMostConfigJson) return {};
  return "filter_config: plugin_config is too large: all keys together are " + limit_text(bytes, kMostPluginConfig);
}

std::string size_error(const Settings& settings) {
  if (auto error = plugin_config_error("plugin_config", settings.plugin_config); !error.empty()) return error;
  if (auto error = filters_error(settings.filters); !error.empty()) return error;
  return other_keys_error(settings);
}

std::string size_error(const RouteSettings& settings) {
  return plugin_config_error("plugin_config", settings.plugin_config);
}

}  // namespace tsf::core
