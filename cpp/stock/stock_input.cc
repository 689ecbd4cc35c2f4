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
  if (buffer_.size() != buffer_.behind()) kept_at_once_ = false;
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
  if (!watch_.are_gone()) return !keeps_for_headers();
  return is_safe_behind();
}

// Once it exists the buffer gives an empty frame on with bare headers, which a filter behind us takes for a piece of
// the body: the first of what comes before they go is kept in module memory. In the moment the end is waited for: the
// peer is not to be paused.
bool StockFlow::keeps_for_headers() const {
  constexpr size_t kMost = 64 << 10;  // beyond it Envoy's own limit has to pause the peer, which others count on
  const size_t limit = envoy_.buffer_limit();
  if (moment_.is_running()) return Moment::keeps(kept_.size());
  return kept_.size() < (limit == 0 ? kMost : std::min(limit, kMost));
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
  injector_.on_input();
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
