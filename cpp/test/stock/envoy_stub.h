// The same for stock Envoy's streams.
#pragma once

#include <cstdint>

#include "stock/envoy.h"
#include "test/core/mount_stub.h"

namespace tsf::core::test {

class EnvoyStub : public MountStub<stock::Envoy> {
 public:
  using MountStub::MountStub;
  bool has_upstream() const override { return facts_.has_upstream; }
  bool is_over_http1() const override { return true; }
  void set_chain_id(uint64_t id) override { facts_.chain_id = id; }
};

}  // namespace tsf::core::test
