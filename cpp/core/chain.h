// Our filters in one HTTP stream. Envoy has ONE buffer per direction for all filters of a stream: whatever any filter
// leaves there, a later filter's continue would send on, and an earlier filter's push would show to it again. So the
// siblings agree who owns it (docs/lifecycle.md, "Several of ours in a chain"). Worker thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/mount.h"

namespace tsf::core {

class Stream;

class Chain {
 public:
  // The chain of this stream's siblings; makes it for the first of them.
  static Chain& join(StreamMount& mount, Stream& stream);
  // The chain is gone when its last stream has left.
  static void leave(Chain& chain, Stream& stream);

  // In the order of the filters in Envoy's chain.
  const std::vector<Stream*>& streams() const { return streams_; }

  // Bytes that lay in Envoy's buffer before the push that is now on the stack: not for whom they do not belong to.
  size_t pushed_over(Dir dir) const { return pushed_over_[static_cast<size_t>(dir)]; }
  void set_pushed_over(Dir dir, size_t bytes) { pushed_over_[static_cast<size_t>(dir)] = bytes; }

 private:
  uint64_t id_ = 0;
  std::vector<Stream*> streams_;
  size_t pushed_over_[2] = {0, 0};
};

}  // namespace tsf::core
