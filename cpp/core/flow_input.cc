// What Envoy gives to the host: headers, body, trailers, as the window, the ring and the limits allow.
#include <algorithm>
#include <vector>

#include "core/flow.h"

namespace tsf::core {
namespace {

// Pieces of a body; used again, so that no frame costs an allocation.
std::vector<Bytes>& body_pieces() {
  thread_local std::vector<Bytes> pieces;
  return pieces;
}

}  // namespace

bool Flow::send() {
  if (!owner_.is_live()) return true;
  // Also without a host: what has not gone to it must not go on behind a complete output.
  if (state_ == FlowState::kEnding) drain_input();
  if (!owner_.host().begun() || !owner_.host().reachable()) return true;
  if (!send_headers()) return false;
  switch (state_) {
    case FlowState::kStreaming:
      if (!send_body()) return false;
      break;
    case FlowState::kGathering:
      if (!send_gathered()) return false;
      break;
    default: break;
  }
  return send_end();
}

bool Flow::send_headers() {
  if (state_ != FlowState::kAsked || input_.headers != Headers::kUnsent) return true;
  HostSide& host = owner_.host();
  Failure failure;
  if (input_.context) {
    if (!host.send_headers(input_.cursor, HeaderType::kRequest, wire::HeadersFlag_Context, failure)) return false;
    input_.context = false;
  }
  uint16_t flags = input_.headers_only ? wire::HeadersFlag_EndStream : 0;
  if (is_tunnel()) flags |= wire::HeadersFlag_Upgrade;
  if (failure.code == nullptr && !host.send_headers(input_.cursor, headers_of(dir_), flags, failure)) return false;
  input_.headers = Headers::kTold;
  if (failure.code != nullptr) owner_.fail_later(dir_, failure);
  return true;
}

// Not beyond the window, and not while what the host has made piles up.
bool Flow::may_send_body() const {
  if (input_.outstanding >= window()) return false;
  return output_.waiting.size() < window() || mount_.room() == OutputRoom::kCollected || framing_.is_full();
}

// From the mount's memory straight into the ring.
bool Flow::send_body() {
  auto& pieces = body_pieces();
  const uint32_t piece_limit = owner_.host().piece_limit();
  while (may_send_body()) {
    const auto input = mount_.input(pieces);
    if (input.length == 0) return true;
    const uint64_t open = std::min<uint64_t>(input.length, window() - input_.outstanding);
    uint64_t sent = 0;
    bool room = true;
    for (const auto& piece : pieces) {
      std::string_view rest{piece.ptr, piece.length};
      while (room && !rest.empty() && sent < open) {
        const auto bytes = rest.substr(0, std::min<uint64_t>(piece_limit, open - sent));
        const bool last = input_ended() && input.is_all && sent + bytes.size() == input.length;
        room = send_data(bytes, last);
        if (!room) break;
        sent += bytes.size();
        rest.remove_prefix(bytes.size());
      }
      if (!room || sent == open) break;
    }
    take_input(sent);
    if (!room) return false;
    if (sent < input.length) return true;
  }
  return true;
}

bool Flow::send_gathered() {
  if (oversize_) {
    drain_input();
    return input_.end_told || send_data({}, true);
  }
  if (!gather() || !input_ended() || oversize_) return true;
  const uint32_t piece_limit = owner_.host().piece_limit();
  while (!gathered_.empty()) {
    const auto bytes = gathered_.front().substr(0, piece_limit);
    if (!send_data(bytes, bytes.size() == gathered_.size())) return false;
    gathered_.pop(bytes.size());
  }
  return true;
}

// False: the mount has more, which cannot be read yet.
bool Flow::gather() {
  auto& pieces = body_pieces();
  const bool keep = whole_ && owner_.host().failure_mode() != FailureMode::kClosed;
  while (!oversize_) {
    const auto input = mount_.input(pieces);
    if (input.length == 0) return input.is_all;
    if (gathered_.size() + input_.outstanding + input.length > owner_.settings().max_body_bytes) {
      body_too_large();
      return true;
    }
    for (const auto& piece : pieces) {
      gathered_.append({piece.ptr, piece.length});
      if (keep) original_.append({piece.ptr, piece.length});
    }
    take_input(input.length);
  }
  return true;
}

// A reply of ours would pass the filter's own encode hooks by; where it has some, the host runs them on it.
void Flow::body_too_large() {
  constexpr uint32_t kEncodePhases =
      wire::Phase_EncodeHeaders | wire::Phase_EncodeData | wire::Phase_EncodeTrailers | wire::Phase_TransformResponse;
  oversize_ = true;
  gathered_.clear();
  original_.clear();
  drain_input();
  if (dir_ == Dir::kResponse) return owner_.fail_later(dir_, kResponseTooLarge);
  if ((owner_.host().phases() & kEncodePhases) == 0) return owner_.fail_later(dir_, kRequestTooLarge);
  start_timer();
  if (!send_data({}, true)) owner_.host().wait_for_room();
}

bool Flow::send_end() {
  const bool sends_body = state_ == FlowState::kStreaming || state_ == FlowState::kGathering;
  if (!sends_body && state_ != FlowState::kEnding) return true;
  if (input_.hosted && input_ended() && !input_.end_told && (!sends_body || is_body_told())) {
    if (!send_data({}, true)) return false;
  }
  const bool body_told = input_.end_told || !input_.hosted;
  if (input_.trailers != Trailers::kHere || !wants_trailers() || !body_told) return true;
  Failure failure;
  if (!owner_.host().send_headers(input_.cursor, trailers_of(dir_), 0, failure)) return false;
  input_.trailers = Trailers::kTold;
  if (failure.code != nullptr) owner_.fail_later(dir_, failure);
  time_trailers();
  return true;
}

bool Flow::is_body_told() {
  const auto rest = mount_.input(body_pieces());
  return rest.length == 0 && rest.is_all && gathered_.empty();
}

bool Flow::send_data(std::string_view bytes, bool last) {
  uint8_t flags = 0;
  if (last) flags |= wire::DataFlag_Last | (input_.end == InputEnd::kInBeforeTrailers ? wire::DataFlag_Trailers : 0);
  if (oversize_) flags |= wire::DataFlag_TooLarge;
  if (!owner_.host().send_data({dir_, bytes, flags})) return false;
  input_.end_told = last;
  input_.outstanding += bytes.size();
  output_.digested = false;
  return true;
}

void Flow::take_input(size_t length) {
  framing_.took(length);
  mount_.take(length);
}

void Flow::drain_input() {
  auto& pieces = body_pieces();
  while (const size_t length = mount_.input(pieces).length) take_input(length);
}

}  // namespace tsf::core
