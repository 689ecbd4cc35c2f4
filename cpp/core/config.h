// The filter's own configuration: parsed once, checked key by key (design: "In Envoy's configuration").
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/metrics.h"
#include "core/mount.h"

namespace tsf::core {

using Millis = std::chrono::milliseconds;

enum class FailureMode : uint8_t { kClosed, kOpen, kReplay };

// One entry of the config key `secrets`.
struct SecretSpec {
  std::string name;
  std::string source;  // `sds_config`, an envoy.config.core.v3.ConfigSource as JSON; empty: a static secret
};

// One entry of `filters`.
struct ChainedFilter {
  std::string name;
  std::optional<std::string> plugin_config;  // JSON text

  bool operator==(const ChainedFilter&) const = default;
};

// Keys of `filter_config`. Sizes are bytes.
struct Settings {
  std::string socket;
  FailureMode failure_mode = FailureMode::kClosed;
  Millis message_timeout{5000};
  std::optional<Millis> host_wait;  // not given: none, or message_timeout in failure_mode replay
  Millis host_stall_timeout{2000};
  Millis config_timeout{500};
  uint64_t max_body_bytes = 1 << 20;
  uint64_t stream_window = 256 << 10;
  uint64_t max_pending_output = 32 << 20;
  uint64_t max_pending_total = 256 << 20;
  uint64_t max_header_bytes = 0;  // 0: half the ring
  uint32_t ring_bytes = 1 << 20;
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  std::vector<uid_t> allowed_uids;
  bool observe_only = false;
  bool upgrades = false;
  std::vector<MetricSpec> metrics;
  std::vector<SecretSpec> secrets;
  LogLevel log_level = LogLevel::kInfo;
  std::optional<std::string> plugin_config;  // JSON text
  std::vector<ChainedFilter> filters;        // instead of plugin_config and the filter's name; empty: not given
};

// Keys of a route's `filter_config`.
struct RouteSettings {
  std::optional<FailureMode> failure_mode;
  std::optional<Millis> message_timeout;
  std::optional<bool> observe_only;
  std::optional<std::string> plugin_config;
};

// Exactly one of the two is there. `error` names the key's path, what is wrong and the mend.
template <class T>
struct Parsed {
  std::optional<T> value;
  std::string error;
};

// `text` is the JSON that Envoy makes of a Struct, or the user's JSON in a StringValue; empty = all defaults.
Parsed<Settings> parse_settings(std::string_view text);
Parsed<RouteSettings> parse_route_settings(std::string_view text);

// $TS_FILTER_SOCKET, else ts-filter.sock in $XDG_RUNTIME_DIR or /tmp/ts-filter-<uid>/.
std::string default_socket();

}  // namespace tsf::core
