// A queue of bytes in module memory: input that waits for the host, output that waits for Envoy.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tsf::core {

class ByteQueue {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    size_ += bytes.size();
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

  // Drops n bytes of front(); n is at most front().size().
  void pop(size_t n) {
    size_ -= n;
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

  void clear() {
    std::vector<std::string>().swap(parts_);
    first_ = offset_ = size_ = 0;
  }

 private:
  static constexpr size_t kSmall = 4096;
  static constexpr size_t kCompact = 64;

  std::vector<std::string> parts_;
  size_t first_ = 0;
  size_t offset_ = 0;
  size_t size_ = 0;
};

}  // namespace tsf::core
