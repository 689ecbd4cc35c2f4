#include "core/metrics.h"

#include <algorithm>
#include <cmath>

#include "core/frame.h"

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

std::optional<MetricAct> take_metric(const wire::Act& frame, std::span<const MetricSpec> metrics) {
  constexpr double kMost = 9007199254740992.0;  // 2^53
  const double number = frame.number();
  if (frame.id() >= metrics.size() || frame.detail() > wire::MetricOp_Record || !(number >= 0) || number > kMost ||
      number != std::floor(number))
    return std::nullopt;
  MetricAct out{metrics[frame.id()], frame.id(), static_cast<MetricOp>(frame.detail()), {}, 0};
  if (!read_texts(view_of(frame.block()), out.labels) || out.labels.size() != out.metric.labels.size() ||
      (out.metric.kind == MetricKind::kCounter && out.op != MetricOp::kIncrement))
    return std::nullopt;
  out.value = MetricValues::instance().record(out.metric, out.labels, out.op, static_cast<uint64_t>(number));
  return out;
}

}  // namespace tsf::core
