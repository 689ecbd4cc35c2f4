#include "stock/entries.h"

#include <atomic>
#include <thread>
#include <utility>

#include "core/failure.h"
#include "core/link.h"
#include "stock/envoy_config.h"
#include "stock/envoy_metrics.h"
#include "stock/envoy_process.h"

namespace tsf::stock {
namespace {

// One configured filter, for as long as a stream of it lives.
struct Configured {
  std::shared_ptr<const core::FilterConfig> config;
  ChainFacts facts;
};
using ConfiguredPtr = std::shared_ptr<Configured>;

// relaxed: a hint that spares the look-up where no route has a config; a route's config is made before it is used.
std::atomic<bool> any_route_config{false};

RouteHandle route_of(FilterEnvoy envoy) {
  if (!any_route_config.load(std::memory_order_relaxed)) return nullptr;  // relaxed: see its declaration
  const void* route = envoy_dynamic_module_callback_get_most_specific_route_config(envoy);
  return route != nullptr ? *static_cast<const RouteHandle*>(route) : nullptr;
}

bool fails_open(const Configured& configured) {
  return configured.config->settings.failure_mode == core::FailureMode::kOpen;
}

core::Worker& worker_of(FilterEnvoy envoy, const Configured& configured) {
  return configured.config->link->worker(envoy_dynamic_module_callback_http_filter_get_worker_index(envoy));
}

// Where a stream of a configured filter begins.
struct Beginning {
  FilterEnvoy envoy;
  bool is_upstream;
  core::Worker& worker;
};

// What both of the next have: a configured filter's part in one stream, and where its calls and its end go.
template <class Part>
class InStream : public StreamEntry {
 public:
  void on_scheduled() override { stream_.core().worker().run(); }
  void on_local_reply(std::string_view details) override { stream_.on_local_reply(details); }
  void on_call_headers(uint64_t id, std::span<const core::HeaderLine> lines, bool end) override {
    stream_.core().on_call_headers(id, lines, end);
  }
  void on_call_data(uint64_t id, std::span<const core::Bytes> chunks, bool end) override {
    stream_.core().on_call_data(id, chunks, end);
  }
  void on_call_trailers(uint64_t id, std::span<const core::HeaderLine> lines) override {
    stream_.core().on_call_trailers(id, lines);
  }
  void on_call_reset(uint64_t id) override { stream_.core().on_call_reset(id); }
  void on_destroy() override {
    // The config, and with it the worker, outlives this call.
    const auto configured = configured_;
    auto& worker = stream_.core().worker();
    stream_.on_destroy();
    worker.retire(std::unique_ptr<core::Retired>(this));
  }
  RouteHandle route_config() const override { return route_of(envoy_); }

 protected:
  template <class... Args>
  InStream(const Beginning& at, const ConfiguredPtr& configured, Args&&... args)
      : StreamEntry(at.envoy, at.is_upstream),
        configured_(configured),
        stream_(at.worker, configured->config, std::forward<Args>(args)...) {}

  const ConfiguredPtr configured_;
  Part stream_;
};

// One of our filters in one stream.
class FilterInStream final : public InStream<StockStream> {
 public:
  FilterInStream(const Beginning& at, const ConfiguredPtr& configured)
      : InStream(at, configured, configured->facts, *this, envoy_process().shared_continue_flag()) {
    stream_.on_new();
  }

  HeadersStatus on_headers(Dir dir, bool end) override { return stream_.on_headers(dir, end); }
  BodyStatus on_body(Dir dir, bool end) override { return stream_.on_body(dir, end); }
  TrailersStatus on_trailers(Dir dir) override { return stream_.on_trailers(dir); }
  void on_complete() override { stream_.on_complete(); }
  void on_above_watermark() override { stream_.on_above_watermark(); }
  void on_below_watermark() override { stream_.core().on_below_watermark(); }

  bool passes_when_faulty() const override {
    const RouteHandle route = route_config();
    return route && route->settings().failure_mode ? *route->settings().failure_mode == core::FailureMode::kOpen
                                                   : fails_open(*configured_);
  }

  void reset(std::string_view details) override {
    stream_.on_reset();
    RealEnvoy::reset(details);
  }
  bool recreate() override {
    if (is_upstream()) return false;
    stream_.on_recreate();
    return RealEnvoy::recreate();
  }
};

// One of our filters that only observes.
class ObserverInStream final : public InStream<ObservingStream> {
 public:
  ObserverInStream(const Beginning& at, const ConfiguredPtr& configured) : InStream(at, configured, *this) {
    stream_.on_new();
  }

  HeadersStatus on_headers(Dir dir, bool end) override {
    stream_.on_headers(dir, end);
    return HeadersStatus::kContinue;
  }
  BodyStatus on_body(Dir dir, bool end) override {
    stream_.on_body(dir, end);
    return BodyStatus::kContinue;
  }
  TrailersStatus on_trailers(Dir dir) override {
    stream_.on_trailers(dir);
    return TrailersStatus::kContinue;
  }
  void on_complete() override { stream_.core().on_complete(); }
};

// One of our filters in a stream of Envoy's main thread, whose own requests (a remote JWKS, xDS) pass a cluster's
// filters, too. There is no channel to the host for that thread.
class FilterOffWorkers final : public StreamEntry {
 public:
  FilterOffWorkers(FilterEnvoy envoy, bool is_upstream, bool observes)
      : StreamEntry(envoy, is_upstream), observes_(observes) {}
  // The reply may destroy this object.
  HeadersStatus on_headers(Dir dir, bool) override {
    if (dir == Dir::kResponse || observes_) return HeadersStatus::kContinue;
    send_local_reply(core::kNotUpstream.http, {}, core::kNotUpstream.code, core::kNotUpstream.code);
    return HeadersStatus::kStopIteration;
  }
  BodyStatus on_body(Dir, bool) override { return BodyStatus::kContinue; }
  TrailersStatus on_trailers(Dir) override { return TrailersStatus::kContinue; }
  void on_destroy() override { const std::unique_ptr<StreamEntry> gone(this); }
  RouteHandle route_config() const override { return nullptr; }

