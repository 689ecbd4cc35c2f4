// What goes to the host: header maps, body, ends, in the order in which Envoy gave them. Everything here can be called
// again at any time and goes on where the ring was full.
#include <cstring>

#include "core/http_rules.h"
#include "core/stream.h"

namespace tsf::core {
namespace {

// Of a frame in the ring: the record's header and what fills up to the next one.
constexpr size_t kFrameOverhead = shm::record_size(0) + 7;

void append_number(std::string& out, uint32_t n) { out.append(reinterpret_cast<const char*>(&n), sizeof n); }

void append_attribute(std::string& out, const std::optional<Attribute>& value) {
  if (!value) return append_number(out, UINT32_MAX);
  const std::string bytes = bytes_of(*value);
  append_number(out, static_cast<uint32_t>(bytes.size()));
  out.append(bytes);
}

std::byte* put(std::byte* at, const void* bytes, size_t length) {
  if (length > 0) std::memcpy(at, bytes, length);
  return at + length;
}

std::byte* put_line(std::byte* at, const HeaderLine& line) {
  const uint32_t lengths[2] = {static_cast<uint32_t>(line.name_length), static_cast<uint32_t>(line.value_length)};
  at = put(at, lengths, sizeof lengths);
  at = put(at, line.name_ptr, line.name_length);
  return put(at, line.value_ptr, line.value_length);
}

size_t size_of(const HeaderLine& line) { return 2 * sizeof(uint32_t) + line.name_length + line.value_length; }

}  // namespace

void Stream::wait_for_room() {
  if (waiting_for_room_) return;
  waiting_for_room_ = true;
  channel_->waiters().push_back(id_);
}

void Stream::send_waiting() {
  if (!begun_ || dead_ || replied_ || !channel_ || channel_->lost()) return;
  for (const Dir dir : {Dir::kRequest, Dir::kResponse})
    if (!send_waiting(flow(dir))) return wait_for_room();
}

// False: the ring is full.
bool Stream::send_waiting(Flow& f) {
  if (f.headers_pending) {
    if (context_pending_) {
      if (!send_headers(context_cursor_, HeaderType::kRequest, wire::HeadersFlag_Context)) return false;
      context_pending_ = false;
    }
    if (!send_headers(f.header_cursor, headers_of(f.dir), f.headers_only ? wire::HeadersFlag_EndStream : 0))
      return false;
    f.headers_pending = false;
  }
  if (f.state == State::kStream) {
    if (!siblings_keep_up(f)) return true;
    const bool was_full = f.held.size() >= config_->settings.stream_window;
    if (!send_held(f, config_->settings.stream_window)) return false;
    if (was_full && f.held.size() < config_->settings.stream_window) wake_siblings(f);
    while (f.unread && !in_hook() && f.held.empty() && f.outstanding < config_->settings.stream_window) {
      if (!send_envoy_body(f, BodySource::kBuffered)) return false;
      f.unread = mount_.body_size(f.dir, BodySource::kBuffered) > 0;
    }
  } else if (f.state == State::kWhole && f.too_large) {
    return f.end_told || send_data(f, {}, true);
  } else if (f.state == State::kWhole) {
    if (f.unread && !in_hook() && !hold_body(f, BodySource::kBuffered)) return true;
    if (f.input_ended && !send_held(f, UINT64_MAX)) return false;
  }
  const bool body_told = f.held.empty() && !f.unread;
  const bool body_hosted = f.state == State::kStream || f.state == State::kWhole;
  if (f.hosted && f.input_ended && !f.end_told && (f.state == State::kEnding || (body_hosted && body_told))) {
    if (!send_data(f, {}, true)) return false;
  }
  if (f.trailers_seen && !f.trailers_told && wants_trailers(f) &&
      (f.state == State::kEnding || (body_hosted && f.end_told))) {
    if (!send_headers(f.header_cursor, trailers_of(f.dir), 0)) return false;
    f.trailers_told = true;
    time_trailers(f);
  }
  return true;
}

// Writes the map in as many frames as it takes; `cursor` counts the lines that are written.
bool Stream::send_headers(uint32_t& cursor, HeaderType type, uint8_t flags) {
  thread_local std::vector<HeaderLine> lines;
  thread_local std::string attributes;
  const auto& shape = frame_templates().headers;
  const size_t room = channel_->max_payload() - shape.size();
  mount_.headers(type, lines);
  if (cursor == 0 && (flags & wire::HeadersFlag_Log) == 0) {
    size_t total = 0;
    size_t largest = 0;
    for (const auto& line : lines) {
      total += size_of(line);
      largest = std::max(largest, size_of(line));
    }
    if (total > config_->settings.max_header_bytes || largest > room / 2) {
      if (type == HeaderType::kRequest) {
        fail_later({431, 8, "ts_filter_headers_too_large"});
      } else {
        fail_later({502, 13, "ts_filter_headers_too_large"});
      }
      return true;
    }
  }
  do {
    attributes.clear();
    const bool start = !start_told_;
    if (start) pack_attributes(attributes, nullptr);
    size_t bytes = attributes.size();
    if (bytes > room / 2) {
      fail_later({431, 8, "ts_filter_headers_too_large"});
      return true;
    }
    size_t end = cursor;
    while (end < lines.size() && bytes + size_of(lines[end]) <= room) bytes += size_of(lines[end++]);
    const auto slot = channel_->claim(wire::FrameKind_Headers, static_cast<uint32_t>(shape.size() + bytes));
    if (slot.data() == nullptr) return false;
    uint8_t frame_flags = flags;
    if (start) {
      grpc_ = is_grpc();  // nothing of ours has changed the request yet
      frame_flags |= wire::HeadersFlag_Start | (grpc_ ? wire::HeadersFlag_Grpc : 0);
    }
    if (upgrade_) frame_flags |= wire::HeadersFlag_Upgrade;
    if (end < lines.size()) frame_flags |= wire::HeadersFlag_More;
    auto* frame = shape.place(slot.data());
    frame->mutate_stream(id_.slot);
    frame->mutate_generation(id_.generation);
    frame->mutate_type(static_cast<wire::HeaderType>(type));
    frame->mutate_flags(frame_flags);
    frame->mutate_count(static_cast<uint32_t>(end - cursor));
    if (start) {
      frame->mutate_config(config_->judged->id());
      frame->mutate_route_config(judged_route_ ? judged_route_->id() : 0);
      frame->mutate_attributes_length(static_cast<uint32_t>(attributes.size()));
      frame->mutate_attempt(1);
      frame->mutate_worker(worker_.index());
    }
    std::byte* at = shape.tail(slot.data(), static_cast<uint32_t>(bytes));
    at = put(at, attributes.data(), attributes.size());
    for (size_t i = cursor; i < end; ++i) at = put_line(at, lines[i]);
    channel_->commit(static_cast<uint32_t>(slot.size()));
    start_told_ = true;
    cursor = static_cast<uint32_t>(end);
  } while (cursor < lines.size());
  cursor = 0;
  worker_.publish(*channel_);
  return true;
}

bool Stream::send_data(Flow& f, std::string_view bytes, bool last) {
  const auto& shape = frame_templates().data;
  const auto slot = channel_->claim(wire::FrameKind_Data, static_cast<uint32_t>(shape.size() + bytes.size()));
  if (slot.data() == nullptr) return false;
  uint8_t flags = 0;
  if (last) flags |= wire::DataFlag_Last | (f.trailers_seen ? wire::DataFlag_Trailers : 0);
  if (f.fresh) flags |= wire::DataFlag_Fresh;
  if (f.too_large) flags |= wire::DataFlag_TooLarge;
  auto* frame = shape.place(slot.data());
  frame->mutate_stream(id_.slot);
  frame->mutate_generation(id_.generation);
  frame->mutate_direction(static_cast<wire::Direction>(f.dir));
  frame->mutate_flags(flags);
  put(shape.tail(slot.data(), static_cast<uint32_t>(bytes.size())), bytes.data(), bytes.size());
  channel_->commit(static_cast<uint32_t>(slot.size()));
  f.fresh = false;
  f.end_told = last;
  f.outstanding += bytes.size();
  worker_.publish(*channel_);
  return true;
}

// From module memory, up to `limit` outstanding bytes. False: the ring is full.
bool Stream::send_held(Flow& f, uint64_t limit) {
  const uint32_t piece = std::min(Channel::kMaxBody, channel_->max_payload() / 2);
  while (!f.held.empty() && f.outstanding < limit) {
    const auto bytes = f.held.front().substr(0, std::min<uint64_t>(piece, limit - f.outstanding));
    const bool last = f.input_ended && !f.unread && bytes.size() == f.held.size();
    if (!send_data(f, bytes, last)) return false;
    shrink(f.held, bytes.size());
  }
  return true;
}

// From Envoy's memory straight into the ring, within the window; what was copied is drained. False: the ring is full.
bool Stream::send_envoy_body(Flow& f, BodySource source) {
  thread_local std::vector<Bytes> chunks;
  const uint64_t window = config_->settings.stream_window;
  const uint32_t piece = std::min(Channel::kMaxBody, channel_->max_payload() / 2);
  const size_t total = mount_.body_size(f.dir, source);
  if (total == 0 || !mount_.body_chunks(f.dir, source, chunks)) return true;
  size_t sent = 0;
  bool room = true;
  for (const auto& chunk : chunks) {
    std::string_view rest{chunk.ptr, chunk.length};
    while (room && !rest.empty() && f.outstanding < window) {
      const auto bytes = rest.substr(0, std::min<uint64_t>(piece, window - f.outstanding));
      const bool last = f.input_ended && sent + bytes.size() == total;
      room = send_data(f, bytes, last);
      if (!room) break;
      sent += bytes.size();
      rest.remove_prefix(bytes.size());
    }
    if (!rest.empty()) break;
  }
  if (sent > 0) mount_.drain_body(f.dir, source, sent);
  return room;
}

// Moves Envoy's bytes to module memory. False: over max_body_bytes of a whole body; the stream fails.
bool Stream::hold_body(Flow& f, BodySource source) {
  thread_local std::vector<Bytes> chunks;
  const size_t total = mount_.body_size(f.dir, source);
  if (source == BodySource::kBuffered) f.unread = false;
  const uint64_t limit = config_->settings.max_body_bytes;
  const bool over = f.state == State::kWhole && (f.too_large || f.held.size() + f.outstanding + total > limit);
  if (!over && total > 0 && mount_.body_chunks(f.dir, source, chunks)) {
    for (const auto& chunk : chunks) {
      grow(f.held, {chunk.ptr, chunk.length});
      if (f.state == State::kWhole && failure_mode() == FailureMode::kOpen) grow(f.original, {chunk.ptr, chunk.length});
    }
  }
  if (total > 0) mount_.drain_body(f.dir, source, total);
  if (!over) {
    if (f.held.size() <= config_->settings.max_pending_output + limit) return true;
    // Only where another filter keeps Envoy's buffer from us, which would have paused the peer.
    fail_later(kOutputLimit);
    return false;
  }
  body_too_large(f);
  return false;
}

void Stream::body_too_large(Flow& f) {
  if (f.dir == Dir::kResponse) return fail_later({500, 8, "ts_filter_body_too_large", "Internal Server Error", true});
  constexpr uint32_t kEncodePhases =
      wire::Phase_EncodeHeaders | wire::Phase_EncodeData | wire::Phase_EncodeTrailers | wire::Phase_TransformResponse;
  if ((phases_ & kEncodePhases) == 0 || !channel_ || channel_->lost()) return fail_later(kRequestTooLarge);
  if (f.too_large) return;
  // A reply of ours would pass the filter's own encode hooks by; the host runs them on it.
  f.too_large = true;
  clear(f.held);
  clear(f.original);
  start_timer(f);
  send_waiting();
}

void Stream::pack_attributes(std::string& out, const LogSource* source) const {
  for (const uint32_t id : config_->judged->verdict()->attributes) {
    std::optional<Attribute> value;
    if (source == nullptr || !source->attribute(id, value)) value = mount_.attribute(id);
    append_attribute(out, value);
  }
}

// The maps as they are now, for a log hook with so many bytes of attributes: all of them or none. False: there was no
// room, and the event is lost, for nothing can wait here.
bool Stream::send_log_headers(size_t attributes) {
  thread_local std::vector<HeaderLine> lines;
  constexpr HeaderType kTypes[] = {HeaderType::kRequest, HeaderType::kRequestTrailers, HeaderType::kResponse,
                                   HeaderType::kResponseTrailers};
  const size_t frame = channel_->max_payload() - frame_templates().headers.size();
  if (attributes > frame / 2) return false;
  size_t largest = frame_templates().log_run.size() + attributes + kFrameOverhead;
  size_t total = largest;
  for (const HeaderType type : kTypes) {
    if (!mount_.headers(type, lines)) continue;
    size_t bytes = start_told_ ? 0 : attributes;
    for (const auto& line : lines) {
      if (size_of(line) > frame / 2) return false;
      bytes += size_of(line);
    }
    // A frame is at least half full before the next one is begun.
    const size_t each = frame_templates().headers.size() + kFrameOverhead;
    total += bytes + (bytes / (frame / 2) + 1) * each;
    largest = std::max(largest, std::min(bytes, frame) + each);
  }
  // Where the ring wraps, up to the largest frame's length stays empty.
  if (channel_->room() < total + largest) return false;
  for (const HeaderType type : kTypes) {
    uint32_t cursor = 0;
    if (mount_.headers(type, lines) && !send_headers(cursor, type, wire::HeadersFlag_Log)) return false;
  }
  return start_told_;
}

void Stream::send_log_run(wire::LogKind kind, std::string_view attributes) {
  const auto& shape = frame_templates().log_run;
  const auto slot = channel_->claim(wire::FrameKind_LogRun, static_cast<uint32_t>(shape.size() + attributes.size()));
  if (slot.data() == nullptr) return;
  auto* run = shape.place(slot.data());
  run->mutate_stream(id_.slot);
  run->mutate_generation(id_.generation);
  run->mutate_kind(kind);
  put(shape.tail(slot.data(), static_cast<uint32_t>(attributes.size())), attributes.data(), attributes.size());
  channel_->commit(static_cast<uint32_t>(slot.size()));
  worker_.publish(*channel_);
}

}  // namespace tsf::core
