#include "core/calls.h"

#include <algorithm>
#include <initializer_list>

#include "core/framing.h"
#include "core/header_ops.h"
#include "core/http_rules.h"

namespace tsf::core {
namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> lower) {
  return std::any_of(lower.begin(), lower.end(), [name](std::string_view one) {
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; };
    return std::equal(name.begin(), name.end(), one.begin(), one.end(), same);
  });
}

constexpr std::string_view kWrongBody = "its body is not as long as its content-length, or longer than may be";

std::string block_of(std::span<const HeaderLine> lines) {
  std::string out;
  for (const HeaderLine& line : lines) {
    const uint32_t lengths[2] = {static_cast<uint32_t>(line.name_length), static_cast<uint32_t>(line.value_length)};
    out.append(reinterpret_cast<const char*>(lengths), sizeof lengths);
    out.append(line.name());
    out.append(line.value());
  }
  return out;
}

}  // namespace

bool CallBody::read(const std::vector<HeaderLine>& lines) {
  for (const HeaderLine& line : lines) {
    // How a message is framed is its connection's business.
    if (is_one_of(line.name(), {"transfer-encoding", "connection", "upgrade", "keep-alive", "proxy-connection"}))
      return false;
    if (!is_one_of(line.name(), {"content-length"})) continue;
    const auto length = length_of(line.value());
    if (!length || (promised_ && promised_ != length)) return false;
    promised_ = length;
  }
  return true;
}

std::vector<Calls::Running>::iterator Calls::find(uint32_t call) {
  return std::find_if(running_.begin(), running_.end(), [call](const Running& r) { return r.call == call; });
}

std::optional<uint32_t> Calls::host_id(uint64_t envoy_id) const {
  for (const Running& r : running_)
    if (r.envoy_id == envoy_id) return r.call;
  return starting_;
}

void Calls::forget(uint32_t call) {
  const auto found = find(call);
  if (found != running_.end()) running_.erase(found);
  if (starting_ == call) starting_.reset();
}

// An answer may be complete before its request is: then the host cancels what is left of it.
void Calls::answered(uint32_t call) {
  const auto found = find(call);
  if (found == running_.end() || found->asked) return forget(call);
  found->answered = true;
}

void Calls::tell(uint32_t call, uint8_t part, bool end, std::string bytes) {
  waiting_ += bytes.size();
  events_.push_back({call, part, end, std::move(bytes)});
}

void Calls::fail(uint32_t call, std::string_view why) {
  forget(call);
  tell(call, wire::CallEventPart_Failed, true, std::string(why));
}

bool Calls::start(const wire::Call& frame) {
  const auto block = view_of(frame.block());
  if (find(frame.call()) != running_.end() || frame.cluster_length() > block.size()) return false;
  std::vector<HeaderLine> headers;
  CallBody body;
  if (!read_headers(block.substr(frame.cluster_length()), BlockOf::kCall, headers) || !body.read(headers)) return false;
  if (running_.size() >= kMostRunning) return tell_failed(frame.call(), "too many calls at once");
  if (frame.end() && !body.is_kept()) return tell_failed(frame.call(), kWrongBody);
  uint64_t envoy_id = 0;
  starting_ = frame.call();
  const auto result =
      mount_.start_call(block.substr(0, frame.cluster_length()), headers, frame.end(), frame.timeout(), envoy_id);
  const bool is_over = !starting_.has_value();  // it has failed or ended inside the call
  starting_.reset();
  if (is_over) return true;
  if (result == CallStart::kStarted) {
    running_.push_back({frame.call(), envoy_id, frame.end(), false, body});
    return true;
  }
  return tell_failed(frame.call(), result == CallStart::kNoCluster ? "no such cluster" : "refused");
}

bool Calls::tell_failed(uint32_t call, std::string_view why) {
  fail(call, why);
  return true;
}

bool Calls::on_frame(const wire::Call& frame) {
  if (events_.size() > kMostEvents) return false;
  if (frame.part() == wire::CallPart_Start) return start(frame);
  const auto found = find(frame.call());
  if (found != running_.end()) return go_on(frame, found);
  // It has ended meanwhile.
  std::vector<HeaderLine> trailers;
  return frame.part() != wire::CallPart_Trailers || read_headers(view_of(frame.block()), BlockOf::kTrailers, trailers);
}

