#include "core/original_maps.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace tsf::core {
namespace {

// Of the lines with that name, in their order.
template <class Lines>
std::vector<std::string_view> values_of(const Lines& lines, std::string_view name) {
  std::vector<std::string_view> out;
  for (const auto& [key, value] : lines)
    if (key == name) out.emplace_back(value);
  return out;
}

std::vector<std::pair<std::string, std::string>> lines_of(const StreamMount& mount, HeaderType type) {
  std::vector<HeaderLine> lines;
  std::vector<std::pair<std::string, std::string>> out;
  if (!mount.headers(type, lines)) return out;
  for (const HeaderLine& line : lines) out.emplace_back(line.name(), line.value());
  return out;
}

}  // namespace

void OriginalMaps::keep(const StreamMount& mount, HeaderType type) {
  auto& kept = maps_[static_cast<size_t>(type)];
  if (!kept) kept = lines_of(mount, type);
}

void OriginalMaps::restore(StreamMount& mount, HeaderType type) {
  auto& kept = maps_[static_cast<size_t>(type)];
  if (!kept) return;
  const auto now = lines_of(mount, type);
  std::set<std::string_view> names;
  for (const auto& [name, value] : now) names.emplace(name);
  for (const auto& [name, value] : *kept) names.emplace(name);
  for (const std::string_view name : names) {
    const auto values = values_of(*kept, name);
    if (values == values_of(now, name)) continue;
    if (values.empty()) {
      mount.remove_header(type, name);
      continue;
    }
    // Names in front of the first colon are never removed, not even for a moment.
    mount.set_header(type, name, values.front());
    for (size_t i = 1; i < values.size(); ++i) mount.add_header(type, name, values[i]);
  }
  kept.reset();
}

}  // namespace tsf::core
