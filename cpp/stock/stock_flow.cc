#include "stock/stock_flow.h"

#include <algorithm>

#include "core/failure.h"
#include "stock/edge.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

StockFlow::StockFlow(StockStream& stream, Envoy& envoy, core::MemoryCount& memory, Dir dir)
    : stream_(stream),
      envoy_(envoy),
      dir_(dir),
      buffer_(envoy, dir),
      watch_(envoy, dir),
      buffering_(envoy, dir),
      mark_(envoy, dir),
      kept_(memory),
      lead_(memory) {}

core::FlowEvents& StockFlow::events() { return stream_.core().flow(dir_); }
Chain* StockFlow::chain() const { return stream_.chain(); }
bool StockFlow::waits_for_trailers() const {
  return phase_ == Phase::kPassing && stream_.core().flow(dir_).hears_trailers();
}
void StockFlow::wake() { stream_.core().defer(); }

bool StockFlow::is_full() const {
  return phase_ == Phase::kHeld && kept_.size() >= stream_.core().settings().stream_window;
}

// An edge behind every filter of this direction keeps whoever ends the message early from cutting it.
bool StockFlow::gate_ahead() const { return chain() != nullptr && chain()->gate(dir_) != nullptr; }

void StockFlow::forget() {
  kept_.clear();
  lead_.clear();
}

// ---- hooks ----

// The message of one before us was ended by a filter in between: we hold it, and take the rest by hand.
bool StockFlow::gates(bool end) {
  if (!end || chain() == nullptr) return false;
  Neighbour* before = chain()->open_before(*this, dir_);
  if (before == nullptr) return false;
  by_hand_ = true;
  before->divert_to(*this);
  return true;
}

HeadersStatus StockFlow::on_headers(bool end) {
  ended_ = end;
  core::Stream& core = stream_.core();
  bool stop;
  if (core.has_replied()) {
    stop = !core.is_own_reply(dir_);
  } else if (stream_.must_pass_unseen(dir_)) {
    core.pass_unseen(dir_, end);
    phase_ = Phase::kPassing;
    stop = false;
  } else {
    in_hook_ = true;
    stop = hold_headers(end);
    in_hook_ = false;
  }
  if (!stop) watch_.let_go();
  stream_.after_hook(dir_, stop);
  return stop ? HeadersStatus::kStopIteration : HeadersStatus::kContinue;
}

bool StockFlow::hold_headers(bool end) {
  const bool gate = gates(end);
  if (stream_.core().on_headers(dir_, end && !gate) == core::Stream::OnHeaders::kHold) {
    phase_ = Phase::kHeld;
    if (!end) start_moment();
    return true;
  }
  // Trailers that the host is to see must not be cut off either.
  until_trailers_ = !end && events().hears_trailers() && !gate_ahead();
  phase_ = gate || until_trailers_ || stream_.request_needs_flag(dir_) ? Phase::kLeaving : Phase::kPassing;
  if (until_trailers_) {
    start_moment();
    time_moment();
  }
  if (phase_ == Phase::kLeaving) stream_.core().defer();
  return phase_ == Phase::kLeaving;
}

BodyStatus StockFlow::on_body(bool end) {
  if (stream_.pumped() != nullptr && dir_ == Dir::kResponse) return on_pump_frame();
  if (end) see_end();
  in_hook_ = received_ = true;
  far_end_.saw(received());
  const BodyStatus status = body_status(end);
  in_hook_ = received_ = false;
  stream_.after_hook(dir_, status != BodyStatus::kContinue);
  return status;
}

// An empty frame of ours, which grants another continue to the one it is for.
BodyStatus StockFlow::on_pump_frame() {
  const bool is_for_us = stream_.pumped() == this;
  if (is_for_us && frame_ != nullptr) {
    keep_added();
    frame_->each([&](std::string_view piece) { envoy_.append_body(dir_, BodySource::kReceived, piece); });
    frame_->clear();
    stream_.set_pumped(nullptr);  // for those behind us it is a frame as any other
    stream_.flag().on_hook(dir_, false);
    return BodyStatus::kContinue;
  }
  // A Continue of one that is stopped would take along what lies in the shared buffer. A filter before us may have
  // added bytes to the frame.
  const bool stays = is_open() && (!watch_.are_gone() || (stream_.flag().is_stopped(dir_) && buffer_.size() > 0));
  if (is_for_us || stays) {
    keep_added();
    stream_.flag().on_hook(dir_, true);
    return BodyStatus::kStopIterationNoBuffer;
  }
  stream_.flag().on_hook(dir_, false);
  return BodyStatus::kContinue;
}