// Of one that runs: more of its request.
bool Calls::go_on(const wire::Call& frame, std::vector<Running>::iterator found) {
  std::vector<HeaderLine> trailers;
  if (frame.part() == wire::CallPart_Trailers && !read_headers(view_of(frame.block()), BlockOf::kTrailers, trailers))
    return false;
  const uint64_t envoy_id = found->envoy_id;
  const bool is_cancel = frame.part() == wire::CallPart_Cancel;
  const bool is_data = frame.part() == wire::CallPart_Data;
  if (found->asked && !is_cancel) return false;
  if (is_data && !found->body.took(view_of(frame.block()).size(), limit_)) return give_up(found, kWrongBody);
  const bool ends = !is_cancel && (frame.end() || frame.part() == wire::CallPart_Trailers);
  if (ends && !found->body.is_kept()) return give_up(found, kWrongBody);
  if (ends) found->asked = true;
  if (is_cancel || (found->asked && found->answered)) running_.erase(found);
  switch (frame.part()) {
    case wire::CallPart_Data: mount_.call_data(envoy_id, view_of(frame.block()), frame.end()); return true;
    case wire::CallPart_Trailers: mount_.call_trailers(envoy_id, trailers); return true;
    case wire::CallPart_Cancel: mount_.cancel_call(envoy_id); return true;
    default: return false;
  }
}

bool Calls::give_up(std::vector<Running>::iterator call, std::string_view why) {
  const uint64_t envoy_id = call->envoy_id;
  fail(call->call, why);
  mount_.cancel_call(envoy_id);
  return true;
}

void Calls::on_headers(uint64_t envoy_id, std::span<const HeaderLine> headers, bool end) {
  const auto call = host_id(envoy_id);
  if (!call) return;
  if (end) answered(*call);
  tell(*call, wire::CallEventPart_Headers, end, block_of(headers));
}

void Calls::on_data(uint64_t envoy_id, std::span<const Bytes> chunks, bool end) {
  const auto call = host_id(envoy_id);
  if (!call) return;
  size_t total = 0;
  for (const Bytes& chunk : chunks) total += chunk.length;
  if (waiting_ + total > limit_) {
    fail(*call, "too much waits for the host");
    mount_.cancel_call(envoy_id);
    return;
  }
  std::string bytes;
  bytes.reserve(total);
  for (const Bytes& chunk : chunks) bytes.append(chunk.ptr, chunk.length);
  if (end) answered(*call);
  tell(*call, wire::CallEventPart_Data, end, std::move(bytes));
}

void Calls::on_trailers(uint64_t envoy_id, std::span<const HeaderLine> trailers) {
  const auto call = host_id(envoy_id);
  if (!call) return;
  answered(*call);
  tell(*call, wire::CallEventPart_Trailers, true, block_of(trailers));
}

void Calls::on_reset(uint64_t envoy_id) {
  if (const auto call = host_id(envoy_id)) fail(*call, "reset");
}

void Calls::cancel_all() {
  const auto running = std::move(running_);
  running_.clear();
  events_.clear();
  waiting_ = 0;
  for (const Running& r : running) mount_.cancel_call(r.envoy_id);
}

void Calls::send(HostSide& host) {
  const auto& shape = frame_templates().call_event;
  const uint32_t most = host.writer().room(shape);
  while (!events_.empty()) {
    CallEvent& event = events_.front();
    const bool is_data = event.part == wire::CallEventPart_Data;
    if (!is_data && event.bytes.size() > most)
      event = {event.call, wire::CallEventPart_Failed, true, "headers too large"};
    const size_t length =
        is_data ? std::min<size_t>(event.bytes.size(), std::min(Channel::kMaxBody, most)) : event.bytes.size();
    const bool is_all = length == event.bytes.size();
    const auto fill = [&](wire::CallEvent& frame, FrameBytes& out) {
      frame.mutate_call(event.call);
      frame.mutate_part(static_cast<wire::CallEventPart>(event.part));
      frame.mutate_end(event.end && is_all);
      out.put(std::string_view(event.bytes).substr(0, length));
    };
    if (!host.writer().write(wire::FrameKind_CallEvent, shape, length, fill)) return host.wait_for_room();
    took(length);
    if (is_all) {
      events_.pop_front();
    } else {
      event.bytes.erase(0, length);
    }
  }
  host.publish();
}

}  // namespace tsf::core
