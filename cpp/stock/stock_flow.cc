// What Envoy's hooks do.
#include "stock/stock_flow.h"

#include <algorithm>

#include "stock/edge.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

StockFlow::StockFlow(StockStream& stream, Envoy& envoy, ChainFacts& facts, core::MemoryCount& memory, Dir dir)
    : stream_(stream),
      envoy_(envoy),
      dir_(dir),
      input_(envoy, memory, dir),
      before_(envoy, facts, dir),
      behind_(envoy, facts, before_.ext_proc(), dir),
      mark_(envoy, dir),
      lead_(memory) {}

const core::FlowEvents& StockFlow::events() const { return stream_.core().flow(dir_); }
core::FlowEvents& StockFlow::events() { return stream_.core().flow(dir_); }
Chain* StockFlow::chain() const { return stream_.chain(); }
bool StockFlow::waits_for_trailers() const {
  return state_ == State::kPassing && stream_.core().flow(dir_).hears_trailers();
}
void StockFlow::wake() { stream_.core().defer(); }

bool StockFlow::is_full() const {
  return state_ == State::kHeld && input_.kept().size() >= stream_.core().settings().stream_window;
}

// An edge behind every filter of this direction keeps whoever ends the message early from cutting it.
const EdgeFilter* StockFlow::gate() const { return chain() != nullptr ? chain()->gate(dir_) : nullptr; }
std::optional<uint64_t> StockFlow::passed_gate() const {
  return has_gate() ? std::optional(gate()->passed(dir_)) : std::nullopt;
}

bool StockFlow::on_complete() {
  if (dir_ == Dir::kResponse && ended_ && !is_open() && state_ != State::kDropped) behind_.watch().is_over();
  if (before_.ext_proc().is_there()) before_.ext_proc().look_at_end(has_gone_by());
  if (has_ended_without_us()) {
    before_.found_taker();
    return true;
  }
  // A response that is over went on with its mark.
  return is_open() && (dir_ == Dir::kResponse ? mark_.is_set() : went_on_marked());
}

// A filter behind us has ended it. One that was never let by has met nobody.
bool StockFlow::went_on_marked() { return mark_.is_set() && behind_.watch().are_through(); }

// Nothing where the message may not have got to its receiver.
ExtProc::Gone StockFlow::has_gone_by() const {
  if (!ended_ || is_open() || state_ == State::kDropped || stream_.was_reset()) return {};
  if (state_ == State::kPassing) return {far_end_.seen(), far_end_.pieces()};
  return {std::min(far_end_.seen(), behind_.buffering().emitted()), behind_.pushes()};
}

// A continue of ours has given an end on that was with somebody before us. Envoy does not tell when it does so.
bool StockFlow::has_ended_without_us() const {
  if (dir_ == Dir::kRequest || ended_ || !behind_.watch().are_gone() || state_ == State::kFinished ||
      state_ == State::kDropped)
    return false;
  return !(chain() != nullptr && chain()->sees_peers_end(dir_)) && !stream_.was_reset() && envoy_.has_ended_well();
}

void StockFlow::forget() {
  input_.kept().clear();
  lead_.clear();
}

// ---- hooks ----

// The message of one before us was ended by a filter in between: we hold it, and take the rest by hand.
bool StockFlow::gates(bool end) {
  if (!end || chain() == nullptr) return false;
  Neighbour* before = chain()->open_before(*this, dir_);
  if (before == nullptr) return false;
  by_hand_ = true;
  before->divert_to(*this, far_end_.seen());
  return true;
}

HeadersStatus StockFlow::on_headers(bool end) {
  ended_ = end;
  if (end && chain() != nullptr) chain()->note_end(dir_);
  core::Stream& core = stream_.core();
  bool stop;
  if (core.has_replied()) {
    stop = !core.is_own_reply(dir_);
  } else if (stream_.must_pass_unseen(dir_)) {
    core.pass_unseen(dir_, end);
    state_ = State::kPassing;
    stop = false;
  } else {
    in_hook_ = true;
    stop = hold_headers(end);
    in_hook_ = false;
  }
  if (!stop) behind_.watch().let_go();
  stream_.after_hook(dir_, stop);
  return stop ? HeadersStatus::kStopIteration : HeadersStatus::kContinue;
}

