// Header maps as they came, of a stream that may still go on, or to another host, as it came: kept before a filter's
// first operation on a map that stays here.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/mount.h"

namespace tsf::core {

class OriginalMaps {
 public:
  // The first time counts.
  void keep(const StreamMount& mount, HeaderType type);
  // Makes the map what it was, but for empty values of names that were written: Envoy takes none.
  void restore(StreamMount& mount, HeaderType type);

 private:
  using Lines = std::vector<std::pair<std::string, std::string>>;
  std::array<std::optional<Lines>, 4> maps_;
};

}  // namespace tsf::core
