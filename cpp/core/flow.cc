#include "core/flow.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/phases.h"

namespace tsf::core {
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

bool Flow::can_begin_again() const {
  if (oversize_ || input_.trailers == Trailers::kAnswered) return false;
  if (state_ == FlowState::kAsked) return true;
  return state_ == FlowState::kGathering && whole_ && owner_.host().failure_mode() != FailureMode::kClosed;
}

bool Flow::is_through() const {
  if (state_ == FlowState::kDone) return true;
  return state_ == FlowState::kPassing && (input_ended() || !wants_trailers());
}

bool Flow::was_answered() const {
  if (state_ == FlowState::kIdle || state_ == FlowState::kAsked) return false;
  return input_.headers == Headers::kTold || input_.headers == Headers::kLetGo || input_.trailers == Trailers::kTold ||
         input_.trailers == Trailers::kAnswered;
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
  const bool is_awaited = input_ended() && owner_.is_end_awaited(dir_);
  if (is_awaited || state_ == FlowState::kEnding || state_ == FlowState::kLettingGo) owner_.defer();
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
        // They are all that waits for it.
        if (outcome_of(kHostLostLate, owner_.host().failure_mode(), {}) == Outcome::kPass) return false;
        move(FlowEvent::kTrailers);
        owner_.fail_later(dir_, kHostLostLate);
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
  if (deadline_ == 0) start_timer();
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

void Flow::begin_again() {
  const HostSide& host = owner_.host();
  move(FlowEvent::kAgain);
  input_.headers = Headers::kUnsent;
  if (has_trailers()) input_.trailers = Trailers::kHere;
  input_.context = input_.hosted = input_.end_told = false;
  input_.cursor = 0;
  input_.outstanding = 0;
  output_.waiting.clear();
  output_.digested = true;
  output_.complete = false;
  output_.uncredited = 0;
  gathered_.clear();
  mount_.put_back(original_);
  hold_ = whole_ = false;
  framing_.begin_again();
  const bool is_first = again_ == Again::kNever;
  if (host.was_seen()) again_ = Again::kReplayed;
  if (is_first && again_ == Again::kNever) again_ = Again::kUntaken;
  // Once: hosts that come and go do not make it wait for ever.
  if (is_first && deadline_ != 0 && host.host_wait() > host.message_timeout())
    deadline_ = std::max(deadline_, now_ns() + host.host_wait() + host.message_timeout());
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

// ---- time ----

void Flow::start_timer() {
  deadline_ = now_ns() + owner_.host().message_timeout();
  owner_.arm(deadline_);
}

// Headers that wait for output of a message which may have none before they have gone.
bool Flow::times_held_headers() const {
  const bool waits = state_ == FlowState::kStreaming || state_ == FlowState::kGathering || state_ == FlowState::kEnding;
  return waits && hold_ && input_.headers != Headers::kLetGo && output_.waiting.empty() && !input_ended() &&
         is_endless();
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
  if (!is_late(now)) return false;
  deadline_ = 0;
  return true;
}

}  // namespace tsf::core
