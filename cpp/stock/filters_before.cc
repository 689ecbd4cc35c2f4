#include "stock/filters_before.h"

#include "core/framing.h"

namespace tsf::stock {

core::Nanos FiltersBefore::hold_end_until(const Progress& body) {
  if (envoy_.has_trailers(dir_)) {
    found_taker();
    return kUntilItComes;
  }
  if (body.seen > 0 && body.gone == 0) ext_proc_.look_at_body();
  const auto received = dir_ == Dir::kRequest ? envoy_.request_body_received() : std::nullopt;
  const auto length = message_length();
  // Where nothing is to come, the client may wait for a 100 (Continue) before it sends the end.
  if (length && received && *length != 0) return *received < *length ? 0 : until_quiet(ChainFacts::kLateEnd);
  const bool holds_bytes = received.value_or(0) > body.seen;
  if (holds_bytes) found_taker();
  const bool may_be_empty = body.seen == 0 && body.waiting > 0;
  if (!has_taker() && !is_small() && !may_be_empty) return 0;
  if (!ext_proc_.may_be_before()) return until_quiet(holds_bytes ? kQuietForBytes : kQuiet);
  const bool may_have_all = holds_bytes || body.seen == 0;
  return until_quiet((may_have_all ? kQuietForBytes : kQuietOfExtProc) + 2 * ext_proc_.latency());
}

std::optional<uint64_t> FiltersBefore::message_length() {
  if (has_read_length_) return length_;
  has_read_length_ = true;
  if (const auto text = envoy_.header(core::headers_of(dir_), "content-length")) length_ = core::length_of(*text);
  return length_;
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
