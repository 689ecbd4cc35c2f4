// Headers that may go are held for a moment: a small message is then complete before a filter behind us could stop its
// headers, and goes with its end in one continue, and with its length. Where an edge keeps messages exact that is
// worth waiting for only where the end is sure to be near. Never long: an upstream that speaks first must not wait for
// a body.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/worker.h"

namespace tsf::stock {

class Moment {
 public:
  static constexpr std::chrono::milliseconds kLength{20};
  // Where the end of a message that is not small decides whether it is whole.
  static constexpr std::chrono::milliseconds kLong{100};

  void start(std::chrono::milliseconds length = kLength) {
    length_ = core::nanos(length);
    until_ = core::now_ns() + length_;
    latest_ = until_ + core::nanos(kExtension);
  }
  // Some of the message has come: as long from now on.
  void extend() {
    if (is_running()) until_ = std::min(latest_, core::now_ns() + length_);
  }
  // Null: it is over, or never began.
  core::Nanos until() const { return until_; }
  bool is_running() const { return until_ != 0 && core::now_ns() < until_; }
  // `kept`: bytes that were taken into module memory meanwhile.
  bool is_over(size_t kept) {
    if (until_ != 0 && (kept >= kMostBytes || core::now_ns() >= until_)) until_ = 0;
    return until_ == 0;
  }
  // In this time input is kept in module memory, so that its end can come in.
  static bool keeps(size_t kept) { return kept < kMostBytes; }

 private:
  static constexpr std::chrono::milliseconds kExtension{80};
  static constexpr size_t kMostBytes = 2 << 20;

  core::Nanos length_ = 0;
  core::Nanos until_ = 0;
  core::Nanos latest_ = 0;
};

}  // namespace tsf::stock
