// A queue of bytes in module memory: input that waits for the host, output that waits for Envoy. What it holds is
// counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tsf::core {

// Bytes in module memory over all streams of a worker.
struct MemoryCount {
  int64_t bytes = 0;
};

class ByteQueue {
 public:
  explicit ByteQueue(MemoryCount& count) : count_(count) {}
  ~ByteQueue() { clear(); }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    size_ += bytes.size();
    count_.bytes += static_cast<int64_t>(bytes.size());
    // Small pieces share one allocation; large ones are kept as they came.
    if (!parts_.empty() && parts_.back().size() + bytes.size() <= kSmall) {
      parts_.back().append(bytes);
      return;
    }
    parts_.emplace_back(bytes);
  }

  // The first contiguous piece; empty when the queue is.
  std::string_view front() const {
    if (empty()) return {};
    return std::string_view(parts_[first_]).substr(offset_);
  }

  // All pieces, in order.
  template <class Use>
  void each(Use use) const {
    for (size_t i = first_; i < parts_.size(); ++i) use(std::string_view(parts_[i]).substr(i == first_ ? offset_ : 0));
  }

  // Drops n bytes of front(); n is at most front().size().
  void pop(size_t n) {
    size_ -= n;
    count_.bytes -= static_cast<int64_t>(n);
    offset_ += n;
    if (offset_ < parts_[first_].size()) return;
    offset_ = 0;
    std::string().swap(parts_[first_]);
    if (++first_ == parts_.size()) {
      parts_.clear();
      first_ = 0;
    } else if (first_ >= kCompact) {
      parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
  }

  // The bytes behind ours, which stay in their order; `from` is empty afterwards.
  void take(ByteQueue& from) {
    if (empty()) return swap(from);
    while (!from.empty()) {
      const auto piece = from.front();
      append(piece);
      from.pop(piece.size());
    }
  }
  // Of a queue of the same worker.
  void swap(ByteQueue& other) {
    parts_.swap(other.parts_);
    std::swap(first_, other.first_);
    std::swap(offset_, other.offset_);
    std::swap(size_, other.size_);
  }

  void clear() {
    count_.bytes -= static_cast<int64_t>(size_);
    std::vector<std::string>().swap(parts_);
    first_ = offset_ = size_ = 0;
  }

 private:
  static constexpr size_t kSmall = 4096;
  static constexpr size_t kCompact = 64;

  MemoryCount& count_;
  std::vector<std::string> parts_;
  size_t first_ = 0;
  size_t offset_ = 0;
  size_t size_ = 0;
};

}  // namespace tsf::core
