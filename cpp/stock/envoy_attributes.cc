// Attributes: which of Envoy's getters has which, and what each version leaves out.
#include <vector>

#include "stock/abi.h"
#include "stock/envoy_process.h"
#include "stock/real_envoy.h"

namespace tsf::stock {
namespace {

// Attribute ids whose values are not strings; Envoy logs an error for a question of the wrong type.
constexpr bool is_int(uint32_t id) {
  switch (id) {
    case 12:  // request.duration
    case 13:  // request.size
    case 14:  // request.total_size
    case 15:  // response.code
    case 17:  // response.flags
    case 18:  // response.grpc_status
    case 21:  // response.size
    case 22:  // response.total_size
    case 23:  // response.backend_latency
    case 25:  // source.port
    case 27:  // destination.port
    case 28:  // connection.id
    case 42:  // upstream.port
      return true;
    default: return false;
  }
}
// Envoy 1.38 tells filters these, and writes an error to its log for each question about another.
constexpr bool known_to_1_38(uint32_t id) {
  switch (id) {
    case 5:   // request.headers
    case 8:   // request.time
    case 12:  // request.duration
    case 13:  // request.size
    case 14:  // request.total_size
    case 30:  // connection.requested_server_name
    case 39:  // connection.transport_failure_reason
    case 40:  // connection.termination_details
    case 54:  // upstream.cx_pool_ready_duration
    case 55:  // upstream.locality
    case 56:  // xds.node
      return false;
    default:
      // Not the response's but its code, the upstream's certificates and addresses, nor xds but cluster and route.
      return !(id >= 16 && id <= 23) && !(id >= 43 && id <= 52) && !(id >= 58 && id != 61);
  }
}

// Envoy's attributes for which there are better callbacks.
constexpr uint32_t kAttemptCount = 53;
constexpr uint32_t kClusterName = 57;
constexpr uint32_t kVirtualHostName = 63;

constexpr uint32_t kRequestTotalSize = 14;
constexpr uint32_t kResponseFlags = 17;

constexpr uint32_t kMtls = 29;
constexpr bool is_bool(uint32_t id) { return id == kMtls || id == 67; }  // 67: health check

}  // namespace

std::optional<core::Attribute> RealEnvoy::attribute(uint32_t id) const {
  using Kind = core::Attribute::Kind;
  Buffer text{nullptr, 0};
  switch (id) {
    case kAttemptCount: {
      if (&envoy_dynamic_module_callback_http_get_upstream_hosts_attempted_size == nullptr) return std::nullopt;
      const size_t count = envoy_dynamic_module_callback_http_get_upstream_hosts_attempted_size(envoy_);
      return count == 0 ? std::nullopt : std::optional(core::Attribute{Kind::kInt, {}, count});
    }
    case kClusterName:
      if (!envoy_dynamic_module_callback_http_get_cluster_name(envoy_, &text)) return std::nullopt;
      return core::Attribute{Kind::kString, std::string_view(text.ptr, text.length), 0};
    case kVirtualHostName:
      // 1.39 answers this with the name of the virtual cluster.
      if (envoy_process().envoy_version() == "1.39") return std::nullopt;
      break;
    case core::kVirtualCluster:
      if (envoy_process().envoy_version() != "1.39") return std::nullopt;
      id = kVirtualHostName;
      break;
    default: break;
  }
  if (envoy_process().envoy_version() == "1.38" && !known_to_1_38(id)) return std::nullopt;
  const int key = static_cast<int>(id);
  if (is_int(id)) {
    uint64_t number = 0;
    if (!envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy_, key, &number)) return std::nullopt;
    return core::Attribute{Kind::kInt, {}, number};
  }
  if (is_bool(id)) {
    bool yes = false;
    const bool told = envoy_dynamic_module_callback_http_filter_get_attribute_bool(envoy_, key, &yes);
    // Without TLS there is no mTLS, which is what Envoy answers elsewhere.
    if (!told && id != kMtls) return std::nullopt;
    return core::Attribute{Kind::kBool, {}, yes ? 1u : 0u};
  }
  constexpr uint32_t kLastAttribute = 67;
  if (id > kLastAttribute || !envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy_, key, &text))
    return std::nullopt;
  return core::Attribute{Kind::kString, std::string_view(text.ptr, text.length), 0};
}

// Envoy tells it together with the size of the headers as they are now.
std::optional<uint64_t> RealEnvoy::request_body_received() const {
  const auto total = attribute(kRequestTotalSize);
  thread_local std::vector<core::HeaderLine> lines;  // it is asked for with each piece of a body
  if (!total || !headers(core::HeaderType::kRequest, lines)) return std::nullopt;
  uint64_t size = 0;
  for (const auto& line : lines) size += line.name().size() + line.value().size();
  return total->number > size ? total->number - size : 0;
}

bool RealEnvoy::has_ended_well() const {
  const auto flags = attribute(kResponseFlags);
  return flags && flags->number == 0;
}

}  // namespace tsf::stock
