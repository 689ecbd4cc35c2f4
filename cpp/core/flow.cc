#include "core/flow.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tsf::core {
namespace {

constexpr uint32_t trailer_phase(Dir dir) {
  return dir == Dir::kRequest ? wire::Phase_DecodeTrailers : wire::Phase_EncodeTrailers;
}

// Pieces of a body; used again, so that no frame costs an allocation.
std::vector<Bytes>& body_pieces() {
  thread_local std::vector<Bytes> pieces;
  return pieces;
}

}  // namespace

Flow::Flow(Dir dir, FlowOwner& owner, FlowMount& mount)
    : dir_(dir),
      owner_(owner),
      mount_(mount),
      framing_(dir, owner.mount()),
      output_(owner.memory()),
      gathered_(owner.memory()),
      original_(owner.memory()) {}

void Flow::move(FlowEvent event) {
  if (const auto next = next_state(state_, event)) state_ = *next;
}

bool Flow::wants_trailers() const {
  return !is_tunnel() && (input_.hosted || (owner_.host().phases() & trailer_phase(dir_)) != 0);
}

bool Flow::waits_for_host() const {
  switch (state_) {
    case FlowState::kAsked:
    case FlowState::kStreaming:
    case FlowState::kGathering:
    case FlowState::kLettingGo: return true;
    case FlowState::kEnding:
      return input_.trailers != Trailers::kAnswered &&
             (has_trailers() || (owner_.host().phases() & trailer_phase(dir_)) != 0);
    default: return false;
  }
}

bool Flow::is_untouched() const {
  // Only the trailers hook is left.
  if (has_trailers() && input_.trailers != Trailers::kAnswered && (output_.complete || !input_.hosted)) return true;
  switch (state_) {
    case FlowState::kAsked: return true;
    case FlowState::kGathering: return whole_;
    case FlowState::kEnding: return !input_.hosted && output_.waiting.empty();
    default: return false;
  }
}

bool Flow::is_open() const {
  switch (state_) {
    case FlowState::kAsked:
    case FlowState::kStreaming:
    case FlowState::kGathering:
    case FlowState::kLettingGo:
    case FlowState::kEnding: return true;
    default: return false;
  }
}

bool Flow::hears_trailers() const { return owner_.host().begun() && owner_.host().reachable() && wants_trailers(); }

bool Flow::owes_output() const {
  switch (state_) {
    case FlowState::kStreaming:
    case FlowState::kGathering:
    case FlowState::kLettingGo: return !output_.digested || input_.outstanding > 0;
    default: return false;
  }
}

bool Flow::takes_ops(bool trailers) const {
  if (trailers) return has_trailers() && state_ != FlowState::kDone;
  return has_headers() && input_.headers != Headers::kLetGo && !mount_.headers_gone();
}

// ---- from the mount ----

void Flow::headers_came(bool end) {
  input_.headers = Headers::kUnsent;
  input_.headers_only = end;
  framing_.begin(owner_.request_kind(), end);
  if (end) input_.end = InputEnd::kIn;
}

void Flow::on_input(InputEnd end) {
  if (end != InputEnd::kOpen) input_.end = end;
  if (!owner_.is_live()) return;
  time_gathered();
  if (!send()) owner_.host().wait_for_room();
  if (state_ == FlowState::kEnding || state_ == FlowState::kLettingGo) owner_.defer();
}

bool Flow::on_trailers() {
  input_.end = InputEnd::kInBeforeTrailers;
  if (input_.trailers == Trailers::kNone) input_.trailers = Trailers::kHere;
  if (!owner_.is_live()) return true;
  switch (state_) {
    case FlowState::kIdle:
    case FlowState::kDone:
    case FlowState::kReplied: return false;
    case FlowState::kPassing:
      if (!owner_.host().begun() || !wants_trailers()) return false;
      if (!owner_.host().reachable()) {
        owner_.fail_later(kHostLostAtTrailers);
        return true;
      }
      move(FlowEvent::kTrailers);
      break;
    default: break;
  }
  time_gathered();
  if (!send()) owner_.host().wait_for_room();
  owner_.defer();
  return true;
}

