// stock::Envoy on the callbacks of the real one.
#pragma once

#include "core/mount.h"
#include "stock/abi.h"
#include "stock/envoy.h"

namespace tsf::stock {

// Dynamic metadata by which our filters in one HTTP stream find each other, and an access logger finds them: it can
// read no filter state.
inline constexpr std::string_view kChainNamespace = core::kOwnNamespace;
inline constexpr std::string_view kChainKey = "chain";
// 0: this is none.
uint64_t chain_id_of(std::string_view value);

class RealEnvoy : public Envoy {
 public:
  // `upstream`: in the router's own chain.
  RealEnvoy(FilterEnvoy envoy, bool upstream) : envoy_(envoy), upstream_(upstream) {}
  // When Envoy makes the entry: in the router's own chain a host has been chosen by then, in the client's never.
  static bool has_upstream_now(FilterEnvoy envoy);

  bool headers(core::HeaderType type, std::vector<core::HeaderLine>& out) const override;
  std::optional<std::string_view> header(core::HeaderType type, std::string_view name) const override;
  void set_header(core::HeaderType type, std::string_view name, std::string_view value) override;
  void add_header(core::HeaderType type, std::string_view name, std::string_view value) override;
  void remove_header(core::HeaderType type, std::string_view name) override;

  size_t body_size(core::Dir dir, BodySource source) const override;
  bool body_chunks(core::Dir dir, BodySource source, std::vector<core::Bytes>& out) const override;
  void drain_body(core::Dir dir, BodySource source, size_t length) override;
  void append_body(core::Dir dir, BodySource source, std::string_view bytes) override;

  bool received_is_buffered(core::Dir dir) const override;
  void set_chain_id(uint64_t id) override;

  uint64_t buffer_limit() const override;
  void set_buffer_limit(uint64_t limit) override;
  void continue_flow(core::Dir dir) override;
  bool is_over_http1() const override;
  void inject_response(std::string_view bytes) override;
  void repeat_response_end() override;
  const void* stream_key() const override;
  bool has_upstream() const override { return has_upstream_now(envoy_); }
  bool has_trailers(core::Dir dir) const override;
  std::optional<uint64_t> request_body_received() const override;
  std::optional<std::string> filter_state_object(std::string_view key) const override;
  bool has_ended_well() const override;
  void read_response_trailers_from(Envoy* other) override { trailers_ = other; }
  void send_local_reply(uint32_t status, std::span<const core::HeaderLine> headers, std::string_view body,
                        std::string_view details) override;
  void send_reply_headers(std::span<const core::HeaderLine> headers, bool end) override;
  void send_reply_data(std::string_view bytes, bool end) override;
  void send_reply_trailers(std::span<const core::HeaderLine> headers) override;
  void reset(std::string_view details) override;

  void set_metadata(std::string_view ns, std::string_view key, double value) override;
  void set_metadata(std::string_view ns, std::string_view key, std::string_view value) override;
  void set_metadata(std::string_view ns, std::string_view key, bool value) override;
  void add_metadata(std::string_view ns, std::string_view key, double item) override;
  void add_metadata(std::string_view ns, std::string_view key, std::string_view item) override;
  void add_metadata(std::string_view ns, std::string_view key, bool item) override;
  void set_metadata_struct(std::string_view ns, std::string_view bytes) override;
  std::vector<std::string_view> metadata_keys(std::string_view ns) const override;
  core::MetadataValue metadata(std::string_view ns, std::string_view key) const override;
  std::optional<std::string_view> filter_state(std::string_view key) const override;
  void set_filter_state(std::string_view key, std::string_view value) override;

  bool is_upstream() const override { return upstream_; }
  bool override_host(std::string_view host, bool strict) override;
  void drain_connection() override;
  bool recreate() override;
  void record(core::MetricKind kind, core::MetricOp op, size_t metric, std::span<const std::string_view> labels,
              uint64_t value) override;
  std::optional<std::string_view> secret(size_t secret) const override;

  core::CallStart start_call(std::string_view cluster, std::span<const core::HeaderLine> headers, bool end,
                             uint64_t millis, uint64_t& call) override;
  bool call_data(uint64_t call, std::string_view bytes, bool end) override;
  bool call_trailers(uint64_t call, std::span<const core::HeaderLine> trailers) override;
  void cancel_call(uint64_t call) override;

  void clear_route_cache() override;
  void refresh_route_cache() override;
  std::optional<core::Attribute> attribute(uint32_t id) const override;
  std::unique_ptr<core::Waker> make_waker() override;

 protected:
  const FilterEnvoy envoy_;

 private:
  // The entry that has a map, null = this one.
  Envoy* other_for(core::HeaderType type) const {
    return type == core::HeaderType::kResponseTrailers ? trailers_ : nullptr;
  }

  const bool upstream_;
  Envoy* trailers_ = nullptr;
};

}  // namespace tsf::stock
