// A filter's config and a route's config as streams use them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/verdict.h"

namespace tsf::core {

class Link;

struct FilterConfig {
  FilterConfig() = default;
  FilterConfig(const FilterConfig&) = delete;
  FilterConfig& operator=(const FilterConfig&) = delete;

  std::string name;
  Settings settings;
  std::shared_ptr<Link> link;
  std::shared_ptr<JudgedConfig> judged;
  std::shared_ptr<MetricSink> metric_sink;
  // What Envoy calls settings.metrics and settings.secrets.
  std::vector<size_t> metrics;
  std::vector<size_t> secrets;
  // Of our own counter of failed filters, labelled with the filter's name.
  std::optional<size_t> panics;
  // Of our own counter of observed streams, labelled with the filter's name and what became of the view.
  std::optional<size_t> observed;
};

// What the host is told of a filter's own config.
ConfigText filter_text(const std::string& name, const Settings& settings);

// A route does not know which host serves it: it is judged by each link whose streams meet it.
class RouteConfig {
 public:
  RouteConfig(std::string name, RouteSettings settings) : name_(std::move(name)), settings_(std::move(settings)) {}

  const std::string& name() const { return name_; }
  const RouteSettings& settings() const { return settings_; }
  std::shared_ptr<const JudgedConfig> judged_by(const FilterConfig& filter) const;

 private:
  const std::string name_;
  const RouteSettings settings_;
  mutable std::mutex mutex_;
  mutable std::vector<std::pair<std::weak_ptr<Link>, std::shared_ptr<const JudgedConfig>>> judged_;
};

}  // namespace tsf::core
