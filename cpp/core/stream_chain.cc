// How one stream shares Envoy's buffer with its siblings:
//  * the buffer has one owner per direction (`unread`); the sibling nearest to the peer goes first, for what it leaves
//    there is what pauses the peer
//  * who may not leave bytes there keeps them in `held`; a sibling with much of it stops those before it from asking
//    their hosts for more
//  * who pushes takes out what a sibling before it has there, and puts it back afterwards
//  * once the end has come in, any filter's continue ends the stream for all that follow it: nobody goes on before the
//    siblings before it are through
#include "core/chain.h"
#include "core/stream.h"

namespace tsf::core {

// Whether the peer's bytes reach `this` before `sibling` in this direction.
bool Stream::before(const Stream& sibling, Dir dir) const {
  return dir == Dir::kRequest ? born_ < sibling.born_ : born_ > sibling.born_;
}

bool Stream::has_siblings() const { return chain_ != nullptr && chain_->streams().size() > 1; }

// A frame that we put into the response ourselves is stopped by siblings before us that are stopped.
bool Stream::rearm_reaches_us() const {
  if (chain_ == nullptr) return true;
  for (const Stream* sibling : chain_->streams())
    if (sibling != this && sibling->before(*this, Dir::kResponse) && sibling->response_.stopped) return false;
  return true;
}

bool Stream::may_leave(Flow& f) {
  if (f.unread) return true;
  if (chain_ == nullptr) return !others_hold(f);
  for (Stream* sibling : chain_->streams()) {
    Flow& theirs = sibling->flow(f.dir);
    if (sibling == this || !theirs.unread) continue;
    if (sibling->before(*this, f.dir)) return false;
    // In a body hook of ours with their bytes in the same buffer object, they cannot be told apart any more.
    if (mount_.received_is_buffered(f.dir)) return false;
    sibling->hold_body(theirs, BodySource::kBuffered);
  }
  return !others_hold(f);
}

// In a body hook: a later filter, not ours, has left bytes in Envoy's buffer.
bool Stream::others_hold(const Flow& f) const {
  return !mount_.received_is_buffered(f.dir) && mount_.body_size(f.dir, BodySource::kBuffered) > 0;
}

// False while a sibling behind us has more input than it can use.
bool Stream::siblings_keep_up(const Flow& f) {
  if (chain_ == nullptr) return true;
  for (Stream* sibling : chain_->streams()) {
    const Flow& theirs = sibling->flow(f.dir);
    if (sibling == this || !before(*sibling, f.dir)) continue;
    // Others do not shrink what they hold: they need all of it, or wait for us.
    if (theirs.state != State::kStream && theirs.state != State::kAsked) continue;
    if (theirs.held.size() >= config_->settings.stream_window) return false;
  }
  return true;
}

// False while a sibling before us holds the end back.
bool Stream::siblings_are_through(const Flow& f) const {
  if (chain_ == nullptr) return true;
  for (Stream* sibling : chain_->streams()) {
    const Flow& theirs = sibling->flow(f.dir);
    if (sibling == this || !sibling->before(*this, f.dir) || !theirs.input_ended) continue;
    if (theirs.release_wanted || sibling->waits_for_host(theirs) || theirs.state == State::kEnding) return false;
  }
  return true;
}

// The end has come in at a sibling before us and not here: a filter between us, not ours, gives it out later. Envoy has
// seen it, so that a continue of ours would end the stream here and now.
bool Stream::end_is_held_before(const Flow& f) const {
  if (chain_ == nullptr || f.input_ended) return false;
  for (Stream* sibling : chain_->streams())
    if (sibling != this && sibling->before(*this, f.dir) && sibling->flow(f.dir).input_ended) return true;
  return false;
}

void Stream::wake_siblings(const Flow& f) {
  if (chain_ == nullptr) return;
  for (Stream* sibling : chain_->streams()) {
    if (sibling == this || !sibling->before(*this, f.dir)) continue;
    const Flow& theirs = sibling->flow(f.dir);
    if (theirs.unread || !theirs.held.empty()) sibling->worker_.defer(sibling->id_);
  }
}

// The sibling before us whose bytes lie in Envoy's buffer.
Stream* Stream::owner_before(const Flow& f) {
  if (chain_ == nullptr) return nullptr;
  for (Stream* sibling : chain_->streams())
    if (sibling != this && sibling->before(*this, f.dir) && sibling->flow(f.dir).unread) return sibling;
  return nullptr;
}

// Takes a body out of Envoy.
std::string Stream::take_body(Dir dir, BodySource source) {
  std::vector<Bytes> chunks;
  std::string bytes;
  const size_t total = mount_.body_size(dir, source);
  if (total == 0 || !mount_.body_chunks(dir, source, chunks)) return bytes;
  bytes.reserve(total);
  for (const auto& chunk : chunks) bytes.append(chunk.ptr, chunk.length);
  mount_.drain_body(dir, source, total);
  return bytes;
}

// After somebody's push: our bytes go back, or to module memory when the buffer has another owner now.
void Stream::put_unread_back(Dir dir, const std::string& bytes) {
  if (dead_) return;
  Flow& f = flow(dir);
  if (mount_.body_size(dir, BodySource::kBuffered) == 0) {
    mount_.append_body(dir, BodySource::kBuffered, bytes);
    return;
  }
  f.unread = false;
  grow(f.held, bytes);
  worker_.defer(id_);
}

// In a body hook inside a sibling's push: the chunk begins with `foreign` bytes that have passed us already.
void Stream::take_pushed(Flow& f, size_t foreign) {
  if (mount_.body_size(f.dir, BodySource::kReceived) <= foreign) return;
  const std::string bytes = take_body(f.dir, BodySource::kReceived);
  mount_.append_body(f.dir, BodySource::kReceived, std::string_view(bytes).substr(0, foreign));
  if (f.state != State::kEnding) grow(f.held, std::string_view(bytes).substr(foreign));
}

}  // namespace tsf::core
