// What a fuzzer's bytes say, piece by piece. At their end there are zeros.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace tsf::test {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool done() const { return at_ == end_; }
  uint8_t byte() { return done() ? 0 : *at_++; }
  uint32_t word() {
    uint32_t out = 0;
    const std::string bytes = text(sizeof out);
    std::memcpy(&out, bytes.data(), bytes.size());
    return out;
  }
  std::string text(size_t n) {
    n = std::min(n, static_cast<size_t>(end_ - at_));
    std::string out(reinterpret_cast<const char*>(at_), n);
    at_ += n;
    return out;
  }
  std::string rest() { return text(static_cast<size_t>(end_ - at_)); }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

// What always holds; the fuzzer keeps the input that shows otherwise.
inline void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "violation: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace tsf::test