// Edges at both ends tell all that a response needs to know, but for what ext_proc loses on 1.38.
bool StockFlow::needs_to_know_ext_proc() const {
  const bool has_both_edges = has_gate() && chain()->sees_peers_end(dir_);
  return dir_ == Dir::kRequest || !has_both_edges || stream_.flag().is_shared();
}

// The answer to a request is here. Is it one to what others have made of it, it is not given to the client.
void StockFlow::check_answered() {
  if (is_open() && went_on_marked()) events().on_cut();
}

bool StockFlow::hold_headers(bool end) {
  if (!end && needs_to_know_ext_proc()) before_.ext_proc().look_at_headers();
  if (dir_ == Dir::kRequest || !has_edge()) {
    if (has_gate()) behind_.injector().watch();
    if (behind_.injector().may_be_behind()) behind_.injector().start(before_.message_length());
  }
  const bool gate = gates(end);
  if (dir_ == Dir::kResponse) stream_.flow(Dir::kRequest).check_answered();
  if (stream_.core().on_headers(dir_, end && !gate) == core::Stream::OnHeaders::kHold) {
    state_ = State::kHeld;
    if (!end) start_moment();
    return true;
  }
  until_trailers_ = events().hears_trailers() && may_lose_trailers();
  state_ = gate || until_trailers_ || stream_.request_needs_flag(dir_) ? State::kLeaving : State::kPassing;
  if (state_ == State::kPassing) far_end_.lets_by(0);
  if (until_trailers_) {
    start_moment();
    time_moment();
  }
  if (state_ == State::kLeaving) stream_.core().defer();
  return state_ == State::kLeaving;
}