 private:
  const bool observes_;
};

class EdgeInStream final : public StreamEntry {
 public:
  EdgeInStream(FilterEnvoy envoy, bool is_upstream, const void* config)
      : StreamEntry(envoy, is_upstream), edge_(*this, envoy_process().shared_continue_flag()) {
    edge_.on_new(config);
  }

  HeadersStatus on_headers(Dir dir, bool end) override { return edge_.on_headers(dir, end); }
  BodyStatus on_body(Dir dir, bool end) override { return edge_.on_body(dir, end); }
  TrailersStatus on_trailers(Dir dir) override { return edge_.on_trailers(dir); }
  void on_above_watermark() override { edge_.on_above_watermark(); }
  void on_destroy() override {
    edge_.on_destroy();
    const std::unique_ptr<StreamEntry> gone(this);
  }
  RouteHandle route_config() const override { return nullptr; }

 private:
  EdgeFilter edge_;
};

class ConfiguredFilter final : public ConfiguredEntry {
 public:
  explicit ConfiguredFilter(std::shared_ptr<core::FilterConfig> config) { configured_->config = std::move(config); }
  std::unique_ptr<StreamEntry> new_stream(FilterEnvoy envoy) const override {
    if (std::this_thread::get_id() == main_thread_) return off_workers(envoy);
    core::Worker& worker = worker_of(envoy, *configured_);
    if (passes_unseen(worker)) return nullptr;
    const Beginning at{envoy, is_upstream(envoy), worker};
    if (is_observer(envoy)) return std::make_unique<ObserverInStream>(at, configured_);
    return std::make_unique<FilterInStream>(at, configured_);
  }
  void on_scheduled() const override {
    if (EnvoyMetrics* sink = metrics()) sink->flush();
  }
  void on_destroy() const override {
    if (EnvoyMetrics* sink = metrics()) sink->detach();
  }
  bool passes_when_faulty() const override {
    return configured_->config->settings.observe_only || fails_open(*configured_);
  }

 private:
  std::unique_ptr<StreamEntry> off_workers(FilterEnvoy envoy) const {
    const bool observes = is_observer(envoy);
    envoy_process().log(core::LogLevel::kWarn,
                        "ts_filter: filter " + configured_->config->name +
                            " stands in a cluster that Envoy's main thread asks: " +
                            (observes ? "not observed" : std::string("answered: ") + core::kNotUpstream.code));
    return std::make_unique<FilterOffWorkers>(envoy, is_upstream(envoy), observes);
  }
  // The filter has no hooks, and no route can give it another config.
  bool passes_unseen(const core::Worker& worker) const {
    if (any_route_config.load(std::memory_order_relaxed)) return false;  // relaxed: see its declaration
    return worker.passes_unseen(*configured_->config->judged);
  }
  // By the route that the stream has when Envoy makes its filters, as with Envoy's own `disabled`.
  bool is_observer(FilterEnvoy envoy) const {
    const RouteHandle route = route_of(envoy);
    return route && route->settings().observe_only ? *route->settings().observe_only
                                                   : configured_->config->settings.observe_only;
  }
  // Null under --mode validate.
  EnvoyMetrics* metrics() const { return static_cast<EnvoyMetrics*>(configured_->config->metric_sink.get()); }

  const ConfiguredPtr configured_ = std::make_shared<Configured>();
  const std::thread::id main_thread_ = std::this_thread::get_id();  // configs are made there
};

class ConfiguredEdge final : public ConfiguredEntry {
 public:
  ConfiguredEdge() { Chain::count_edge(1); }
  ~ConfiguredEdge() override { Chain::count_edge(-1); }
  std::unique_ptr<StreamEntry> new_stream(FilterEnvoy envoy) const override {
    return std::make_unique<EdgeInStream>(envoy, is_upstream(envoy), this);
  }
};

std::unique_ptr<ConfiguredEntry> new_edge(std::string_view text) {
  if (text.empty() || text == "{}") return std::make_unique<ConfiguredEdge>();
  envoy_process().log(core::LogLevel::kError,
                      "ts_filter: filter \"ts_filter_edge\": filter_config: has no keys; leave it out");
  return nullptr;
}

}  // namespace

void note_route_config() { any_route_config.store(true, std::memory_order_relaxed); }  // relaxed: see its declaration

std::unique_ptr<ConfiguredEntry> new_entry(ConfigEnvoy envoy, std::string name, std::string_view text) {
  if (name == kEdgeName) return new_edge(text);
  auto config = new_filter_config(envoy, std::move(name), text);
  return config ? std::make_unique<ConfiguredFilter>(std::move(config)) : nullptr;
}

}  // namespace tsf::stock
