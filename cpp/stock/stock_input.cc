// Input: where it lies, whose it is, and how it gets to core.
#include <algorithm>
#include <string>
#include <vector>

#include "core/failure.h"
#include "stock/edge.h"
#include "stock/stock_flow.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

// ---- cut by others ----

// Without an edge: the end has come in while a filter behind us has the message stopped, so that it may end the
// message when it goes on.
void StockFlow::check_cut() {
  if (by_hand_ || diverted_ != nullptr || has_gate() || !is_open() || !behind_.watch().are_gone()) return;
  if (behind_.buffering().is_gathered_behind()) return;  // it waits for our end
  // One of ours behind is the gate then.
  if (chain() != nullptr && chain()->are_headers_held_behind(*this, dir_)) return;
  if (behind_.watch().may_be_held()) return mark_.set();
  const bool is_siblings = chain() != nullptr && chain()->has_owner(dir_);
  const size_t behind = input_.received_is_buffer() || is_siblings ? 0 : buffer().foreign();
  const bool is_routers = dir_ == Dir::kRequest && behind == behind_.buffering().emitted();
  if (behind > 0 && !is_routers && behind_.watch().are_through()) events().on_cut();
}

// In a hook: filters before us have let go of all they kept. What lies there is of those behind us.
void StockFlow::note_behind() {
  if (!buffer().is_ours() && !input_.received_is_buffer()) behind_.look(buffer(), passed_gate());
}

// Of a chunk that is the shared buffer itself: its first bytes are what filters behind us keep, which has passed us
// already. Somebody before us has gone on with all that lies there.
size_t StockFlow::shown_again(bool was_ours) {
  if (chain() != nullptr && chain()->has_siblings()) return std::min(input_.received(), chain()->pushed_over(dir_));
  if (was_ours || buffer().behind() == 0 || !input_.received_is_buffer()) return 0;
  if (!has_gate()) {
    // Whether it still lies there is not known.
    events().on_cut();
    return 0;
  }
  return std::min(input_.received(), behind_.still_kept(buffer(), *passed_gate()));
}

// A filter behind us has flushed the shared buffer with input of ours in it.
void StockFlow::check_theft() {
  if (!buffer().is_stolen() || input_.received_is_buffer()) return;
  buffer().give();
  events().on_cut();
}

// ---- what is before us ----

// No edge tells, and no other of ours has changed the message.
bool StockFlow::knows_what_is_before() const {
  return chain() == nullptr || !(chain()->sees_peers_end(dir_) || chain()->has_filter_before(*this, dir_));
}

core::Nanos StockFlow::end_is_held_until() {
  if (ended_) return 0;
  if (chain() != nullptr && chain()->end_is_held_before(*this, dir_)) return FiltersBefore::kUntilItComes;
  if (knows_what_is_before())
    return before_.hold_end_until(
        {far_end_.seen(), behind_.buffering().emitted(), events().waiting_output() + lead_.size()});
  Neighbour* const before = chain()->sees_peers_end(dir_) ? nullptr : chain()->open_filter_before(*this, dir_);
  return before != nullptr ? before->end_is_held_until() : 0;
}

// A continue would give an end on that is with somebody before us.
bool StockFlow::waits_for_end() {
  core::Nanos until = end_is_held_until();
  if (until != FiltersBefore::kUntilItComes && is_dear()) until = 0;
  before_.wait_until(until);
  if (before_.quiet_at() != 0) stream_.core().arm(before_.quiet_at());
  return until != 0;
}

void StockFlow::on_pump_stopped() {
  if (chain() == nullptr) before_.found_taker();
}

// ---- input ----

// What a filter before us has added to a frame of ours.
void StockFlow::keep_added() {
  const size_t again = shown_again(buffer().is_ours());
  if (input_.received_is_buffer()) buffer().give();
  far_end_.saw(input_.received() - again);
  input_.keep_received_behind(again);
}

