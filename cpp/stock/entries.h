// What stands behind Envoy's pointers: one object for each configured entry and one for each of them in a stream.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string_view>

#include "core/filter_config.h"
#include "core/worker.h"
#include "stock/abi.h"
#include "stock/edge.h"
#include "stock/observing_stream.h"
#include "stock/real_envoy.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

// filter_module_ptr: our entry in one stream. Hooks that an entry has no use for let everything go on.
class StreamEntry : public RealEnvoy, public core::Retired {
 public:
  using RealEnvoy::RealEnvoy;
  virtual HeadersStatus on_headers(Dir dir, bool end) = 0;
  virtual BodyStatus on_body(Dir dir, bool end) = 0;
  virtual TrailersStatus on_trailers(Dir dir) = 0;
  // Envoy is about to answer itself.
  virtual void on_local_reply(std::string_view) {}
  virtual void on_complete() {}
  virtual void on_scheduled() {}
  virtual void on_above_watermark() {}
  virtual void on_below_watermark() {}
  virtual void on_call_headers(uint64_t, std::span<const core::HeaderLine>, bool) {}
  virtual void on_call_data(uint64_t, std::span<const core::Bytes>, bool) {}
  virtual void on_call_trailers(uint64_t, std::span<const core::HeaderLine>) {}
  virtual void on_call_reset(uint64_t) {}
  // Takes the object over.
  virtual void on_destroy() = 0;

  // A fault of ours in a hook: the entry runs none any more but the last.
  void note_fault() noexcept { is_faulty_ = true; }
  bool is_faulty() const noexcept { return is_faulty_; }
  // Whether its stream goes on then as if it were not there.
  virtual bool passes_when_faulty() const { return true; }

 private:
  bool is_faulty_ = false;
};

// config_module_ptr: an entry of Envoy's configuration.
class ConfiguredEntry {
 public:
  ConfiguredEntry() { Chain::count_entry(1); }
  virtual ~ConfiguredEntry() { Chain::count_entry(-1); }
  ConfiguredEntry(const ConfiguredEntry&) = delete;
  ConfiguredEntry& operator=(const ConfiguredEntry&) = delete;
  // Null: the stream goes without this entry.
  virtual std::unique_ptr<StreamEntry> new_stream(FilterEnvoy envoy) const = 0;
  virtual void on_scheduled() const {}
  virtual void on_destroy() const {}
  // As StreamEntry's, of a stream for which no entry could be made.
  virtual bool passes_when_faulty() const { return true; }

 protected:
  // Whether it stands in the router's own chain. Envoy makes an entry for one chain, so that its first stream tells.
  bool is_upstream(FilterEnvoy envoy) const {
    InChain place = place_.load(std::memory_order_relaxed);  // relaxed: whoever asks Envoy finds the same
    if (place == InChain::kUnknown) {
      place = RealEnvoy::has_upstream_now(envoy) ? InChain::kRouters : InChain::kClients;
      place_.store(place, std::memory_order_relaxed);  // relaxed: as above
    }
    return place == InChain::kRouters;
  }

 private:
  enum class InChain : uint8_t { kUnknown, kClients, kRouters };
  mutable std::atomic<InChain> place_{InChain::kUnknown};
};

// Null: refused; the reason has been logged.
std::unique_ptr<ConfiguredEntry> new_entry(ConfigEnvoy envoy, std::string name, std::string_view text);

// Some route has a config of ours: only then streams look for theirs.
void note_route_config();

using RouteHandle = std::shared_ptr<const core::RouteConfig>;

}  // namespace tsf::stock
