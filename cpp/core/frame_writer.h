// Writes one frame into a channel's ring: claims the room, places the template, lets the caller patch its numbers and
// fill its bytes, commits. Publishing and ringing are the worker's (Worker::publish), once for many frames.
#pragma once

#include <cstring>
#include <span>
#include <string_view>

#include "core/channel.h"
#include "core/frame.h"

namespace tsf::core {

// Bytes of a frame that are written front to back, up to the length that was claimed.
class FrameBytes {
 public:
  explicit FrameBytes(std::byte* at) : at_(at) {}
  void put(const void* bytes, size_t length) {
    if (length > 0) std::memcpy(at_, bytes, length);
    at_ += length;
  }
  void put(std::string_view text) { put(text.data(), text.size()); }

 private:
  std::byte* at_;
};

class FrameWriter {
 public:
  FrameWriter(Channel& channel, StreamId stream) : channel_(channel), stream_(stream) {}

  // The most bytes that a frame of this shape can carry.
  template <class T>
  uint32_t room(const FrameTemplate<T>& shape) const {
    return channel_.max_payload() - shape.size();
  }

  // `fill(table, bytes)` patches the table and writes exactly `length` bytes. False: the ring has no room.
  template <class T, class Fill>
  bool write(uint32_t kind, const FrameTemplate<T>& shape, size_t length, Fill fill) {
    const auto slot = channel_.claim(kind, static_cast<uint32_t>(shape.size() + length));
    if (slot.data() == nullptr) return false;
    place(slot.data(), shape, length, fill);
    channel_.commit(static_cast<uint32_t>(slot.size()));
    return true;
  }

  // The same for a frame that no stream can keep: the channel does where the ring has no room.
  template <class T, class Fill>
  void write_or_owe(uint32_t kind, const FrameTemplate<T>& shape, size_t length, Fill fill) {
    std::vector<uint64_t> frame((shape.size() + length + 7) / 8);  // 8-aligned
    auto* slot = reinterpret_cast<std::byte*>(frame.data());
    place(slot, shape, length, fill);
    channel_.write_or_owe(kind, {slot, shape.size() + length});
  }

 private:
  template <class T, class Fill>
  void place(std::byte* slot, const FrameTemplate<T>& shape, size_t length, Fill& fill) {
    auto* table = shape.place(slot);
    table->mutate_stream(stream_.slot);
    table->mutate_generation(stream_.generation);
    FrameBytes bytes(shape.has_bytes() ? shape.tail(slot, static_cast<uint32_t>(length)) : nullptr);
    fill(*table, bytes);
  }

  Channel& channel_;
  const StreamId stream_;
};

}  // namespace tsf::core
