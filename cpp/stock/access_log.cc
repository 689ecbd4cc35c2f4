// The access logger beside the filter: Envoy gives log events of a stream's start and of its life to access loggers
// only. The logger writes no log, it finds the stream's filters of ours and runs their log hooks. Of a stream's end the
// filters hear themselves, but a logger is told more about it.
#include <optional>
#include <string>
#include <string_view>

#include "stock/abi.h"
#include "stock/chain.h"
#include "stock/envoy_process.h"
#include "stock/guarded.h"
#include "stock/real_envoy.h"

namespace tsf::stock {
namespace {

constexpr std::string_view kLoggerName = "ts_filter";

// Neither the config nor a thread's logger has a state; Envoy wants pointers that are not null.
char logger_config;
char logger;

bool is_empty_object(std::string_view text) {
  std::string rest;
  for (const char c : text)
    if (std::string_view(" \t\r\n").find(c) == std::string_view::npos) rest += c;
  return rest.empty() || rest == "{}";
}

const void* new_logger_config(std::string_view name, std::string_view config) {
  const auto refuse = [](const std::string& why) {
    envoy_process().log(core::LogLevel::kError, "ts_filter: access logger: " + why);
    return nullptr;
  };
  if (name != kLoggerName) return refuse("logger_name: must be \"ts_filter\"");
  if (!is_empty_object(config))
    return refuse("logger_config: has no keys; leave it out (a filter is configured where it stands in http_filters)");
  Chain::count_logger(1);
  return &logger_config;
}

// What Envoy 1.38 and 1.39 tell loggers and no filters. The numbers are those of src/api/attributes.ts.
class EnvoyLogSource final : public core::LogSource {
 public:
  explicit EnvoyLogSource(LoggerEnvoy envoy) : envoy_(envoy) {}

  bool attribute(uint32_t id, std::optional<core::Attribute>& out) const override {
    const int key = static_cast<int>(id);
    switch (id) {
      case 13:  // request.size
        out = number(bytes().received);
        return true;
      case 17:  // response.flags
        out = number(envoy_dynamic_module_callback_access_logger_get_response_flags(envoy_));
        return true;
      case 21:  // response.size
        out = number(bytes().sent);
        return true;
      case 53:  // upstream.request_attempt_count
        if (uint64_t n = 0; envoy_dynamic_module_callback_access_logger_get_attribute_int(envoy_, key, &n))
          out = number(n);
        return true;
      case 67:  // health_check
        if (bool yes = false; envoy_dynamic_module_callback_access_logger_get_attribute_bool(envoy_, key, &yes))
          out = core::Attribute{core::Attribute::Kind::kBool, {}, yes ? 1u : 0u};
        return true;
      default: break;
    }
    // response.code_details; connection.transport_failure_reason and termination_details; from upstream.tls_version to
    // upstream.transport_failure_reason
    if (id != 16 && id != 39 && id != 40 && (id < 43 || id > 52)) return false;
    Buffer text{nullptr, 0};
    if (envoy_dynamic_module_callback_access_logger_get_attribute_string(envoy_, key, &text))
      out = core::Attribute{core::Attribute::Kind::kString, std::string_view(text.ptr, text.length), 0};
    return true;
  }

 private:
  static core::Attribute number(uint64_t n) { return {core::Attribute::Kind::kInt, {}, n}; }
  StreamBytes bytes() const {
    StreamBytes out{};
    envoy_dynamic_module_callback_access_logger_get_bytes_info(envoy_, &out);
    return out;
  }

  const LoggerEnvoy envoy_;
};

// In Envoy's numbering of access log events; all others are not for us.
std::optional<wire::LogKind> kind_of(int event) {
  constexpr int kDownstreamStart = 4;
  constexpr int kDownstreamPeriodic = 5;
  constexpr int kDownstreamEnd = 6;
  switch (event) {
    case kDownstreamStart: return wire::LogKind_Start;
    case kDownstreamPeriodic: return wire::LogKind_Periodic;
    case kDownstreamEnd: return wire::LogKind_End;
    default: return std::nullopt;
  }
}

}  // namespace
}  // namespace tsf::stock

extern "C" {

using namespace tsf::stock;  // NOLINT: this file's extern "C" block is that namespace's face

TSF_EXPORT const void* envoy_dynamic_module_on_access_logger_config_new(ConfigEnvoy, Buffer name, Buffer config) {
  return guarded<const void*>("access_logger_config_new", nullptr, [&] {
    return new_logger_config(std::string_view(name.ptr, name.length), std::string_view(config.ptr, config.length));
  });
}
TSF_EXPORT void envoy_dynamic_module_on_access_logger_config_destroy(const void*) {
  tsf::stock::Chain::count_logger(-1);
}
TSF_EXPORT const void* envoy_dynamic_module_on_access_logger_new(const void*, LoggerEnvoy) { return &logger; }
TSF_EXPORT void envoy_dynamic_module_on_access_logger_destroy(const void*) {}
TSF_EXPORT void envoy_dynamic_module_on_access_logger_log(LoggerEnvoy envoy, const void*, int event) {
  guarded("access_logger_log", [&] {
    const auto kind = kind_of(event);
    if (!kind) return;
    Buffer id{nullptr, 0};
    if (!envoy_dynamic_module_callback_access_logger_get_dynamic_metadata(envoy, buffer_of(kChainNamespace),
                                                                          buffer_of(kChainKey), &id))
      return;
    if (auto* chain = tsf::stock::Chain::find(chain_id_of({id.ptr, id.length})))
      chain->log(*kind, EnvoyLogSource(envoy));
  });
}
}
