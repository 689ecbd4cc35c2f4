// How much of what a host has written a thread handles in one go: so many frames, or so many bytes of them.
#pragma once

#include <algorithm>
#include <cstddef>

namespace tsf::core {

// Then other work of the thread gets its turn. A frame may be as large as a quarter of the ring.
class Portion {
 public:
  Portion(int frames, size_t bytes) : frames_(frames), bytes_(bytes) {}
  // The next frame is of this one, too.
  bool has_room(size_t bytes) {
    bytes_ -= std::min(bytes, bytes_);
    return --frames_ > 0 && bytes_ > 0;
  }

 private:
  int frames_;
  size_t bytes_;
};

}  // namespace tsf::core
