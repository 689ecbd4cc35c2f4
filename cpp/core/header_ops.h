// Header blocks from the host: operations on a map that is held, and the headers of replies. The one reader of both.
#pragma once

#include <string_view>
#include <vector>

#include "core/framing.h"
#include "core/mount.h"

namespace tsf::core {

enum class BlockOf : uint8_t {
  kReply,       // `:status` first and nowhere else
  kWholeReply,  // no pseudo-header: the status goes beside it
  kTrailers,
  kCall,  // a request of ours: with pseudo-headers
};

// False: a line breaks HTTP's grammar, or the block its own.
bool read_headers(std::string_view block, BlockOf of, std::vector<HeaderLine>& out);

// In order. `held` is false where the map has gone: then the writes are dropped, checked all the same. What is written
// of a body's framing goes to `framing`; null for trailers, where it is let fall. False: no correct host sends it.
bool apply_header_ops(StreamMount& mount, HeaderType type, std::string_view block, bool held, Framing* framing);

}  // namespace tsf::core
