// Text from outside on its way into a log line.
#pragma once

#include <string>
#include <string_view>

namespace tsf::core {

// Control characters become spaces.
inline std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return out;
}

}  // namespace tsf::core
