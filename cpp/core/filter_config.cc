#include "core/filter_config.h"

#include "core/link.h"

namespace tsf::core {

ConfigText filter_text(const std::string& name, const Settings& settings) {
  return {name,
          false,
          settings.plugin_config,
          settings.allow,
          settings.deny,
          static_cast<uint8_t>(settings.log_level),
          static_cast<uint32_t>(settings.stream_window),
          settings.metrics,
          settings.filters,
          settings.max_body_bytes};
}

std::shared_ptr<const JudgedConfig> RouteConfig::judged_by(const FilterConfig& filter) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [link, judged] : judged_)
    if (!link.owner_before(filter.link) && !filter.link.owner_before(link)) return judged;
  ConfigText text = filter_text(name_, filter.settings);
  text.route = true;
  text.json = settings_.plugin_config;
  text.filters.clear();
  auto judged = filter.link->judge(std::move(text));
  judged_.emplace_back(filter.link, judged);
  return judged;
}

}  // namespace tsf::core
