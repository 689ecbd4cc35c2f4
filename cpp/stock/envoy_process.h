// core::ProcessMount on stock Envoy: its version, found by the callbacks that it exports, and its log.
#pragma once

#include "core/mount.h"

namespace tsf::stock {

class EnvoyProcess final : public core::ProcessMount {
 public:
  EnvoyProcess();
  void log(core::LogLevel level, std::string_view text) override;
  bool log_enabled(core::LogLevel level) const override;
  std::string_view envoy_version() const override { return version_; }
  uint32_t capabilities() const override { return capabilities_; }
  // Envoy 1.38: one "continued" flag for both directions.
  bool shared_continue_flag() const { return shared_continue_flag_; }

  // "v0.1.0" or "v0.2.0": what this Envoy expects of a module.
  const char* abi_version() const { return abi_version_; }

 private:
  std::string_view version_;
  const char* abi_version_;
  uint32_t capabilities_;
  bool shared_continue_flag_;
};

// The one of this process; never destroyed.
EnvoyProcess& envoy_process();

}  // namespace tsf::stock
