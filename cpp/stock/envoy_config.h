// Configs of our filters, made while Envoy loads its own. Null: refused; the reason has been logged.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/filter_config.h"
#include "stock/abi.h"

namespace tsf::stock {

std::shared_ptr<core::FilterConfig> new_filter_config(ConfigEnvoy envoy, std::string name, std::string_view text);
std::shared_ptr<const core::RouteConfig> new_route_config(std::string name, std::string_view text);

}  // namespace tsf::stock
