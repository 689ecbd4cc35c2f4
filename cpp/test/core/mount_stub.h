// The part of a stream's mount that has nothing to do with how bytes move: header maps, and what filters ask of their
// stream beside the flows. Shared by all fakes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/mount.h"

namespace tsf::core::test {

using HeaderMap = std::vector<std::pair<std::string, std::string>>;

// What filters ask of their stream beside the flows: kept, and given back.
struct Asked {
  using Item = std::variant<double, std::string, bool>;
  struct Value {
    std::vector<Item> items;
    bool is_list = false;
  };
  struct Record {
    MetricKind kind;
    MetricOp op;
    size_t metric;
    std::vector<std::string> labels;
    uint64_t value;
  };

  std::map<std::string, std::map<std::string, Value>> metadata;
  std::map<std::string, std::string> structs;
  std::map<std::string, std::string> filter_state;
  std::map<size_t, std::string> secrets;
  std::vector<Record> records;
  std::vector<std::string> calls;
  std::vector<uint64_t> buffer_limits;
  std::string host;
  CallStart call_starts = CallStart::kStarted;
  uint64_t last_call = 100;
  bool drained = false;
  bool recreates = true;
  int recreated = 0;

  void put(std::string_view ns, std::string_view key, Item item) {
    metadata[std::string(ns)][std::string(key)] = {{std::move(item)}, false};
  }
  // As Envoy: a value that is no list stays as it is.
  void add(std::string_view ns, std::string_view key, Item item) {
    Value& value = metadata[std::string(ns)].try_emplace(std::string(key), Value{{}, true}).first->second;
    if (value.is_list) value.items.push_back(std::move(item));
  }
  std::vector<std::string_view> keys(std::string_view ns) const {
    std::vector<std::string_view> out;
    const auto found = metadata.find(std::string(ns));
    if (found != metadata.end())
      for (const auto& [key, value] : found->second) out.push_back(key);
    return out;
  }
  MetadataValue get(std::string_view ns, std::string_view key) const {
    const Value& value = metadata.at(std::string(ns)).at(std::string(key));
    std::vector<MetadataItem> items;
    for (const Item& item : value.items) std::visit([&](const auto& v) { items.push_back(v); }, item);
    if (!value.is_list) return {items[0], std::nullopt};
    return {{}, std::move(items)};
  }
  CallStart start_call(std::string_view cluster, std::span<const HeaderLine> headers, bool end, uint64_t millis,
                       uint64_t& call) {
    if (call_starts != CallStart::kStarted) return call_starts;
    call = ++last_call;
    std::string text = "start " + std::to_string(call) + " " + std::string(cluster);
    for (const HeaderLine& line : headers) text += " " + std::string(line.name()) + "=" + std::string(line.value());
    calls.push_back(text + (end ? " end" : "") + " " + std::to_string(millis) + "ms");
    return CallStart::kStarted;
  }
};

// One HTTP stream, as all entries in it see it.
struct StreamFacts {
  std::array<std::optional<HeaderMap>, 4> maps;
  std::vector<std::pair<uint32_t, Attribute>> attributes;
  Asked asked;
  std::shared_ptr<const RouteConfig> route;
  int route_clears = 0;
  int route_refreshes = 0;
  // The router has chosen an upstream host.
  bool has_upstream = false;
  bool is_upstream = false;  // our filters are the router's
  uint64_t chain_id = 0;
  std::vector<std::string> violations;

  std::optional<HeaderMap>& map(HeaderType type) { return maps[static_cast<size_t>(type)]; }
};

// Base: the interface, core::StreamMount or one that knows more.
template <class Base>
class MountStub : public Base {
 public:
  explicit MountStub(StreamFacts& facts) : facts_(facts) {}

  bool headers(HeaderType type, std::vector<HeaderLine>& out) const override {
    out.clear();
    const auto& m = map(type);
    if (!m || m->empty()) return false;
    for (const auto& [name, value] : *m) out.push_back(HeaderLine::of(name, value));
    return true;
  }
  std::optional<std::string_view> header(HeaderType type, std::string_view name) const override {
    if (const auto& m = map(type))
      for (const auto& [key, value] : *m)
        if (key == name) return value;
    return std::nullopt;
  }
  void set_header(HeaderType type, std::string_view name, std::string_view value) override {
    write_header(type, name, value, true);
  }
  void add_header(HeaderType type, std::string_view name, std::string_view value) override {
    write_header(type, name, value, false);
  }
  void remove_header(HeaderType type, std::string_view name) override { write_header(type, name, {}, true); }

