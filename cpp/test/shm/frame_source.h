// The stream of frames that both ends of a stress test know from a seed: kind, length and every byte of frame n.
// test/stress/frames.ts makes the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tsf::shm::test {

class FrameSource {
 public:
  FrameSource(std::uint32_t seed, std::uint32_t max_payload) : state_(seed), max_(max_payload) { advance(); }

  std::uint32_t kind() const { return kind_; }
  std::uint32_t length() const { return length_; }

  /// Bytes of the current frame, then on to the next.
  void fill(std::span<std::byte> out) {
    std::uint32_t word = fill_;
    for (std::size_t i = 0; i < out.size(); i += 4, word = word * 1664525 + 1013904223) {
      std::memcpy(out.data() + i, &word, out.size() - i < 4 ? out.size() - i : 4);
    }
    advance();
  }

  /// Is this the current frame, to the last byte? Then on to the next.
  bool matches(std::uint32_t kind, std::span<const std::byte> bytes) {
    bool same = kind == kind_ && bytes.size() == length_;
    std::uint32_t word = fill_;
    for (std::size_t i = 0; same && i < bytes.size(); i += 4, word = word * 1664525 + 1013904223) {
      same = std::memcmp(bytes.data() + i, &word, bytes.size() - i < 4 ? bytes.size() - i : 4) == 0;
    }
    advance();
    return same;
  }

 private:
  // Most frames are small, some are of any size, some fill a quarter of the ring.
  void advance() {
    const std::uint32_t shape = random() % 16;
    kind_ = 1 + random() % 100;
    fill_ = random();
    const std::uint32_t size = random();
    length_ = shape == 0 ? max_ : shape == 1 ? 0 : shape < 5 ? size % (max_ + 1) : size % 200;
  }

  std::uint32_t random() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }

  std::uint32_t state_;
  std::uint32_t max_;
  std::uint32_t kind_ = 0;
  std::uint32_t length_ = 0;
  std::uint32_t fill_ = 0;
};

}  // namespace tsf::shm::test