// ---- from the stream ----

void Flow::ask(bool context) {
  move(FlowEvent::kAsk);
  input_.context = context;
  start_timer();
  if (!send()) owner_.host().wait_for_room();
}

// The host is out of it, or was never in: everything goes on as it came, or as far as it is.
void Flow::let_pass() {
  deadline_ = 0;
  input_.hosted = false;
  if (!output_.complete) {
    output_.waiting.clear();
    output_.waiting.take(original_.empty() ? gathered_ : original_);
    gathered_.clear();
    framing_.restore();
  }
  go_by(FlowEvent::kPass, false);
}

void Flow::reply() {
  clear();
  if (state_ == FlowState::kReplied) return;
  move(FlowEvent::kReply);
  mount_.drop();
}

void Flow::clear() {
  output_.waiting.clear();
  gathered_.clear();
  original_.clear();
  deadline_ = 0;
}

// ---- to the host ----

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
  uint8_t flags = input_.headers_only ? wire::HeadersFlag_EndStream : 0;
  if (is_tunnel()) flags |= wire::HeadersFlag_Upgrade;
  if (failure.code == nullptr && !host.send_headers(input_.cursor, headers_of(dir_), flags, failure)) return false;
  input_.headers = Headers::kTold;
  if (failure.code != nullptr) owner_.fail_later(failure);
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
  gather();
  if (!input_ended() || oversize_) return true;
  const uint32_t piece_limit = owner_.host().piece_limit();
  while (!gathered_.empty()) {
    const auto bytes = gathered_.front().substr(0, piece_limit);
    if (!send_data(bytes, bytes.size() == gathered_.size())) return false;
    gathered_.pop(bytes.size());
  }
  return true;
}

void Flow::gather() {
  auto& pieces = body_pieces();
  const bool keep = whole_ && owner_.host().failure_mode() == FailureMode::kOpen;
  while (!oversize_) {
    const auto input = mount_.input(pieces);
    if (input.length == 0) return;
    if (gathered_.size() + input_.outstanding + input.length > owner_.settings().max_body_bytes)
      return body_too_large();
    for (const auto& piece : pieces) {
      gathered_.append({piece.ptr, piece.length});
      if (keep) original_.append({piece.ptr, piece.length});
    }
    take_input(input.length);
  }
}

// A reply of ours would pass the filter's own encode hooks by; where it has some, the host runs them on it.
void Flow::body_too_large() {
  constexpr uint32_t kEncodePhases =
      wire::Phase_EncodeHeaders | wire::Phase_EncodeData | wire::Phase_EncodeTrailers | wire::Phase_TransformResponse;
  oversize_ = true;
  gathered_.clear();
  original_.clear();
  drain_input();
  if (dir_ == Dir::kResponse) return owner_.fail_later(kResponseTooLarge);
  if ((owner_.host().phases() & kEncodePhases) == 0) return owner_.fail_later(kRequestTooLarge);
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
  if (failure.code != nullptr) owner_.fail_later(failure);
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

// ---- time ----

void Flow::start_timer() {
  deadline_ = now_ns() + owner_.host().message_timeout();
  owner_.arm(deadline_);
}

// The answer to a whole body is timed from the body's end.
void Flow::time_gathered() {
  if (state_ == FlowState::kGathering && input_ended() && deadline_ == 0) start_timer();
}

// The answer to trailers is timed once only the trailers hook is left.
void Flow::time_trailers() {
  if (input_.trailers == Trailers::kTold && (!input_.hosted || output_.complete)) start_timer();
}

void Flow::extend_deadline(Nanos by, Nanos most) {
  if (deadline_ != 0) deadline_ = std::max(deadline_, std::min(most, deadline_ + by));
}

bool Flow::take_deadline(Nanos now) {
  if (deadline_ == 0 || now < deadline_) return false;
  deadline_ = 0;
  return true;
}

}  // namespace tsf::core
