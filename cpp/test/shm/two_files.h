// Two files of a channel in ordinary memory, whose words a test sets by hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "shm/layout.h"
#include "shm/ring.h"

namespace tsf::shm::test {

class File {
 public:
  explicit File(std::uint32_t capacity) : pages_(file_size(capacity) / sizeof(FileHeader)) {
    header().magic = kMagic;
    header().version = kVersion;
    header().capacity = capacity;
  }
  FileHeader& header() { return pages_[0]; }
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(pages_)); }
  std::span<std::byte> data() { return bytes().subspan(kDataOffset); }
  void put_record(std::uint32_t offset, std::uint32_t length, std::uint32_t kind) {
    const RecordHeader record{length, kind};
    std::memcpy(data().data() + offset, &record, sizeof record);
  }

 private:
  std::vector<FileHeader> pages_;
};

/// Side a writes `a`, side b writes `b`.
struct TwoFiles {
  explicit TwoFiles(std::uint32_t capacity = kMinCapacity) : a(capacity), b(capacity) {}

  /// Both sides of the ring that a writes and b reads stand at `position`.
  void start_at(std::uint32_t position) { a.header().tail = b.header().head = position; }

  Endpoint attach_a() { return *Endpoint::attach(a.bytes(), b.bytes()); }
  Endpoint attach_b() { return *Endpoint::attach(b.bytes(), a.bytes()); }

  File a;
  File b;
};

/// Claims, fills with `fill` and commits; false: no room.
inline bool put(Endpoint& endpoint, std::uint32_t kind, std::uint32_t n, std::uint8_t fill = 0xab) {
  const auto room = endpoint.claim(kind, n);
  if (room.data() == nullptr) return false;
  if (n != 0) std::memset(room.data(), fill, n);
  endpoint.commit(n);
  return true;
}

}  // namespace tsf::shm::test
