#include "stock/filters_before.h"

#include "core/framing.h"

namespace tsf::stock {

core::Nanos FiltersBefore::hold_end_until(uint64_t seen) {
  if (envoy_.has_trailers(dir_)) {
    found_taker();
    return kUntilItComes;
  }
  const auto received = dir_ == Dir::kRequest ? envoy_.request_body_received() : std::nullopt;
  const auto text = envoy_.header(core::headers_of(dir_), "content-length");
  const auto length = text ? core::length_of(*text) : std::nullopt;
  // Where nothing is to come, the client may wait for a 100 (Continue) before it sends the end.
  if (length && received && *length != 0) return *received < *length ? 0 : until_quiet(ChainFacts::kLateEnd);
  const bool holds_bytes = received.value_or(0) > seen;
  if (holds_bytes) found_taker();
  const bool is_about_to_end = length && *length < kSmallBytes;
  if (!has_taker() && !is_about_to_end) return 0;
  return until_quiet(holds_bytes ? kQuietForBytes : kQuiet);
}

void FiltersBefore::look(uint64_t seen) {
  if (!has_taker() && envoy_.request_body_received().value_or(0) > seen) found_taker();
}

core::Nanos FiltersBefore::until_quiet(std::chrono::milliseconds time) {
  const core::Nanos now = core::now_ns();
  if (input_at_ == 0) input_at_ = now;
  const core::Nanos until = input_at_ + core::nanos(time);
  return now < until ? until : 0;
}

}  // namespace tsf::stock
