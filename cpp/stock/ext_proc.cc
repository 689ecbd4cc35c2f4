#include "stock/ext_proc.h"

#include <algorithm>
#include <string>

#include "core/framing.h"

namespace tsf::stock {

namespace {

// Of "a:b:c"; 0 where it is no number.
uint64_t field(std::string_view fields, size_t index) {
  for (; index > 0; --index) {
    const size_t colon = fields.find(':');
    if (colon == std::string_view::npos) return 0;
    fields.remove_prefix(colon + 1);
  }
  return core::length_of(fields.substr(0, fields.find(':'))).value_or(0);
}

}  // namespace

// "rh:1250:0,rb:2:7800:0,bs:4711,br:815": r and s are request and response; h is their headers' call, with its
// microseconds and its status; b are the calls for their bodies, with their number before that; bs are bytes sent.
std::optional<ExtProc::Answered> ExtProc::answered() const {
  const auto notes = envoy_.filter_state_object(kName);
  if (!notes) return std::nullopt;
  Answered found;
  for (size_t at = 0; at < notes->size();) {
    const std::string_view note = std::string_view(*notes).substr(at, notes->find(',', at) - at);
    at += note.size() + 1;
    if (note.starts_with("bs:")) found.sent = field(note.substr(3), 0);
    if (note.size() < 3 || note[2] != ':' || note[0] != (dir_ == Dir::kRequest ? 'r' : 's')) continue;
    const std::string_view fields = note.substr(3);
    if (note[1] == 'h') {
      found.headers = true;
      found.latency = std::max(found.latency, std::chrono::microseconds(field(fields, 0)));
    } else if (note[1] == 'b') {
      found.body = true;
      const uint64_t calls = std::max<uint64_t>(field(fields, 0), 1);
      found.latency = std::max(found.latency, std::chrono::microseconds(field(fields, 1) / calls));
    }
  }
  return found;
}

std::chrono::milliseconds ExtProc::latency() const {
  const auto had = answered();
  return had ? std::min(std::chrono::ceil<std::chrono::milliseconds>(had->latency), kMostLatency)
             : std::chrono::milliseconds(0);
}

ExtProc::Place ExtProc::side() const {
  const auto side = facts_.ext_proc();
  if (!side) return Place::kUnknown;
  return *side == ChainFacts::before(dir_) ? Place::kBefore : Place::kBehind;
}

void ExtProc::look_at_headers() {
  const auto had = answered();
  is_there_ = had.has_value();
  if (had && had->headers) facts_.found_ext_proc(ChainFacts::before(dir_));
}

void ExtProc::look_at_body() {
  if (!is_there_ || has_seen_body_) return;
  has_seen_body_ = true;
  const auto had = answered();
  if (had && had->body) {
    facts_.found_ext_proc(ChainFacts::before(dir_));
    facts_.found_takes_body(dir_, true);
  } else {
    is_not_before_ = true;
  }
}

bool ExtProc::look_behind() {
  if (!may_be_behind() || is_behind()) return is_behind();
  const auto had = answered();
  if (had && had->body) facts_.found_takes_body(dir_, true);
  return is_behind();
}

// The answer that has ended the message is not in the notes yet, nor what was sent since the one before it; the number
// of bytes is always 0 with Google's client.
void ExtProc::look_at_end(const Gone& gone) {
  if (facts_.takes_body(dir_) == ChainFacts::Takes::kYes) return;
  const auto had = answered();
  if (!had) return;
  if (had->body) facts_.found_takes_body(dir_, true);
  if (!had->body && gone.pieces > 1 && had->sent > 0 && gone.bytes > had->sent) facts_.found_takes_body(dir_, false);
}

}  // namespace tsf::stock
