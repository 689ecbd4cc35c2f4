// How large a config may be. What the host is told of it is one message on the socket, which has a limit
// (schema/exchange.fbs): a config that does not fit could be told to no host, so it is refused while Envoy loads it.
#pragma once

#include <cstddef>
#include <string>

#include "core/config.h"

namespace tsf::core {

// All `plugin_config` of one config together, and all its other keys that the host is told of, as JSON. With the
// numbers between them they fit the largest message.
inline constexpr size_t kMostPluginConfig = 15 << 20;
inline constexpr size_t kMostOtherKeys = 256 << 10;
// Of the text before it is read: Envoy writes some characters of a Struct as six.
inline constexpr size_t kMostConfigJson = 6 * kMostPluginConfig + kMostOtherKeys;

// Empty: it is not too large. Else key, size, limit and mend.
std::string json_size_error(size_t bytes);
std::string size_error(const Settings& settings);
std::string size_error(const RouteSettings& settings);

}  // namespace tsf::core
