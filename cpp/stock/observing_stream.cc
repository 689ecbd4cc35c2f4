#include "stock/observing_stream.h"

#include <vector>

namespace tsf::stock {

void ObservingStream::on_new() {
  Chain::Entry entry;
  entry.config = &core_.config();
  entry.flows = {&flows_[0], &flows_[1]};
  entry.listener = &core_;
  entry.observes = true;
  place_.take(envoy_, entry, core_.log_phases());
}

void ObservingStream::on_headers(Dir dir, bool end) {
  has_body_passed_[static_cast<size_t>(dir)] = false;
  if (end && is_cut(dir)) return core_.on_unclear();
  if (dir == Dir::kRequest || !is_codec_error_) core_.on_headers(dir, end);
}

void ObservingStream::on_body(Dir dir, bool end) {
  thread_local std::vector<core::Bytes> pieces;
  pieces.clear();
  const size_t length = envoy_.body_size(dir, BodySource::kReceived);
  if (may_be_shown_again(dir, length) || (end && is_cut(dir))) return core_.on_unclear();
  if (length > 0 && !envoy_.body_chunks(dir, BodySource::kReceived, pieces)) return core_.on_unclear();
  has_body_passed_[static_cast<size_t>(dir)] |= length > 0;
  core_.on_body(dir, pieces, end);
}

void ObservingStream::on_trailers(Dir dir) {
  if (is_cut(dir)) return core_.on_unclear();
  core_.on_trailers(dir);
}

// Where somebody before us goes on with all that lies in the shared buffer, the chunk is that buffer, with what filters
// behind us keep of what has gone by. Nobody says how much that is, but one of ours whose push lay alone there.
bool ObservingStream::may_be_shown_again(Dir dir, size_t length) const {
  if (length == 0 || !has_body_passed_[static_cast<size_t>(dir)] || !envoy_.received_is_buffered(dir)) return false;
  const Chain* const chain = place_.chain();
  return chain == nullptr || !chain->is_pushing(dir) || chain->pushed_over(dir) > 0;
}

bool ObservingStream::is_cut(Dir dir) const {
  const Chain* const chain = place_.chain();
  return chain != nullptr && chain->open_before(flows_[static_cast<size_t>(dir)], dir) != nullptr;
}

void ObservingStream::on_local_reply(std::string_view details) {
  constexpr std::string_view kOfCodec = "http1.";
  if (details.starts_with(kOfCodec)) is_codec_error_ = true;
}

void ObservingStream::on_destroy() {
  core_.on_destroy();
  place_.leave();
}

}  // namespace tsf::stock
