// What the host says of a flow, and how it goes to the mount.
#include <algorithm>
#include <utility>

#include "core/flow.h"
#include "core/frame.h"

namespace tsf::core {

// ---- from the host ----

bool Flow::on_answer(uint8_t mode) {
  deadline_ = 0;
  if (mode == wire::BodyMode_Pass || input_.headers_only || is_tunnel()) {
    if (has_trailers() && wants_trailers()) {
      // They came before this answer and are still to be asked for.
      input_.headers = Headers::kLetGo;
      (void)absorb_input();  // nobody behind can be full before it has headers
      move(FlowEvent::kTrailers);
    } else {
      go_by(FlowEvent::kPass, !input_.headers_only && wants_trailers());
    }
    advance();
    return true;
  }
  input_.hosted = true;
  if (mode == wire::BodyMode_Whole) {
    move(FlowEvent::kGather);
    hold_ = whole_ = true;
    time_gathered();
  } else {
    move(FlowEvent::kStream);
    hold_ = mode == wire::BodyMode_StreamHold;
    if (!hold_) let_headers_go();
  }
  if (times_held_headers()) start_timer();
  advance();
  return true;
}

void Flow::on_trailers_answer() {
  input_.trailers = Trailers::kAnswered;
  deadline_ = 0;
  advance();
}

bool Flow::on_output(const wire::Output& frame) {
  const uint8_t flags = frame.flags();
  if (frame.acknowledged() > input_.outstanding) return false;
  input_.outstanding -= frame.acknowledged();
  if (!owner_.is_live()) return true;
  const bool added = (flags & wire::OutputFlag_Added) != 0;
  switch (state_) {
    case FlowState::kAsked:
      if (!added) return false;
      if (take_output(view_of(frame.bytes()))) give_credit();
      return true;
    case FlowState::kEnding:
      // addData in a trailers hook of a body that went past the host, or that its filter has let go of.
      if (added && !output_.complete && input_.trailers != Trailers::kAnswered) take_output(view_of(frame.bytes()));
      return true;
    case FlowState::kStreaming:
    case FlowState::kGathering:
    case FlowState::kLettingGo: break;
    default: return true;
  }
  const Nanos held_until = std::exchange(deadline_, 0);
  whole_ = false;
  original_.clear();
  if (!take_output(view_of(frame.bytes()))) return true;
  take_flags(flags);
  if (times_held_headers()) deadline_ = held_until;
  if (waits_for_rest()) start_timer();
  advance();
  return true;
}

void Flow::take_flags(uint8_t flags) {
  output_.digested = (flags & wire::OutputFlag_Digested) != 0;
  output_.is_cut = (flags & wire::OutputFlag_Cut) != 0;
  if ((flags & wire::OutputFlag_Last) != 0) {
    move(FlowEvent::kLast);
    gathered_.clear();
  } else if ((flags & wire::OutputFlag_Bypass) != 0) {
    move(FlowEvent::kLetGo);
    if (!headers_gone() && !framing_.let_go(input_.outstanding)) return owner_.fail(kWrongLength);
  }
  if ((flags & wire::OutputFlag_Release) != 0) hold_ = false;
  if ((flags & wire::OutputFlag_Timed) != 0) start_timer();
  if ((flags & (wire::OutputFlag_Last | wire::OutputFlag_Trailing)) != 0) {
    output_.complete = true;
    time_trailers();
  }
}

bool Flow::take_output(std::string_view bytes) {
  if (!framing_.drops_body()) output_.waiting.append(bytes);
  output_.uncredited += bytes.size();
  if (!framing_.made(bytes.size())) {
    owner_.fail(kWrongLength);
    return false;
  }
  if (output_.waiting.size() <= owner_.settings().max_pending_output &&
      owner_.memory().bytes <= static_cast<int64_t>(owner_.settings().max_pending_total))
    return true;
  owner_.fail(kOutputLimit);
  return false;
}

// ---- to the mount ----

void Flow::advance() {
  if (!owner_.is_live()) return;
  if (!send()) owner_.host().wait_for_room();
  give();
  if (!owner_.is_live()) return;
  give_credit();
  // What the mount took may have opened the window.
  if (!send()) owner_.host().wait_for_room();
  mount_.on_advanced();
}

void Flow::give() {
  // All of the body is with the host, which has begun to answer: the rest is as of any body.
  if (state_ == FlowState::kGathering && input_.end_told && !whole_) move(FlowEvent::kOutput);
  if (state_ == FlowState::kLettingGo && input_.outstanding == 0) finish_letting_go();
  if (is_complete()) {
    if (!settle_end()) return owner_.fail(kWrongLength);
    if (mount_.finish(output_.waiting) == Injected::kAccepted && owner_.is_live()) {
      deadline_ = 0;
      move(FlowEvent::kEnd);
    }
    return;
  }
  if (state_ != FlowState::kStreaming && state_ != FlowState::kEnding && state_ != FlowState::kLettingGo) return;
  if (hold_ && (output_.waiting.empty() || waits_for_rest())) return;
  let_headers_go();
  if (owner_.is_live() && !output_.waiting.empty() && !waits_for_end()) mount_.inject(output_.waiting);
}

// Everything that the host had is back. What it never saw goes by, or belongs to the output where it still has to
// answer for the trailers.
void Flow::finish_letting_go() {
  (void)framing_.made(gathered_.size());
  output_.waiting.take(gathered_);
  if (!has_trailers() || !wants_trailers()) return go_by(FlowEvent::kConsumed, wants_trailers());
  if (absorb_input()) move(FlowEvent::kTrailers);
}

// From here on the message goes past the host.
void Flow::go_by(FlowEvent event, bool until_trailers) {
  const auto rest = event == FlowEvent::kConsumed ? rest_of_input() : std::nullopt;
  const bool is_right = headers_gone() ? framing_.is_kept_by_passing(rest) : framing_.pass(rest);
  if (!is_right) return owner_.fail(kWrongLength);
  input_.headers = Headers::kLetGo;
  if (framing_.drops_body()) {
    output_.waiting.clear();
    if (!input_.headers_only) return drain_body();
  }
  move(event);
  mount_.pass(output_.waiting, until_trailers);
}

// Whatever still comes of it goes nowhere: its headers go, and its end.
void Flow::drain_body() {
  output_.complete = true;
  input_.hosted = false;
  move(FlowEvent::kDrain);
  mount_.let_headers_go();
}

// All that has not been read, where nothing more is to come.
std::optional<uint64_t> Flow::rest_of_input() {
  if (input_.end != InputEnd::kIn) return std::nullopt;
  std::vector<Bytes> pieces;
  const auto rest = mount_.input(pieces);
  return rest.is_all ? std::optional<uint64_t>(rest.length) : std::nullopt;
}

// What the host never saw is the rest of the output. False: the mount has more of it, which cannot be read yet.
bool Flow::absorb_input() {
  std::vector<Bytes> pieces;
  for (;;) {
    const auto input = mount_.input(pieces);
    if (input.length == 0) return input.is_all;
    for (const auto& piece : pieces) output_.waiting.append({piece.ptr, piece.length});
    (void)framing_.made(input.length);
    take_input(input.length);
  }
}

void Flow::let_headers_go() {
  if (input_.headers == Headers::kLetGo) return;
  if (!framing_.open()) return owner_.fail(kWrongLength);
  if (framing_.drops_body()) output_.waiting.clear();
  if (waits_for_end()) return;
  input_.headers = Headers::kLetGo;
  mount_.let_headers_go();
}

bool Flow::waits_for_rest() const {
  return hold_ && output_.is_cut && !headers_gone() &&
         output_.waiting.size() < owner_.settings().max_pending_output / 2;
}

// The whole message is here: while its headers are, too, they get its length. False: they have another one.
bool Flow::settle_end() {
  if (headers_gone()) return framing_.drops_body() || framing_.is_kept();
  const bool bare = has_trailers() || owner_.host().is_grpc();
  const bool is_right = input_.hosted ? framing_.complete(bare) : framing_.pass(std::nullopt);
  if (framing_.drops_body()) output_.waiting.clear();
  return is_right;
}

bool Flow::is_complete() const {
  return state_ == FlowState::kEnding && input_ended() &&
         (!has_trailers() || input_.trailers == Trailers::kAnswered || !wants_trailers()) &&
         (input_.end != InputEnd::kInBeforeTrailers || has_trailers());
}

// Half a window at a time: the host goes on long before it has used up the other half.
void Flow::give_credit() {
  if (output_.uncredited < window() / 2) return;
  const bool is_wanted = waits_for_rest() || framing_.is_full() || mount_.room() != OutputRoom::kPaced;
  if (output_.waiting.size() >= window() && !is_wanted) return;
  const auto of = dir_ == Dir::kRequest ? wire::CreditOf_Request : wire::CreditOf_Response;
  owner_.host().send_credit(of, std::exchange(output_.uncredited, 0));
}

}  // namespace tsf::core