BodyStatus StockFlow::on_body(bool end) {
  if (dir_ == Dir::kResponse && stream_.pumped() != nullptr) return on_pump_frame();
  if (dir_ == Dir::kResponse && !end && input_.received() == 0 && stream_.request_waits_for_frame()) {
    stream_.flag().on_hook(dir_, true);
    stream_.core().defer();
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (end) see_end();
  if (chain() != nullptr) chain()->put_aside_before(dir_, envoy_);
  const size_t length = input_.received();
  if (!end && chain() != nullptr) chain()->note_body(*this, dir_, envoy_, length);
  in_hook_ = true;
  input_.open_chunk();
  far_end_.saw(length);
  before_.on_input();
  if (dir_ == Dir::kRequest && !end && state_ == State::kHeld && knows_what_is_before()) before_.look(far_end_.seen());
  const BodyStatus status = body_status(end);
  input_.close_chunk();
  in_hook_ = false;
  stream_.after_hook(dir_, status != BodyStatus::kContinue);
  return status;
}

// An empty frame of ours, which grants another continue to the one it is for.
BodyStatus StockFlow::on_pump_frame() {
  const bool is_for_us = stream_.pumped() == this;
  if (is_for_us && frame_ != nullptr) {
    keep_added();
    // For those behind us it is a frame as any other. It may fill a buffer, so that an end which was held back comes
    // now.
    stream_.set_pumped(nullptr);
    frame_->each([&](std::string_view piece) { envoy_.append_body(dir_, BodySource::kReceived, piece); });
    frame_->clear();
    stream_.flag().on_hook(dir_, false);
    let_go();
    return BodyStatus::kContinue;
  }
  // A Continue of one that is stopped would take along what lies in the shared buffer. A filter before us may have
  // added bytes to the frame.
  const bool stays =
      is_open() && (!behind_.watch().are_gone() || (stream_.flag().is_stopped(dir_) && buffer().size() > 0));
  if (is_for_us || stays) {
    keep_added();
    stream_.flag().on_hook(dir_, true);
    return BodyStatus::kStopIterationNoBuffer;
  }
  stream_.flag().on_hook(dir_, false);
  return BodyStatus::kContinue;
}

BodyStatus StockFlow::body_status(bool end) {
  switch (state_) {
    case State::kHeld:
    case State::kLeaving:
    case State::kEnding: return hold_body(end);
    case State::kDropped:
      if (stream_.core().is_own_reply(dir_)) return BodyStatus::kContinue;
      input_.drain_received();
      return BodyStatus::kStopIterationNoBuffer;
    case State::kFinished:
      // A filter before us has added bytes to an end that we have given already; or it shows what others keep again.
      if (input_.received() == 0 || input_.received() == shown_again(false)) {
        if (!takes_others_along()) return BodyStatus::kContinue;
        state_ = State::kLeaving;
        return hold_body(end);
      }
      input_.drain_received();
      state_ = State::kDropped;
      events().on_cut();
      return BodyStatus::kStopIterationNoBuffer;
    case State::kWithUs:
    case State::kPassing: break;
  }
  if (gates(end) || (!end && stream_.request_needs_flag(dir_))) {
    state_ = State::kLeaving;
    return hold_body(end);
  }
  if (!stream_.is_void(dir_)) return BodyStatus::kContinue;
  input_.drain_received();
  return BodyStatus::kStopIterationNoBuffer;
}

BodyStatus StockFlow::hold_body(bool end) {
  note_behind();
  if (loses_bytes_to_trailers()) moment_.extend();
  behind_.injector().on_input(far_end_.seen());
  const bool gate = by_hand_ || gates(end);
  check_theft();
  const size_t again = shown_again(buffer().is_ours());
  if (input_.received_is_buffer()) buffer().give();  // all that lies there has come to us now
  if (!take_pushed_over(again)) {
    if (end) check_cut();
    stream_.core().defer();
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (state_ == State::kHeld) events().on_input(end && !gate ? core::InputEnd::kIn : core::InputEnd::kOpen);
  const BodyStatus status = store();
  if (end) check_cut();
  if (state_ == State::kLeaving || events().waiting_output() > 0 || (end && may_wait_for_end())) stream_.core().defer();
  return status;
}

// A Continue by us, who are stopped, would bring what filters behind us keep along with the end, as if it were new. A
// push says that they have had it.
bool StockFlow::takes_others_along() { return stream_.flag().is_stopped(dir_) && buffer().size() > 0; }

// While the headers' answer is not in, nothing of ours waits for the end; core asks for a turn of its own.
bool StockFlow::may_wait_for_end() const { return headers_may_go_ || behind_.watch().are_gone(); }

// Envoy shows us the end: it is held back no longer.
void StockFlow::see_end() {
  ended_ = true;
  if (chain() != nullptr) chain()->note_end(dir_);
  (void)forget_far_end();
}

TrailersStatus StockFlow::on_trailers() {
  see_end();
  note_behind();
  in_hook_ = true;
  bool stop = true;
  switch (state_) {
    case State::kWithUs: stop = false; break;
    case State::kFinished:
      stop = takes_others_along();
      if (stop) state_ = State::kLeaving;
      break;
    case State::kDropped:
      stop = !stream_.core().is_own_reply(dir_);
      if (stop) clear_trailers();
      break;
    case State::kEnding: break;
    case State::kHeld:
      if (!by_hand_ && !gates(true)) events().on_trailers();
      check_cut();
      break;
    case State::kLeaving:
    case State::kPassing:
      if (gates(true)) {
        state_ = State::kLeaving;
      } else if (events().on_trailers()) {
        state_ = State::kEnding;
        take_kept_back();
        check_cut();
      } else {
        stop = state_ == State::kLeaving || stream_.is_void(dir_);
      }
      break;
  }
  in_hook_ = false;
  if (stop) stream_.core().defer();
  stream_.after_hook(dir_, stop);
  return stop ? TrailersStatus::kStopIteration : TrailersStatus::kContinue;
}

}  // namespace tsf::stock
