// What this module has recorded of its filters' metrics. Envoy's interface only writes them; `get()` of the Golang
// filter reads. Metrics of one name are one metric in Envoy, whichever config declared them, so this is one per
// process.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/mount.h"
#include "exchange_generated.h"

namespace tsf::core {

// One entry of the config key `metrics`.
struct MetricSpec {
  std::string name;
  MetricKind kind;
  std::vector<std::string> labels;

  bool operator==(const MetricSpec&) const = default;
};

// Records without a stream; any thread. Envoy 1.39 and later.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  // False: the config is gone, or this Envoy cannot.
  virtual bool record(MetricKind kind, MetricOp op, size_t index, std::span<const std::string_view> labels,
                      uint64_t value) = 0;
};

class MetricValues {
 public:
  // The one of this process; never destroyed.
  static MetricValues& instance();

  // Of one metric; Envoy keeps each for ever. A label's value is at most so long.
  static constexpr size_t kMostLabelled = 1000;
  static constexpr size_t kLongestLabel = 256;

  // Keeps `value` and returns what of it Envoy should be told: a gauge is not taken below zero. Nothing: there are
  // enough combinations of label values, or one is too long. `is_first`: it is the first time for this metric.
  std::optional<uint64_t> record(const MetricSpec& metric, std::span<const std::string_view> labels, MetricOp op,
                                 uint64_t value, bool& is_first);
  uint64_t value(const MetricSpec& metric, std::span<const std::string_view> labels) const;

 private:
  static std::string key(const MetricSpec& metric, std::span<const std::string_view> labels);

  struct Known {
    size_t labelled = 0;
    bool is_over = false;  // and it has been said
  };

  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> values_;
  std::map<std::string, Known> metrics_;
};

// What the host wants recorded, checked, and kept in MetricValues. Null: no correct host sends it.
struct MetricAct {
  const MetricSpec& metric;
  size_t index;
  MetricOp op;
  std::vector<std::string_view> labels;
  std::optional<uint64_t> value;  // nothing: it is not recorded
};
std::optional<MetricAct> take_metric(const wire::Act& frame, std::span<const MetricSpec> metrics,
                                     ProcessMount& process);

}  // namespace tsf::core
