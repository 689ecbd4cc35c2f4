#include "core/host_side.h"

#include <algorithm>
#include <vector>

#include "core/http_rules.h"
#include "core/link.h"

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

size_t size_of(const HeaderLine& line) { return 2 * sizeof(uint32_t) + line.name_length + line.value_length; }

void put_line(FrameBytes& out, const HeaderLine& line) {
  const uint32_t lengths[2] = {static_cast<uint32_t>(line.name_length), static_cast<uint32_t>(line.value_length)};
  out.put(lengths, sizeof lengths);
  out.put(line.name());
  out.put(line.value());
}

// The map that is being written; used again, so that no frame costs an allocation.
std::vector<HeaderLine>& map_lines() {
  thread_local std::vector<HeaderLine> lines;
  return lines;
}

}  // namespace

// ---- which host ----

HostSide::Found HostSide::look() {
  const auto& channel = worker_.channel();
  if (!channel || channel->lost()) return Found::kAbsent;
  KnownVerdicts& verdicts = channel->verdicts();
  const Verdict* verdict = verdicts.of(config_.judged);
  if (verdict == nullptr) return Found::kUnjudged;
  if (route_ && !judged_route_) judged_route_ = route_->judged_by(config_);
  const Verdict* route = judged_route_ ? verdicts.of(judged_route_) : verdict;
  if (route == nullptr) return Found::kUnjudged;
  if (verdict->unavailable || route->unavailable) return Found::kUnavailable;
  if (!verdict->accepted || !route->accepted) return Found::kRefused;
  channel_ = ChannelUse(channel);
  verdict_ = verdict;
  return Found::kReady;
}

void HostSide::begin(const RequestKind& kind, uint16_t traits) {
  traits_ = traits | (kind.is_head() ? wire::HeadersFlag_Head : 0);
  channel_.begin();
  phases_ = verdict_->phases;
  is_stateless_ = verdict_->is_stateless;
  begun_ = true;
}

void HostSide::lost() {
  if (attempt_.start_told && !channel_->has_taken(attempt_.start_at)) attempt_.start_told = false;
  channel_.reset();
  verdict_ = nullptr;
  waiting_for_room_ = false;
  attempt_.has_lost_one = true;
}

void HostSide::begin_again() {
  if (attempt_.start_told) {
    ++attempt_.number;
    attempt_.replay = Replays::UnderWay(worker_.replays());
  }
  begun_ = attempt_.start_told = false;
  phases_ = UINT32_MAX;
}

void HostSide::forget() {
  channel_.reset();
  verdict_ = nullptr;
  route_.reset();
  judged_route_.reset();
  phases_ = UINT32_MAX;
  begun_ = attempt_.start_told = attempt_.has_lost_one = false;
}

// ---- what is configured ----

FailureMode HostSide::failure_mode() const {
  return route_ && route_->settings().failure_mode ? *route_->settings().failure_mode : config_.settings.failure_mode;
}

Nanos HostSide::message_timeout() const {
  return nanos(route_ && route_->settings().message_timeout ? *route_->settings().message_timeout
                                                            : config_.settings.message_timeout);
}

Nanos HostSide::host_wait() const {
  if (const auto& given = config_.settings.host_wait) return nanos(*given);
  return failure_mode() == FailureMode::kReplay ? message_timeout() : 0;
}

bool HostSide::is_grpc() const { return grpc_ || names_grpc(mount_.header(HeaderType::kRequest, "content-type")); }

// ---- to the host ----

void HostSide::wait_for_room() {
  if (waiting_for_room_) return;
  waiting_for_room_ = true;
  channel_->waiters().push_back(id());
}

bool HostSide::send_headers(uint32_t& cursor, HeaderType type, uint16_t flags, Failure& failure) {
  const size_t room = writer().room(frame_templates().headers);
  mount_.headers(type, map_lines());
  const bool is_log = (flags & wire::HeadersFlag_Log) != 0;
  if (cursor == 0 && !is_log && too_large(type, room, failure)) return true;
  do {
    if (!send_some_headers(cursor, type, flags, failure)) return false;
  } while (cursor < map_lines().size() && failure.code == nullptr);
  cursor = 0;
  publish();
  return true;
}

bool HostSide::too_large(HeaderType type, size_t room, Failure& failure) const {
  size_t total = 0;
  size_t largest = 0;
  for (const auto& line : map_lines()) {
    total += size_of(line);
    largest = std::max(largest, size_of(line));
  }
  if (total <= config_.settings.max_header_bytes && largest <= room / 2) return false;
  failure = type == HeaderType::kRequest ? kRequestHeadersTooLarge : kHeadersTooLarge;
  return true;
}

// How far the lines from there on fit into the room; `bytes` grows by theirs.
size_t HostSide::count_fitting(size_t from, size_t room, size_t& bytes) const {
  const auto& lines = map_lines();
  size_t end = from;
  while (end < lines.size() && bytes + size_of(lines[end]) <= room) bytes += size_of(lines[end++]);
  return end;
}

