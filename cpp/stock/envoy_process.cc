#include "stock/envoy_process.h"

#include <dlfcn.h>

#include "exchange_generated.h"
#include "stock/abi.h"

namespace tsf::stock {

EnvoyProcess::EnvoyProcess() {
  // Told apart by callbacks that a version was the first to export; none of them is called.
  const bool is_1_40 = ::dlsym(RTLD_DEFAULT, "envoy_dynamic_module_callback_log_v2") != nullptr;
  const bool is_1_39 = ::dlsym(RTLD_DEFAULT, "envoy_dynamic_module_callback_get_log_level") != nullptr;
  version_ = is_1_40 ? "1.40" : is_1_39 ? "1.39" : "1.38";
  abi_version_ = is_1_40 ? "v0.2.0" : "v0.1.0";
  shared_continue_flag_ = !is_1_40 && !is_1_39;
  capabilities_ = 0;
  if (&envoy_dynamic_module_callback_http_set_dynamic_metadata_struct != nullptr)
    capabilities_ |= wire::Capability_NestedMetadata;
  if (&envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe != nullptr)
    capabilities_ |= wire::Capability_Secrets;
  if (&envoy_dynamic_module_callback_http_filter_config_increment_counter != nullptr)
    capabilities_ |= wire::Capability_LateMetrics;
}

void EnvoyProcess::log(core::LogLevel level, std::string_view text) {
  if (log_enabled(level)) envoy_dynamic_module_callback_log(static_cast<int>(level), buffer_of(text));
}
bool EnvoyProcess::log_enabled(core::LogLevel level) const {
  return envoy_dynamic_module_callback_log_enabled(static_cast<int>(level));
}

EnvoyProcess& envoy_process() {
  static EnvoyProcess& process = *new EnvoyProcess();  // leaked: threads log until the process ends
  return process;
}

}  // namespace tsf::stock
