#include "stock/held_input.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace tsf::stock {

void HeldInput::keep_all_received(size_t length) {
  if (length == 0) return;
  std::vector<core::Bytes> chunks;
  if (envoy_.body_chunks(dir_, BodySource::kReceived, chunks))
    for (const auto& chunk : chunks) kept_.append({chunk.ptr, chunk.length});
  envoy_.drain_body(dir_, BodySource::kReceived, length);
}

void HeldInput::keep_received_behind(size_t first) {
  if (first == 0) return keep_received();
  if (received() <= first) return;
  const std::string bytes = envoy_.take_body(dir_, BodySource::kReceived);
  envoy_.append_body(dir_, BodySource::kReceived, std::string_view(bytes).substr(0, first));
  kept_.append(std::string_view(bytes).substr(first));
}

core::FlowMount::Input HeldInput::read(std::vector<core::Bytes>& pieces) {
  pieces.clear();
  const bool more_received = is_chunk_open_ && received() > 0;
  if (!kept_.empty()) {
    source_ = Source::kKept;
    kept_.each([&](std::string_view piece) { pieces.push_back({piece.data(), piece.size()}); });
    return {kept_.size(), !buffer_.is_ours() && !more_received};
  }
  if (buffer_.is_ours()) {
    source_ = Source::kShared;
    if (!envoy_.body_chunks(dir_, BodySource::kBuffered, pieces)) return {};
    buffer_.trim_to_ours(pieces);
    return {buffer_.ours(), !more_received};
  }
  source_ = Source::kReceived;
  if (!more_received || !envoy_.body_chunks(dir_, BodySource::kReceived, pieces)) return {};
  return {received(), true};
}

void HeldInput::take(size_t length) {
  switch (source_) {
    case Source::kReceived: envoy_.drain_body(dir_, BodySource::kReceived, length); return;
    case Source::kShared:
      envoy_.drain_body(dir_, BodySource::kBuffered, length);
      buffer_.took(length);
      return;
    case Source::kKept: break;
  }
  while (length > 0) {
    const size_t n = std::min(length, kept_.front().size());
    kept_.pop(n);
    length -= n;
  }
}

}  // namespace tsf::stock
