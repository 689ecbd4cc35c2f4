// The same for stock Envoy's streams.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "stock/envoy.h"
#include "stock/ext_proc.h"
#include "test/core/mount_stub.h"

namespace tsf::core::test {

class EnvoyStub : public MountStub<stock::Envoy> {
 public:
  using MountStub::MountStub;
  bool has_upstream() const override { return facts_.has_upstream; }
  bool has_trailers(Dir dir) const override { return map(trailers_of(dir)).has_value(); }
  std::optional<uint64_t> request_body_received() const override { return shown_request_bytes; }
  std::optional<std::string> filter_state_object(std::string_view key) const override {
    return key == stock::ExtProc::kName ? shown_ext_proc : std::nullopt;
  }
  bool is_over_http1() const override { return true; }
  void set_chain_id(uint64_t id) override { facts_.chain_id = id; }

  bool has_ended_well() const override { return shown_good_end; }

  bool shown_good_end = false;
  std::optional<uint64_t> shown_request_bytes;
  std::optional<std::string> shown_ext_proc;
};

}  // namespace tsf::core::test
