// Envoy's functions that record metrics: one set takes a stream, one a config.
#pragma once

#include "core/mount.h"
#include "stock/abi.h"

namespace tsf::stock {

struct MetricUpdates {
  using Update = int (*)(void* envoy, size_t id, Buffer* values, size_t count, uint64_t value);
  Update increment_counter;
  Update increment_gauge;
  Update decrement_gauge;
  Update set_gauge;
  Update record_histogram;

  constexpr Update of(core::MetricKind kind, core::MetricOp op) const {
    if (kind == core::MetricKind::kCounter) return increment_counter;
    if (kind == core::MetricKind::kHistogram) return record_histogram;
    return op == core::MetricOp::kIncrement   ? increment_gauge
           : op == core::MetricOp::kDecrement ? decrement_gauge
                                              : set_gauge;
  }
};

}  // namespace tsf::stock
