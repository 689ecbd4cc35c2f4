// A stream whose host is lost: what of it goes to the next one, and what becomes of the rest.
#include "core/stream.h"

namespace tsf::core {

bool Stream::waits_again() const {
  const bool waits = (request_.was_replayed() && request_.waits_for_host()) ||
                     (response_.was_replayed() && response_.waits_for_host());
  return waits && host_.has_taken_replay();
}

Hold Stream::hold() const {
  bool is_answered = false;
  bool is_replayed = false;
  for (const Flow* f : {&request_, &response_}) {
    if (f->state() == FlowState::kIdle) continue;
    const bool waits = f->waits_for_host();
    if (waits ? !f->can_begin_again() : !f->is_through()) return Hold::kBound;
    is_answered |= f->was_answered() && f->state() != FlowState::kGathering;
    is_replayed |= waits && f->was_replayed();
  }
  const bool is_fresh = request_.state() != FlowState::kGathering && response_.state() != FlowState::kGathering;
  if (!host_.was_seen() && !is_answered && is_fresh) return Hold::kNeverHad;
  if (is_replayed || (is_answered && !host_.is_stateless())) return Hold::kBound;
  return worker_.replays().may_replay(now_ns()) ? Hold::kWhole : Hold::kBound;
}

bool Stream::goes_again() const {
  const FailedState state{response_.headers_gone(), false, hold()};
  return outcome_of(kHostLost, host_.failure_mode(), state) == Outcome::kAgain;
}

void Stream::begin_again() {
  for (Flow* f : {&request_, &response_}) {
    if (!f->waits_for_host()) continue;
    restore_maps(*f);
    f->begin_again();
  }
  host_.begin_again();
  wait_ = {};
  recreate_wanted_ = false;
  defer();
}

void Stream::keep_original(HeaderType type) {
  if (host_.failure_mode() == FailureMode::kClosed) return;
  if (!originals_) originals_ = std::make_unique<OriginalMaps>();
  originals_->keep(mount_, type);
}

// As far as the maps are still here.
void Stream::restore_maps(const Flow& f) {
  if (!originals_) return;
  const bool has_headers = f.state() == FlowState::kAsked || f.state() == FlowState::kGathering;
  if (has_headers) originals_->restore(mount_, headers_of(f.dir()));
  if (f.has_trailers()) originals_->restore(mount_, trailers_of(f.dir()));
}

void Stream::on_channel_lost() {
  const bool is_drained = host_.channel()->was_drained();
  host_.lost();
  if (ending_.is_dead) return;
  if (calls_) calls_->cancel_all();
  if (!any_headers()) return host_.forget();
  if (reply_.exists()) {
    if (reply_.is_open()) cut_reply(is_drained ? kHostDrained.code : kHostLost.code);
    return;
  }
  const bool waits = request_.waits_for_host() || response_.waits_for_host();
  // What comes later may still find another host.
  if (!waits && !response_.has_headers() && hold() == Hold::kNeverHad) return host_.begin_again();
  if (waits && !is_failing() && goes_again()) return begin_again();
  for (Flow* f : {&request_, &response_}) {
    if (!is_live()) return;
    if (!f->waits_for_host()) {
      f->host_lost();
      continue;
    }
    const bool unanswered = f->state() == FlowState::kAsked || f->state() == FlowState::kGathering;
    fail_by_mode(*f, is_drained ? host_drained(f->dir(), unanswered) : core::host_lost(f->dir(), unanswered));
  }
}

}  // namespace tsf::core
