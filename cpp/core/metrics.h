// What this module has recorded of its filters' metrics. Envoy's interface only writes them; `get()` of the Golang
// filter reads. Metrics of one name are one metric in Envoy, whichever config declared them, so this is one per
// process.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "core/mount.h"

namespace tsf::core {

// One entry of the config key `metrics`.
struct MetricSpec {
  std::string name;
  MetricKind kind;
  std::vector<std::string> labels;

  bool operator==(const MetricSpec&) const = default;
};

class MetricValues {
 public:
  // The one of this process; never destroyed.
  static MetricValues& instance();

  // Keeps `value` and returns what of it Envoy should be told: a gauge is not taken below zero.
  uint64_t record(const MetricSpec& metric, std::span<const std::string_view> labels, MetricOp op, uint64_t value);
  uint64_t value(const MetricSpec& metric, std::span<const std::string_view> labels) const;

 private:
  static std::string key(const MetricSpec& metric, std::span<const std::string_view> labels);

  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> values_;
};

}  // namespace tsf::core
