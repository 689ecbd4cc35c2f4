#include "core/metrics.h"

#include <algorithm>

namespace tsf::core {

MetricValues& MetricValues::instance() {
  static MetricValues& values = *new MetricValues();  // leaked: workers record until the process ends
  return values;
}

std::string MetricValues::key(const MetricSpec& metric, std::span<const std::string_view> labels) {
  std::string out = metric.name;
  for (const auto label : labels) {
    out += '\0';
    out += label;
  }
  return out;
}

uint64_t MetricValues::record(const MetricSpec& metric, std::span<const std::string_view> labels, MetricOp op,
                              uint64_t value) {
  const std::lock_guard lock(mutex_);
  uint64_t& known = values_[key(metric, labels)];
  switch (op) {
    case MetricOp::kDecrement:
      value = std::min(value, known);
      known -= value;
      break;
    case MetricOp::kSet: known = value; break;
    case MetricOp::kIncrement:
    case MetricOp::kRecord: known += value; break;
  }
  return value;
}

uint64_t MetricValues::value(const MetricSpec& metric, std::span<const std::string_view> labels) const {
  const std::lock_guard lock(mutex_);
  const auto found = values_.find(key(metric, labels));
  return found == values_.end() ? 0 : found->second;
}

}  // namespace tsf::core
