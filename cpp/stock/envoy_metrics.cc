#include "stock/envoy_metrics.h"

#include <utility>

#include "stock/metric_updates.h"

namespace tsf::stock {

EnvoyMetrics::EnvoyMetrics(ConfigEnvoy envoy, std::vector<size_t> ids) : envoy_(envoy), ids_(std::move(ids)) {
  const bool can_record = &envoy_dynamic_module_callback_http_filter_config_increment_counter != nullptr;
  if (can_record && !ids_.empty()) scheduler_ = envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy);
}

bool EnvoyMetrics::record(core::MetricKind kind, core::MetricOp op, size_t index,
                          std::span<const std::string_view> labels, uint64_t value) {
  const std::lock_guard lock(mutex_);
  if (scheduler_ == nullptr || index >= ids_.size()) return false;
  late_.push_back({kind, op, ids_[index], {labels.begin(), labels.end()}, value});
  if (late_.size() == 1) envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler_, 0);
  return true;
}

void EnvoyMetrics::flush() {
  const std::lock_guard lock(mutex_);
  if (scheduler_ == nullptr) return;
  const MetricUpdates of_config{&envoy_dynamic_module_callback_http_filter_config_increment_counter,
                                &envoy_dynamic_module_callback_http_filter_config_increment_gauge,
                                &envoy_dynamic_module_callback_http_filter_config_decrement_gauge,
                                &envoy_dynamic_module_callback_http_filter_config_set_gauge,
                                &envoy_dynamic_module_callback_http_filter_config_record_histogram_value};
  for (const Late& late : std::exchange(late_, {})) {
    std::vector<Buffer> values;
    for (const std::string& label : late.labels) values.push_back(buffer_of(label));
    of_config.of(late.kind, late.op)(envoy_, late.id, values.data(), values.size(), late.value);
  }
}

void EnvoyMetrics::detach() {
  const std::lock_guard lock(mutex_);
  if (scheduler_ != nullptr) envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler_);
  scheduler_ = nullptr;
}

}  // namespace tsf::stock
