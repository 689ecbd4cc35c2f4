// The buffer that Envoy shares among all filters of a direction, from one filter's side: what in it is our own unread
// input, what a filter behind us keeps, what the router keeps for a retry, and what belongs to somebody before us.
//
//   not ours ──leave()──► ours ──taken, moved to memory, or stolen──► not ours
//
// Worker thread only; not inside a hook of the other direction, where Envoy answers 502 to who touches it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "stock/envoy.h"

namespace tsf::stock {

class SharedBuffer {
 public:
  SharedBuffer(Envoy& envoy, Dir dir) : envoy_(envoy), dir_(dir) {}

  size_t size() const { return envoy_.body_size(dir_, BodySource::kBuffered); }
  // Our unread input lies there, and no other input.
  bool is_ours() const { return ours_ > 0; }
  size_t ours() const { return ours_; }
  // The hook that is running leaves so many bytes there.
  void leave(size_t bytes) {
    ours_ += bytes;
    exists_ = true;
  }
  void took(size_t bytes) { ours_ -= bytes < ours_ ? bytes : ours_; }
  // Whoever continues from here on takes it along, on our word.
  void give() { ours_ = 0; }
  // Of the buffer's pieces: a filter before us may have put more behind ours.
  void trim_to_ours(std::vector<core::Bytes>& pieces) const {
    size_t left = ours_;
    size_t count = 0;
    for (; count < pieces.size() && left > 0; ++count) {
      pieces[count].length = std::min(pieces[count].length, left);
      left -= pieces[count].length;
    }
    pieces.resize(count);
  }
  // Gives each piece of ours away, in Envoy's own sizes.
  template <class Use>
  void take_ours(Use use) {
    std::vector<core::Bytes> pieces;
    if (is_ours() && envoy_.body_chunks(dir_, BodySource::kBuffered, pieces)) {
      trim_to_ours(pieces);
      size_t length = 0;
      for (const auto& piece : pieces) {
        use(std::string_view(piece.ptr, piece.length));
        length += piece.length;
      }
      envoy_.drain_body(dir_, BodySource::kBuffered, length);
    }
    ours_ = 0;
  }
  std::string take_ours() {
    std::string bytes;
    bytes.reserve(ours_);
    take_ours([&](std::string_view piece) { bytes.append(piece); });
    return bytes;
  }
  void put_ours(std::string_view bytes) {
    if (bytes.empty()) return;
    append(bytes);
    ours_ += bytes.size();
  }
  void append(std::string_view bytes) {
    envoy_.append_body(dir_, BodySource::kBuffered, bytes);
    exists_ = true;
  }
  // Envoy made it for the first bytes; from then on each continue gives a body on, if an empty one.
  bool exists() const { return exists_; }
  // Some of ours has gone without us.
  bool is_stolen() const { return ours_ > 0 && size() < ours_; }

  // Bytes of filters behind us, as our last push left them; and whether there are more now, which somebody before us
  // has put there.
  void after_push() {
    behind_ = size();
    if (behind_ > 0) exists_ = true;
  }
  size_t behind() const { return behind_; }
  size_t foreign() const { return ours_ > 0 ? 0 : size(); }
  bool is_held_before() const { return size() > (ours_ > 0 ? ours_ : behind_); }

 private:
  Envoy& envoy_;
  const Dir dir_;
  size_t ours_ = 0;
  size_t behind_ = 0;
  bool exists_ = false;
};

}  // namespace tsf::stock