// What the core has not taken of the chunk.
BodyStatus StockFlow::store() {
  const size_t length = input_.received();
  if (length == 0) {
    if (ended_ && buffer().is_ours()) keep_input();
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (may_leave()) {
    buffer().leave(length);
    return BodyStatus::kStopIterationAndWatermark;
  }
  if (buffer().is_ours()) keep_input();
  input_.keep_all_received(length);
  const core::Settings& settings = stream_.core().settings();
  // Only where Envoy's buffer, which would have paused the peer, is not ours to use.
  if (input_.kept().size() > settings.max_pending_output + settings.max_body_bytes) {
    input_.kept().clear();
    stream_.core().fail_later(dir_, core::kOutputLimit);
  }
  return BodyStatus::kStopIterationNoBuffer;
}

// Whether input may lie in the shared buffer, where it pauses the peer: nobody else's is there, and nobody behind us
// can flush it.
bool StockFlow::may_leave() {
  if (ended_ || diverted_ != nullptr) return false;
  const bool is_shared_itself = input_.received_is_buffer();
  if (chain() != nullptr && !buffer().is_ours()) {
    if (chain()->owner_before(*this, dir_) != nullptr) return false;
    if (Neighbour* behind = chain()->owner_behind(*this, dir_)) {
      // In one buffer object their bytes and these cannot be told apart any more.
      if (is_shared_itself) return false;
      behind->keep_input();
    }
  }
  if (!is_shared_itself && buffer().foreign() > 0) return false;
  if (!behind_.watch().are_gone()) return !keeps_for_headers();
  return behind_.let_by(has_gate());
}

// Once it exists the buffer gives an empty frame on with bare headers, which a filter behind us takes for a piece of
// the body: the first of what comes before they go is kept in module memory. In the moment the end is waited for: the
// peer is not to be paused.
bool StockFlow::keeps_for_headers() const {
  constexpr size_t kMost = 64 << 10;  // beyond it Envoy's own limit has to pause the peer, which others count on
  const size_t limit = envoy_.buffer_limit();
  if (moment_.is_running()) return Moment::keeps(input_.kept().size());
  return input_.kept().size() < (limit == 0 ? kMost : std::min(limit, kMost));
}

// Envoy 1.38, when the end has come in while a filter behind us holds our headers and keeps some of our output:
// ext_proc lets the headers go on with that end before it puts those bytes into the chain, where nobody takes them any
// more. So they go again with the end, by us or by hand.
void StockFlow::take_kept_back() {
  if (!stream_.flag().is_shared() || !has_gate() || !chain()->has_end(dir_) || !is_open()) return;
  if (!behind_.watch().are_gone() || behind_.watch().are_through() || behind_.buffering().is_gathered_behind()) return;
  if (chain()->has_filter_behind(*this, dir_) || chain()->has_owner(dir_)) return;
  if (envoy_.received_is_buffered(dir_) || buffer().is_held_before()) return;
  const std::string kept = envoy_.take_body(dir_, BodySource::kBuffered);
  core::ByteQueue all(stream_.core().memory());
  all.append(kept);
  all.take(lead_);
  lead_.take(all);
  on_taken_back(kept.size());
  chain()->tell_taken_back(*this, dir_, kept.size());
  behind_.look(buffer(), passed_gate());
}

// The chunk begins with so many bytes that have passed us already. False: the rest of it is kept.
bool StockFlow::take_pushed_over(size_t again) {
  const size_t foreign = buffer().is_ours() ? 0 : std::min(again, buffer().behind());
  if (foreign == 0) return true;
  input_.keep_received_behind(foreign);
  input_.close_chunk();
  if (state_ == State::kHeld) events().on_input(ended_ && !by_hand_ ? core::InputEnd::kIn : core::InputEnd::kOpen);
  return false;
}

core::FlowMount::Input StockFlow::input(std::vector<core::Bytes>& pieces) {
  pieces.clear();
  if (state_ != State::kHeld) return {};
  if (chain() != nullptr && chain()->is_full_behind(*this, dir_)) return {0, false};
  if (input_.kept().empty() && buffer().is_ours()) {
    if (stream_.in_hook(core::other(dir_))) return {0, false};
    check_theft();
  }
  return input_.read(pieces);
}

void StockFlow::take(size_t length) {
  if (length == 0) return;
  // There is room again, and what comes may have waited for that.
  before_.on_input();
  behind_.injector().on_input(far_end_.seen());
  const bool was_full = is_full();
  input_.take(length);
  tell_room(was_full);
}

// To those before us, who wait while we are full.
void StockFlow::tell_room(bool was_full) {
  if (was_full && !is_full() && chain() != nullptr) chain()->wake_before(*this, dir_);
}

// After somebody's push: back to where they were, or to module memory when others' bytes lie there now.
void StockFlow::unpark(const std::string& bytes) {
  if (stream_.core().is_over() || bytes.empty()) return;
  if (buffer().size() == 0 && is_open() && behind_.let_by(has_gate())) {
    buffer().put_ours(bytes);
  } else {
    input_.kept().append(bytes);
    wake();
  }
}

// ---- by hand ----

// 1.38: ext_proc that lets headers go gives an end on that is in, or trailers, before the bytes that it has at its
// server. When those come back nobody takes them.
bool StockFlow::has_lost_bytes(uint64_t seen_behind) const {
  const auto gone = far_end_.gone();
  if (!stream_.flag().is_shared() || !(gone || behind_.injector().may_be_behind())) return false;
  const uint64_t given = gone ? *gone - behind_.buffering().taken_back() : behind_.buffering().emitted();
  return seen_behind + buffer().size() < given;
}

void StockFlow::divert_to(Neighbour& next, uint64_t bytes) {
  diverted_ = &next;
  if (has_lost_bytes(bytes)) return events().on_cut();
  // What would pass us now would meet filters that have had the end.
  if (state_ == State::kPassing) state_ = State::kLeaving;
  wake();
}

void StockFlow::accept(core::ByteQueue& bytes, core::InputEnd end) {
  input_.kept().take(bytes);
  if (end != core::InputEnd::kOpen) by_hand_ = false;
  if (state_ == State::kHeld) {
    events().on_input(end);
    if (end == core::InputEnd::kInBeforeTrailers) events().on_trailers();
  } else if (state_ == State::kLeaving && end == core::InputEnd::kInBeforeTrailers && events().on_trailers()) {
    state_ = State::kEnding;
  }
  wake();
}

}  // namespace tsf::stock