// One frame.
bool HostSide::send_some_headers(uint32_t& cursor, HeaderType type, uint16_t flags, Failure& failure) {
  thread_local std::string attributes;
  const auto& lines = map_lines();
  const size_t room = writer().room(frame_templates().headers);
  const bool start = !attempt_.start_told;
  attributes.clear();
  if (start) pack_attributes(attributes, nullptr);
  size_t bytes = attributes.size();
  if (bytes > room / 2) {
    failure = kRequestHeadersTooLarge;
    return true;
  }
  const size_t end = count_fitting(cursor, room, bytes);
  // Nothing of ours has changed the request yet.
  if (start) grpc_ = is_grpc();
  uint16_t frame_flags = flags;
  if (start)
    frame_flags |= wire::HeadersFlag_Start | traits_ | (grpc_ ? wire::HeadersFlag_Grpc : 0) |
                   (mount_.is_upstream() ? wire::HeadersFlag_Upstream : 0);
  if (end < lines.size()) frame_flags |= wire::HeadersFlag_More;
  const auto fill = [&](wire::Headers& frame, FrameBytes& out) {
    frame.mutate_type(static_cast<wire::HeaderType>(type));
    frame.mutate_flags(frame_flags);
    frame.mutate_count(static_cast<uint32_t>(end - cursor));
    if (start) {
      frame.mutate_config(config_.judged->id());
      frame.mutate_route_config(judged_route_ ? judged_route_->id() : 0);
      frame.mutate_attributes_length(static_cast<uint32_t>(attributes.size()));
      frame.mutate_attempt(attempt_.number);
      frame.mutate_worker(worker_.index());
    }
    out.put(attributes);
    for (size_t i = cursor; i < end; ++i) put_line(out, lines[i]);
  };
  if (!writer().write(wire::FrameKind_Headers, frame_templates().headers, bytes, fill)) return false;
  if (start) attempt_.start_at = channel_->position();
  attempt_.start_told = true;
  cursor = static_cast<uint32_t>(end);
  return true;
}

bool HostSide::send_data(const DataPiece& piece) {
  const auto fill = [&](wire::Data& frame, FrameBytes& out) {
    frame.mutate_direction(static_cast<wire::Direction>(piece.dir));
    frame.mutate_flags(piece.flags);
    out.put(piece.bytes);
  };
  if (!writer().write(wire::FrameKind_Data, frame_templates().data, piece.bytes.size(), fill)) return false;
  publish();
  return true;
}

void HostSide::send_credit(wire::CreditOf of, uint64_t bytes) {
  if (bytes == 0 || !reachable()) return;
  writer().write_or_owe(wire::FrameKind_Credit, frame_templates().credit, 0, [&](wire::Credit& credit, FrameBytes&) {
    credit.mutate_of(of);
    credit.mutate_bytes(static_cast<uint32_t>(bytes));
  });
  publish();
}

void HostSide::send_answer(uint32_t query, bool found, std::string_view bytes) {
  const auto& shape = frame_templates().query_answer;
  const bool fits = bytes.size() <= writer().room(shape);
  const auto text = fits ? bytes : std::string_view();
  writer().write_or_owe(wire::FrameKind_QueryAnswer, shape, text.size(),
                        [&](wire::QueryAnswer& answer, FrameBytes& out) {
                          answer.mutate_query(query);
                          answer.mutate_found(found && fits);
                          out.put(text);
                        });
}

void HostSide::send_end(uint8_t reason) {
  channel_->end(id(), reason);
  // Nobody waits for a good end of a filter without last hooks: it goes with the next frame.
  constexpr uint32_t kLastHooks = wire::Phase_Log | wire::Phase_StreamComplete | wire::Phase_Destroy;
  if (reason == wire::EndReason_Complete && (phases_ & kLastHooks) == 0) return;
  channel_->pay();
  publish();
}

// ---- log events ----

void HostSide::pack_attributes(std::string& out, const LogSource* source) const {
  for (const uint32_t id : verdict_->attributes) {
    std::optional<Attribute> value;
    if (source == nullptr || !source->attribute(id, value)) value = mount_.attribute(id);
    append_attribute(out, value);
  }
}

// The maps as they are now, for a log hook with so many bytes of attributes: all of them or none. False: there was no
// room, and the event is lost, for nothing can wait here.
bool HostSide::send_log_headers(size_t attributes) {
  constexpr HeaderType kTypes[] = {HeaderType::kRequest, HeaderType::kRequestTrailers, HeaderType::kResponse,
                                   HeaderType::kResponseTrailers};
  auto& lines = map_lines();
  const size_t frame = writer().room(frame_templates().headers);
  if (attributes > frame / 2) return false;
  size_t largest = frame_templates().log_run.size() + attributes + kFrameOverhead;
  size_t total = largest;
  for (const HeaderType type : kTypes) {
    if (!mount_.headers(type, lines)) continue;
    size_t bytes = attempt_.start_told ? 0 : attributes;
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
  Failure failure;
  for (const HeaderType type : kTypes) {
    uint32_t cursor = 0;
    if (mount_.headers(type, lines) && !send_headers(cursor, type, wire::HeadersFlag_Log, failure)) return false;
  }
  return attempt_.start_told;
}

void HostSide::send_log_run(wire::LogKind kind, std::string_view attributes) {
  const auto fill = [&](wire::LogRun& run, FrameBytes& out) {
    run.mutate_kind(kind);
    out.put(attributes);
  };
  if (writer().write(wire::FrameKind_LogRun, frame_templates().log_run, attributes.size(), fill)) publish();
}

}  // namespace tsf::core
