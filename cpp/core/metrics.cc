#include "core/metrics.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

std::optional<uint64_t> MetricValues::record(const MetricSpec& metric, std::span<const std::string_view> labels,
                                             MetricOp op, uint64_t value, bool& is_first) {
  const auto is_long = [](std::string_view label) { return label.size() > kLongestLabel; };
  const std::string name = key(metric, labels);
  const std::lock_guard lock(mutex_);
  auto found = values_.find(name);
  if (found == values_.end()) {
    Known& all = metrics_[metric.name];
    if (all.labelled == kMostLabelled || std::any_of(labels.begin(), labels.end(), is_long)) {
      is_first = !std::exchange(all.is_over, true);
      return std::nullopt;
    }
    ++all.labelled;
    found = values_.emplace(name, 0).first;
  }
  uint64_t& known = found->second;
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

std::optional<MetricAct> take_metric(const wire::Act& frame, std::span<const MetricSpec> metrics,
                                     ProcessMount& process) {
  constexpr double kMost = 9007199254740992.0;  // 2^53
  const double number = frame.number();
  if (frame.id() >= metrics.size() || frame.detail() > wire::MetricOp_Record || !(number >= 0) || number > kMost ||
      number != std::floor(number))
    return std::nullopt;
  MetricAct out{metrics[frame.id()], frame.id(), static_cast<MetricOp>(frame.detail()), {}, {}};
  if (!read_texts(view_of(frame.block()), out.labels) || out.labels.size() != out.metric.labels.size() ||
      (out.metric.kind == MetricKind::kCounter && out.op != MetricOp::kIncrement))
    return std::nullopt;
  bool is_first = false;
  out.value = MetricValues::instance().record(out.metric, out.labels, out.op, static_cast<uint64_t>(number), is_first);
  if (is_first)
    process.log(LogLevel::kWarn, "ts_filter: metric \"" + out.metric.name + "\" has more than " +
                                     std::to_string(MetricValues::kMostLabelled) +
                                     " combinations of label values, or one of more than " +
                                     std::to_string(MetricValues::kLongestLabel) +
                                     " bytes; those are not recorded (TSF_METRIC_LABELS)");
  return out;
}

}  // namespace tsf::core
