#include "stock/observing_stream.h"

#include <algorithm>
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
  if (dir == Dir::kRequest || !is_codec_error_) core_.on_headers(dir, end);
}

void ObservingStream::on_body(Dir dir, bool end) {
  thread_local std::vector<core::Bytes> pieces;
  pieces.clear();
  const size_t length = envoy_.body_size(dir, BodySource::kReceived);
  const auto again = shown_again(dir, length);
  if (!again) return core_.on_unclear();
  if (length > 0 && !envoy_.body_chunks(dir, BodySource::kReceived, pieces)) return core_.on_unclear();
  size_t skip = *again;
  for (core::Bytes& piece : pieces) {
    const size_t n = std::min(skip, piece.length);
    piece = {piece.ptr + n, piece.length - n};
    skip -= n;
  }
  has_body_passed_[static_cast<size_t>(dir)] |= length > 0;
  core_.on_body(dir, pieces, end);
}

// Where somebody before us goes on with all that lies in the shared buffer, the chunk is that buffer: also what a
// filter behind us keeps of what has gone by. One of ours says how much that is; of others it is known while nothing
// has.
std::optional<size_t> ObservingStream::shown_again(Dir dir, size_t length) const {
  if (length == 0 || !envoy_.received_is_buffered(dir)) return 0;
  const Chain* const chain = place_.chain();
  if (chain != nullptr && !chain->is_empty()) return std::min(length, chain->pushed_over(dir));
  if (has_body_passed_[static_cast<size_t>(dir)]) return std::nullopt;
  return 0;
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