  void set_metadata(std::string_view ns, std::string_view key, double value) override { asked().put(ns, key, value); }
  void set_metadata(std::string_view ns, std::string_view key, std::string_view value) override {
    asked().put(ns, key, std::string(value));
  }
  void set_metadata(std::string_view ns, std::string_view key, bool value) override { asked().put(ns, key, value); }
  void add_metadata(std::string_view ns, std::string_view key, double item) override { asked().add(ns, key, item); }
  void add_metadata(std::string_view ns, std::string_view key, std::string_view item) override {
    asked().add(ns, key, std::string(item));
  }
  void add_metadata(std::string_view ns, std::string_view key, bool item) override { asked().add(ns, key, item); }
  void set_metadata_struct(std::string_view ns, std::string_view bytes) override {
    asked().structs[std::string(ns)] = bytes;
  }
  std::vector<std::string_view> metadata_keys(std::string_view ns) const override { return asked().keys(ns); }
  MetadataValue metadata(std::string_view ns, std::string_view key) const override { return asked().get(ns, key); }
  std::optional<std::string_view> filter_state(std::string_view key) const override {
    const auto found = asked().filter_state.find(std::string(key));
    if (found == asked().filter_state.end()) return std::nullopt;
    return found->second;
  }
  void set_filter_state(std::string_view key, std::string_view value) override {
    asked().filter_state.emplace(key, value);
  }
  bool is_upstream() const override { return facts_.is_upstream; }
  bool override_host(std::string_view host, bool strict) override {
    asked().host = std::string(host) + (strict ? " strict" : "");
    return host.find(':') != std::string_view::npos;
  }
  void drain_connection() override { asked().drained = true; }
  void record(MetricKind kind, MetricOp op, size_t metric, std::span<const std::string_view> labels,
              uint64_t value) override {
    asked().records.push_back({kind, op, metric, {labels.begin(), labels.end()}, value});
  }
  std::optional<std::string_view> secret(size_t secret) const override {
    const auto found = asked().secrets.find(secret);
    if (found == asked().secrets.end()) return std::nullopt;
    return found->second;
  }
  CallStart start_call(std::string_view cluster, std::span<const HeaderLine> headers, bool end, uint64_t millis,
                       uint64_t& call) override {
    return asked().start_call(cluster, headers, end, millis, call);
  }
  bool call_data(uint64_t call, std::string_view bytes, bool end) override {
    asked().calls.push_back("data " + std::to_string(call) + " " + std::string(bytes) + (end ? " end" : ""));
    return true;
  }
  bool call_trailers(uint64_t call, std::span<const HeaderLine> trailers) override {
    asked().calls.push_back("trailers " + std::to_string(call) + " " + std::to_string(trailers.size()));
    return true;
  }
  void cancel_call(uint64_t call) override { asked().calls.push_back("cancel " + std::to_string(call)); }
  std::shared_ptr<const RouteConfig> route_config() const override { return facts_.route; }
  void clear_route_cache() override { ++facts_.route_clears; }
  void refresh_route_cache() override { ++facts_.route_refreshes; }
  std::optional<Attribute> attribute(uint32_t id) const override {
    for (const auto& [key, value] : facts_.attributes)
      if (key == id) return value;
    return std::nullopt;
  }

 protected:
  // Whether callbacks take effect; a fake that knows better says what is forbidden.
  virtual bool live(const char*) const { return true; }
  virtual std::optional<HeaderMap>& map(HeaderType type) const { return facts_.map(type); }
  Asked& asked() const { return facts_.asked; }

  StreamFacts& facts_;

 private:
  void write_header(HeaderType type, std::string_view name, std::string_view value, bool replace) {
    if (!live("a header write")) return;
    auto& m = map(type);
    if (!m) return facts_.violations.push_back("a header write to a map that is not there");
    if (replace) std::erase_if(*m, [&](const auto& line) { return line.first == name; });
    if (!value.empty()) m->emplace_back(name, value);
  }
};

// Header maps, and nothing that moves the stream.
class StillMount final : public MountStub<StreamMount> {
 public:
  using MountStub::MountStub;
  void send_local_reply(uint32_t, std::span<const HeaderLine>, std::string_view, std::string_view) override {}
  void send_reply_headers(std::span<const HeaderLine>, bool) override {}
  void send_reply_data(std::string_view, bool) override {}
  void send_reply_trailers(std::span<const HeaderLine>) override {}
  void reset(std::string_view) override {}
  bool recreate() override { return false; }
  std::unique_ptr<Waker> make_waker() override { return nullptr; }
};

}  // namespace tsf::core::test
