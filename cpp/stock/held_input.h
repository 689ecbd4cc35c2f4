// Input of one direction that core has not taken. It is one queue in three places: module memory has what came first,
// then the buffer that all filters share, then the chunk of the hook that is running.
//
// Worker thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/byte_queue.h"
#include "core/mount.h"
#include "stock/envoy.h"
#include "stock/shared_buffer.h"

namespace tsf::stock {

class HeldInput {
 public:
  HeldInput(Envoy& envoy, core::MemoryCount& memory, Dir dir)
      : envoy_(envoy), dir_(dir), buffer_(envoy, dir), kept_(memory) {}

  SharedBuffer& buffer() { return buffer_; }
  const SharedBuffer& buffer() const { return buffer_; }
  // In module memory.
  core::ByteQueue& kept() { return kept_; }
  const core::ByteQueue& kept() const { return kept_; }
  // What lies in the shared buffer goes to module memory for good.
  void keep_shared() {
    buffer_.take_ours([this](std::string_view piece) { kept_.append(piece); });
  }

  // ---- the chunk of the running hook ----
  void open_chunk() { is_chunk_open_ = true; }
  void close_chunk() { is_chunk_open_ = false; }
  size_t received() const { return envoy_.body_size(dir_, BodySource::kReceived); }
  // The chunk is the shared buffer itself: somebody before us has gone on with all that lies there.
  bool received_is_buffer() const { return envoy_.received_is_buffered(dir_); }
  void keep_received() { keep_all_received(received()); }
  // `length`: received().
  void keep_all_received(size_t length);
  // But for its first bytes, which stay where they are.
  void keep_received_behind(size_t first);
  void drain_received() { envoy_.drain_body(dir_, BodySource::kReceived, received()); }

  // ---- for core ----
  // The oldest bytes, as far as they lie in one place.
  core::FlowMount::Input read(std::vector<core::Bytes>& pieces);
  // Of what was read.
  void take(size_t length);
  // Before everything that is here.
  void put_back(core::ByteQueue& bytes) {
    bytes.take(kept_);
    kept_.swap(bytes);
  }

 private:
  enum class Source : uint8_t { kKept, kShared, kReceived };

  Envoy& envoy_;
  const Dir dir_;
  SharedBuffer buffer_;
  core::ByteQueue kept_;
  Source source_ = Source::kKept;  // of the last read()
  bool is_chunk_open_ = false;
};

}  // namespace tsf::stock
