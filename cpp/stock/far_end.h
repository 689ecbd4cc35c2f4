// The end of a response that an entry of ours at the router's own end holds back. For all filters of the stream it has
// not come then, so that output can go on as long as it likes; the flow hears of it inside the module.
//
//   open ──hold()──► held ──told()──► told
//   held, told ──let_go()───► open: Envoy brings the end itself
//
// It may be told only when everything that went before it has come to us as it was: a filter in between that keeps or
// changes bytes wants to see the end itself first.
#pragma once

#include <cstdint>
#include <optional>

#include "core/mount.h"

namespace tsf::stock {

class FarEnd {
 public:
  void saw(size_t bytes) {
    seen_ += bytes;
    if (bytes > 0) ++pieces_;
  }
  uint64_t seen() const { return seen_; }
  uint64_t pieces() const { return pieces_; }
  void hold(uint64_t passed, core::InputEnd end) {
    state_ = State::kHeld;
    passed_ = passed;
    end_ = end;
  }
  void told() { state_ = State::kTold; }
  void let_go() { state_ = State::kOpen; }

  bool is_held() const { return state_ == State::kHeld; }
  // Held or told: Envoy has not brought it.
  bool is_back() const { return state_ != State::kOpen; }
  bool is_told() const { return state_ == State::kTold; }
  bool all_has_come() const { return seen_ == passed_; }
  // This flow lets the rest by: so many bytes have gone or will go for what it has seen.
  void lets_by(uint64_t gone) { growth_ = gone - seen_; }
  uint64_t growth() const { return growth_.value_or(0); }  // wraps around where it is less
  // So many bytes have gone; nullopt: it does not let the rest by.
  std::optional<uint64_t> gone() const { return growth_ ? std::optional(seen_ + *growth_) : std::nullopt; }
  core::InputEnd end() const { return end_; }

 private:
  enum class State : uint8_t { kOpen, kHeld, kTold };

  State state_ = State::kOpen;
  core::InputEnd end_ = core::InputEnd::kOpen;
  uint64_t seen_ = 0;    // body bytes that Envoy's hooks have brought us
  uint64_t pieces_ = 0;  // in so many hooks
  uint64_t passed_ = 0;  // and those that went by the router's end, as ours in between have made them
  std::optional<uint64_t> growth_;
};

}  // namespace tsf::stock
