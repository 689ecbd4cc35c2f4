// A config's metrics, recorded without a stream.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "core/metrics.h"
#include "stock/abi.h"

namespace tsf::stock {

// A config's metrics, recorded without a stream: on the main thread, for Envoy's stats want a thread of its own.
// Envoy's config may go while streams still hold ours.
class EnvoyMetrics final : public core::MetricSink {
 public:
  // In config_new.
  EnvoyMetrics(ConfigEnvoy envoy, std::vector<size_t> ids);
  ~EnvoyMetrics() override { detach(); }
  bool record(core::MetricKind kind, core::MetricOp op, size_t index, std::span<const std::string_view> labels,
              uint64_t value) override;
  // In config_scheduled: records what has gathered.
  void flush();
  // In config_destroy.
  void detach();

 private:
  struct Late {
    core::MetricKind kind;
    core::MetricOp op;
    size_t id;
    std::vector<std::string> labels;
    uint64_t value;
  };

  std::mutex mutex_;
  ConfigEnvoy envoy_;
  void* scheduler_ = nullptr;
  const std::vector<size_t> ids_;
  std::vector<Late> late_;
};

}  // namespace tsf::stock
