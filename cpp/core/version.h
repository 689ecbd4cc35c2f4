// The release of the module, as the handshake and the logs tell it.
#pragma once

namespace tsf::core {
inline constexpr char kModuleVersion[] = "0.1.0";
}
