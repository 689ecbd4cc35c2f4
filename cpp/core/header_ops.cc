#include "core/header_ops.h"

#include <optional>

#include "core/frame.h"
#include "core/http_rules.h"

namespace tsf::core {

bool read_headers(std::string_view block, BlockOf of, std::vector<HeaderLine>& out) {
  BlockReader reader(block);
  while (!reader.done()) {
    std::string_view name;
    std::string_view value;
    if (!reader.pair(name, value)) return false;
    const bool is_status = of == BlockOf::kReply && out.empty();
    const bool is_pseudo = of == BlockOf::kCall && settable_pseudo_header(HeaderType::kRequest, name);
    const bool is_named = is_pseudo || valid_header_name(name);
    if (is_status ? name != ":status" || !valid_status(value) : !is_named || !valid_header_value(value)) return false;
    if (of == BlockOf::kTrailers && is_framing_field(name)) continue;
    out.push_back(HeaderLine::of(name, value));
  }
  return of != BlockOf::kReply || !out.empty();
}

bool apply_header_ops(StreamMount& mount, HeaderType type, std::string_view block, bool held, Framing* framing) {
  const auto is_framings = [framing](std::string_view name, std::optional<std::string_view> value) {
    return framing != nullptr ? framing->write(name, value) : is_framing_field(name);
  };
  BlockReader reader(block);
  while (!reader.done()) {
    uint32_t op = 0;
    std::string_view name;
    std::string_view value;
    if (!reader.number(op) || !reader.pair(name, value)) return false;
    switch (op) {
      case wire::HeaderOp_Set:
      case wire::HeaderOp_Add:
        if (!writable_header(type, name, value)) return false;
        if (!held || is_framings(name, value)) break;
        if (op == wire::HeaderOp_Set) {
          mount.set_header(type, name, value);
        } else {
          mount.add_header(type, name, value);
        }
        break;
      case wire::HeaderOp_Delete:
        if (!valid_header_name(name)) return false;
        if (!held || is_framings(name, std::nullopt)) break;
        mount.remove_header(type, name);
        break;
      case wire::HeaderOp_ClearRouteCache: mount.clear_route_cache(); break;
      case wire::HeaderOp_RefreshRouteCache: mount.refresh_route_cache(); break;
      default: return false;
    }
  }
  return true;
}

}  // namespace tsf::core
