// The memory files of a channel: made and sealed by Envoy, opened by the host (docs/layout.md).
//
//             made by Envoy, who        the host, who            seals
//   outbound  writes it                 maps it read-only        SHRINK GROW FUTURE_WRITE SEAL
//   inbound   maps it read-only         writes it                SHRINK GROW SEAL
//
// FUTURE_WRITE is set after Envoy has its own writable mapping: from then on the kernel refuses every other one, also
// through /proc/self/fd, and refuses write() and punching holes. SHRINK keeps the peer from truncating a file that we
// have mapped, which would be SIGBUS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "shm/fd.h"

namespace tsf::shm {

/// A value, or why there is none.
template <typename T>
struct Result {
  std::optional<T> value;
  std::string error;

  explicit operator bool() const { return value.has_value(); }
  T& operator*() { return *value; }
  T* operator->() { return &*value; }
};

class Segment {
 public:
  /// A new outbound file, writable here and nowhere else.
  static Result<Segment> create_outbound(std::uint32_t capacity);
  /// A new inbound file with its header written, read-only here.
  static Result<Segment> create_inbound(std::uint32_t capacity);
  /// The host's view of an outbound file. `fd` stays the caller's and can be closed afterwards, as with the next.
  static Result<Segment> open_outbound(int fd);
  static Result<Segment> open_inbound(int fd);

  Segment(Segment&& other) noexcept
      : fd_(std::move(other.fd_)),
        base_(std::exchange(other.base_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        writable_(other.writable_) {}
  Segment& operator=(Segment&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    std::swap(writable_, other.writable_);
    return *this;
  }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();

  /// The whole file. Empty when it is mapped read-only here: a write would be SIGSEGV.
  std::span<std::byte> writable() const { return writable_ ? std::span(base_, size_) : std::span<std::byte>(); }
  std::span<const std::byte> bytes() const { return {base_, size_}; }

  /// The descriptor to hand over; -1 for one that was opened, or after close_fd().
  int fd() const { return fd_.get(); }
  /// The mapping outlives the descriptor: close it once it has been handed over.
  void close_fd() { fd_.reset(); }

 private:
  Segment(std::byte* base, std::size_t size, bool writable) : base_(base), size_(size), writable_(writable) {}
  static Result<Segment> create(std::uint32_t capacity, bool outbound);
  static Result<Segment> open(int fd, bool outbound);
  static Result<Segment> map(int fd, std::size_t size, bool writable);

  UniqueFd fd_;
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  bool writable_ = false;
};

}  // namespace tsf::shm