BodyStatus StockFlow::body_status(bool end) {
  switch (phase_) {
    case Phase::kHeld:
    case Phase::kLeaving:
    case Phase::kEnding: return hold_body(end);
    case Phase::kDropped:
      if (stream_.core().is_own_reply(dir_)) return BodyStatus::kContinue;
      drain_received();
      return BodyStatus::kStopIterationNoBuffer;
    case Phase::kFinished:
      // A filter before us has added bytes to an end that we have given already; or it shows what others keep again.
      if (received() == 0 || received() == shown_again(false)) return BodyStatus::kContinue;
      drain_received();
      phase_ = Phase::kDropped;
      events().on_cut();
      return BodyStatus::kStopIterationNoBuffer;
    case Phase::kWithUs:
    case Phase::kPassing: break;
  }
  if (gates(end) || (!end && stream_.request_needs_flag(dir_))) {
    phase_ = Phase::kLeaving;
    return hold_body(end);
  }
  if (!stream_.is_void(dir_)) return BodyStatus::kContinue;
  drain_received();
  return BodyStatus::kStopIterationNoBuffer;
}

BodyStatus StockFlow::hold_body(bool end) {
  note_behind();
  const bool gate = by_hand_ || gates(end);
  check_theft();
  const size_t again = shown_again(buffer_.is_ours());
  if (envoy_.received_is_buffered(dir_)) buffer_.give();  // all that lies there has come to us now
  if (!take_pushed_over(again)) {
    stream_.core().defer();
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (phase_ == Phase::kHeld) events().on_input(end && !gate ? core::InputEnd::kIn : core::InputEnd::kOpen);
  const BodyStatus status = store();
  if (end) check_cut();
  // This Stop allows what may have waited for it.
  if (phase_ == Phase::kLeaving || events().waiting_output() > 0 || end) stream_.core().defer();
  return status;
}

// Envoy shows us the end: it is held back no longer.
void StockFlow::see_end() {
  ended_ = true;
  (void)forget_far_end();
}

TrailersStatus StockFlow::on_trailers() {
  see_end();
  note_behind();
  in_hook_ = true;
  bool stop = true;
  switch (phase_) {
    case Phase::kWithUs:
    case Phase::kFinished: stop = false; break;
    case Phase::kDropped: stop = !stream_.core().is_own_reply(dir_); break;
    case Phase::kEnding: break;
    case Phase::kHeld:
      if (!by_hand_ && !gates(true)) events().on_trailers();
      check_cut();
      break;
    case Phase::kLeaving:
    case Phase::kPassing:
      if (gates(true)) {
        phase_ = Phase::kLeaving;
      } else if (events().on_trailers()) {
        phase_ = Phase::kEnding;
        check_cut();
      } else {
        stop = phase_ == Phase::kLeaving || stream_.is_void(dir_);
      }
      break;
  }
  in_hook_ = false;
  if (stop) stream_.core().defer();
  stream_.after_hook(dir_, stop);
  return stop ? TrailersStatus::kStopIteration : TrailersStatus::kContinue;
}

// ---- cut by others ----

// Without an edge: the end has come in while a filter behind us has the message stopped, so that it may end the
// message when it goes on.
void StockFlow::check_cut() {
  if (by_hand_ || diverted_ != nullptr || gate_ahead() || !is_open() || !watch_.are_gone()) return;
  if (buffering_.is_gathered_behind()) return;  // it waits for our end
  // One of ours behind is the gate then.
  if (chain() != nullptr && chain()->are_headers_held_behind(*this, dir_)) return;
  if (watch_.are_held()) return mark_.set();
  const bool is_siblings = chain() != nullptr && chain()->has_owner(dir_);
  const size_t behind = envoy_.received_is_buffered(dir_) || is_siblings ? 0 : buffer_.foreign();
  const bool is_routers = dir_ == Dir::kRequest && behind == buffering_.emitted();
  if (behind > 0 && !is_routers && watch_.are_through()) events().on_cut();
}

// In a hook: filters before us have let go of all they kept. What lies there is of those behind us.
void StockFlow::note_behind() {
  if (!buffer_.is_ours() && !envoy_.received_is_buffered(dir_)) note_buffer();
}

void StockFlow::note_buffer() {
  buffer_.after_push();
  const EdgeFilter* const gate = chain() != nullptr ? chain()->gate(dir_) : nullptr;
  passed_gate_ = gate != nullptr ? gate->passed(dir_) : 0;
}

// Of a chunk that is the shared buffer itself: its first bytes are what filters behind us keep, which has passed us
// already. Somebody before us has gone on with all that lies there.
size_t StockFlow::shown_again(bool was_ours) {
  if (chain() != nullptr && chain()->has_siblings()) return std::min(received(), chain()->pushed_over(dir_));
  if (was_ours || buffer_.behind() == 0 || !envoy_.received_is_buffered(dir_)) return 0;
  if (!gate_ahead()) {
    // Whether it still lies there is not known.
    events().on_cut();
    return 0;
  }
  const uint64_t gone = chain()->gate(dir_)->passed(dir_) - passed_gate_;
  return gone < buffer_.behind() ? std::min(received(), buffer_.behind() - static_cast<size_t>(gone)) : 0;
}

// A filter behind us has flushed the shared buffer with input of ours in it.
void StockFlow::check_theft() {
  if (!buffer_.is_stolen() || envoy_.received_is_buffered(dir_)) return;
  buffer_.give();
  events().on_cut();
}

// ---- input ----

void StockFlow::keep_received() {
  const size_t length = received();
  if (length == 0) return;
  std::vector<core::Bytes> chunks;
  if (envoy_.body_chunks(dir_, BodySource::kReceived, chunks))
    for (const auto& chunk : chunks) kept_.append({chunk.ptr, chunk.length});
  drain_received();
}

void StockFlow::drain_received() { envoy_.drain_body(dir_, BodySource::kReceived, received()); }

// What a filter before us has added to a frame of ours.
void StockFlow::keep_added() {
  const size_t again = shown_again(buffer_.is_ours());
  if (envoy_.received_is_buffered(dir_)) buffer_.give();
  far_end_.saw(received() - again);
  keep_behind(again);
}

// The chunk, but for its first bytes, which stay where they are.
void StockFlow::keep_behind(size_t first) {
  if (first == 0) return keep_received();
  if (received() <= first) return;
  const std::string bytes = envoy_.take_body(dir_, BodySource::kReceived);
  envoy_.append_body(dir_, BodySource::kReceived, std::string_view(bytes).substr(0, first));
  kept_.append(std::string_view(bytes).substr(first));
}

// What the core has not taken of the chunk.
BodyStatus StockFlow::store() {
  const size_t length = received();
  if (length == 0) {
    if (ended_ && buffer_.is_ours()) keep_input();
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (may_leave()) {
    buffer_.leave(length);
    return BodyStatus::kStopIterationAndWatermark;
  }
  if (buffer_.is_ours()) keep_input();
  keep_received();
  const core::Settings& settings = stream_.core().settings();
  // Only where Envoy's buffer, which would have paused the peer, is not ours to use.
  if (kept_.size() > settings.max_pending_output + settings.max_body_bytes) {
    kept_.clear();
    stream_.core().fail_later(core::kOutputLimit);
  }
  return BodyStatus::kStopIterationNoBuffer;
}

// Whether input may lie in the shared buffer, where it pauses the peer: nobody else's is there, and nobody behind us
// can flush it.
bool StockFlow::may_leave() {
  if (ended_) return false;
  const bool is_shared_itself = envoy_.received_is_buffered(dir_);
  if (chain() != nullptr && !buffer_.is_ours()) {
    if (chain()->owner_before(*this, dir_) != nullptr) return false;
    if (Neighbour* behind = chain()->owner_behind(*this, dir_)) {
      // In one buffer object their bytes and these cannot be told apart any more.
      if (is_shared_itself) return false;
      behind->keep_input();
    }
  }
  if (!is_shared_itself && buffer_.foreign() > 0) return false;
  // In the moment the end is waited for: the peer is not to be paused.
  if (!watch_.are_gone()) return !moment_.is_running() || !Moment::keeps(kept_.size());
  return is_safe_behind();
}

// No filter behind us has the message stopped, as far as that can be known.
bool StockFlow::is_safe_behind() {
  if (!watch_.are_gone()) return true;
  return gate_ahead() ? path_clear_ : !watch_.are_held();
}

// The chunk begins with so many bytes that have passed us already. False: the rest of it is kept.
bool StockFlow::take_pushed_over(size_t again) {
  const size_t foreign = buffer_.is_ours() ? 0 : std::min(again, buffer_.behind());
  if (foreign == 0) return true;
  keep_behind(foreign);
  received_ = false;
  if (phase_ == Phase::kHeld) events().on_input(ended_ && !by_hand_ ? core::InputEnd::kIn : core::InputEnd::kOpen);
  return false;
}

core::FlowMount::Input StockFlow::input(std::vector<core::Bytes>& pieces) {
  pieces.clear();
  if (phase_ != Phase::kHeld) return {};
  if (chain() != nullptr && chain()->is_full_behind(*this, dir_)) return {0, false};
  const bool more_received = received_ && received() > 0;
  if (!kept_.empty()) {
    source_ = Source::kKept;
    kept_.each([&](std::string_view piece) { pieces.push_back({piece.data(), piece.size()}); });
    return {kept_.size(), !buffer_.is_ours() && !more_received};
  }
  if (buffer_.is_ours()) {
    if (stream_.in_hook(core::other(dir_))) return {0, false};
    check_theft();
    source_ = Source::kShared;
    if (!buffer_.is_ours() || !envoy_.body_chunks(dir_, BodySource::kBuffered, pieces)) return {};
    buffer_.keep_ours(pieces);
    return {buffer_.ours(), !more_received};
  }
  source_ = Source::kReceived;
  if (!more_received || !envoy_.body_chunks(dir_, BodySource::kReceived, pieces)) return {};
  return {received(), true};
}

void StockFlow::take(size_t length) {
  if (length == 0) return;
  switch (source_) {
    case Source::kReceived: envoy_.drain_body(dir_, BodySource::kReceived, length); return;
    case Source::kShared:
      envoy_.drain_body(dir_, BodySource::kBuffered, length);
      buffer_.took(length);
      return;
    case Source::kKept: break;
  }
  const bool was_full = is_full();
  while (length > 0) {
    const size_t n = std::min(length, kept_.front().size());
    kept_.pop(n);
    length -= n;
  }
  if (was_full && !is_full() && chain() != nullptr) chain()->wake_before(*this, dir_);
}

void StockFlow::keep_input() { kept_.append(buffer_.take_ours()); }

// After somebody's push: back to where they were, or to module memory when others' bytes lie there now.
void StockFlow::unpark(const std::string& bytes) {
  if (stream_.core().is_over() || bytes.empty()) return;
  if (buffer_.size() == 0 && is_open() && is_safe_behind()) {
    buffer_.put_ours(bytes);
  } else {
    kept_.append(bytes);
    wake();
  }
}

// ---- by hand ----

void StockFlow::divert_to(Neighbour& next) {
  diverted_ = &next;
  wake();
}

void StockFlow::accept(core::ByteQueue& bytes, core::InputEnd end) {
  kept_.take(bytes);
  if (end != core::InputEnd::kOpen) by_hand_ = false;
  if (phase_ == Phase::kHeld) {
    events().on_input(end);
    if (end == core::InputEnd::kInBeforeTrailers) events().on_trailers();
  } else if (phase_ == Phase::kLeaving && end == core::InputEnd::kInBeforeTrailers && events().on_trailers()) {
    phase_ = Phase::kEnding;
  }
  wake();
}

}  // namespace tsf::stock
