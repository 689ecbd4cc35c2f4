#include "core/observer.h"

#include <utility>

#include "core/acts.h"
#include "core/phases.h"

namespace tsf::core {

void Passing::begin(bool end) {
  waiting.clear();
  has_come = true;
  body_goes = is_whole = end_is_told = false;
  has_ended = end;
  seen = 0;
}

void Passing::stop() {
  body_goes = false;
  waiting.clear();
}

Observer::Observer(Worker& worker, std::shared_ptr<const FilterConfig> config, StreamMount& mount)
    : worker_(worker),
      config_(std::move(config)),
      mount_(mount),
      host_(worker, *this, *config_, mount),
      logs_(host_),
      request_(worker.memory()),
      response_(worker.memory()) {}

// ---- the view ----

bool Observer::begin(Dir dir) {
  if (is_over_) return false;
  if (host_.begun() && !has_any_come() && !host_.reachable()) host_.forget();
  if (host_.begun()) return true;
  // Envoy's HTTP/1 codec answers what it cannot read: no hook of any filter hears of that.
  if (dir == Dir::kResponse && !mount_.header(HeaderType::kRequest, ":method")) {
    is_over_ = true;
    return false;
  }
  host_.find_route();
  switch (host_.look()) {
    case HostSide::Found::kAbsent:
    case HostSide::Found::kUnavailable:
    case HostSide::Found::kUnjudged: end_view("no_host", wire::EndReason_Dropped); return false;
    case HostSide::Found::kRefused: end_view("rejected", wire::EndReason_Dropped); return false;
    case HostSide::Found::kReady: break;
  }
  kind_ = RequestKind::read(mount_);
  host_.begin(kind_, wire::HeadersFlag_Observed);
  return true;
}

void Observer::end_view(std::string_view result, uint8_t reason) {
  if (is_over_) return;
  const Worker::Scope scope(worker_);
  is_over_ = true;
  count(result);
  if (calls_) calls_->cancel_all();
  request_.stop();
  response_.stop();
  if (host_.was_told()) host_.send_end(reason);
  host_.leave();
}

void Observer::count(std::string_view result) {
  if (!config_->observed || std::exchange(is_counted_, true)) return;
  const std::string_view labels[] = {config_->name, result};
  mount_.record(MetricKind::kCounter, MetricOp::kIncrement, *config_->observed, labels, 1);
}

// ---- from the mount ----

bool Observer::is_tunnel(Dir dir) const {
  if (dir == Dir::kRequest) return kind_.request() == BodyRule::kTunnel;
  const auto status = mount_.header(HeaderType::kResponse, ":status").value_or("");
  return kind_.response(status_of(status)) == BodyRule::kTunnel;
}

void Observer::on_headers(Dir dir, bool end) {
  const Worker::Scope scope(worker_);
  const bool is_first = !has_any_come();
  if (!begin(dir)) return;
  Passing& message = of(dir);
  message.begin(end);
  message.is_tunnel = is_tunnel(dir) && !config_->settings.upgrades;
  if ((host_.phases() & header_phases(dir)) == 0) return;
  if (is_first && dir == Dir::kResponse && !tell_headers(HeaderType::kRequest, wire::HeadersFlag_Context)) return;
  uint16_t flags = end ? wire::HeadersFlag_EndStream : 0;
  if (message.is_tunnel) flags |= wire::HeadersFlag_Upgrade;
  if (!tell_headers(headers_of(dir), flags)) return;
  message.body_goes = !end && !message.is_tunnel && (host_.phases() & body_phases(dir)) != 0;
}

void Observer::on_body(Dir dir, std::span<const Bytes> pieces, bool end) {
  const Worker::Scope scope(worker_);
  Passing& message = of(dir);
  if (message.has_ended) return;
  message.has_ended = end;
  if (is_over_ || !message.body_goes) return;
  size_t left = 0;
  for (const Bytes& piece : pieces) left += piece.length;
  message.seen += left;
  if (!fits(message, left)) return end_view("limit", wire::EndReason_Dropped);
  const size_t most = host_.piece_limit();
  for (const Bytes& piece : pieces) {
    std::string_view rest{piece.ptr, piece.length};
    while (!rest.empty() && message.waiting.empty()) {
      const auto bytes = rest.substr(0, most);
      if (!tell_data(dir, bytes, end && bytes.size() == left)) break;
      rest.remove_prefix(bytes.size());
      left -= bytes.size();
    }
    message.waiting.append(rest);
    left -= rest.size();
  }
  flush(dir);
}

// At the host, and on the way there.
bool Observer::fits(const Passing& message, size_t length) {
  const Settings& settings = config_->settings;
  if (message.is_whole && message.seen > settings.max_body_bytes) return false;
  if (message.at_host + message.waiting.size() + length > settings.stream_window + settings.max_body_bytes)
    return false;
  return worker_.memory().bytes + static_cast<int64_t>(length) <= static_cast<int64_t>(settings.max_pending_total);
}

// No copy of them is kept: they go behind the body at once, or the view is over.
void Observer::on_trailers(Dir dir) {
  const Worker::Scope scope(worker_);
  Passing& message = of(dir);
  if (message.has_ended) return;
  if (!is_over_ && message.body_goes) flush(dir);
  message.has_ended = true;
  if (is_over_ || message.is_tunnel) return;
  if (!message.waiting.empty()) return end_view("dropped", wire::EndReason_Dropped);
  if (!message.body_goes && (host_.phases() & trailer_phase(dir)) == 0) return;
  message.end_is_told = true;
  (void)tell_headers(trailers_of(dir), 0);
}

void Observer::on_log(wire::LogKind kind, const LogSource& source) {
  const Worker::Scope scope(worker_);
  if (kind == wire::LogKind_End) return logs_.know_better(source);
  if (is_over_) return;
  if (!host_.begun()) {
    if (has_any_come()) return;
    host_.find_route();
    if (host_.look() != HostSide::Found::kReady || (host_.declared_phases() & log_phase(kind)) == 0)
      return host_.forget();
    kind_ = RequestKind::read(mount_);
    host_.begin(kind_, wire::HeadersFlag_Observed);
  }
  logs_.tell(kind, source);
}

bool Observer::is_anything_left() const {
  for (const Passing* message : {&request_, &response_})
    if (message->body_goes && (!message->waiting.empty() || (message->has_ended && !message->end_is_told))) return true;
  return false;
}

void Observer::on_complete() {
  const Worker::Scope scope(worker_);
  if (is_over_ || !host_.begun()) return;
  flush(Dir::kRequest);
  flush(Dir::kResponse);
  if (is_anything_left()) return end_view("dropped", wire::EndReason_Dropped);
  count(response_.has_ended ? "complete" : "reset");
  logs_.on_complete();
}

void Observer::on_destroy() {
  const Worker::Scope scope(worker_);
  if (host_.was_told()) {
    logs_.finish();
    host_.send_end(is_anything_left()    ? wire::EndReason_Dropped
                   : response_.has_ended ? wire::EndReason_Complete
                                         : wire::EndReason_Downstream);
  }
  is_over_ = true;
  calls_.reset();  // Envoy ends them itself
  request_.stop();
  response_.stop();
  host_.destroyed();
}

// ---- to the host ----

bool Observer::tell_headers(HeaderType type, uint16_t flags) {
  uint32_t cursor = 0;
  Failure failure;
  const bool has_room = host_.send_headers(cursor, type, flags, failure);
  if (has_room && failure.code == nullptr) return true;
  end_view(has_room ? "limit" : "dropped", wire::EndReason_Dropped);
  return false;
}

bool Observer::tell_data(Dir dir, std::string_view bytes, bool last) {
  const uint8_t flags = last ? wire::DataFlag_Last : 0;
  if (!host_.send_data({dir, bytes, flags})) return false;
  of(dir).at_host += bytes.size();
  of(dir).end_is_told |= last;
  return true;
}

void Observer::flush(Dir dir) {
  Passing& message = of(dir);
  if (!message.body_goes) return;
  ByteQueue& waiting = message.waiting;
  const size_t most = host_.piece_limit();
  while (!waiting.empty()) {
    const auto bytes = waiting.front().substr(0, most);
    if (!tell_data(dir, bytes, message.has_ended && bytes.size() == waiting.size())) return host_.wait_for_room();
    waiting.pop(bytes.size());
  }
  if (message.has_ended && !message.end_is_told && !tell_data(dir, {}, true)) host_.wait_for_room();
}

// ---- the worker's run ----

void Observer::take_turn() {
  host_.has_turn();
  if (is_over_ || !host_.reachable()) return;
  send_calls();
  flush(Dir::kRequest);
  flush(Dir::kResponse);
}

void Observer::on_channel_lost() {
  host_.lost();
  if (is_over_) return;
  if (!has_any_come()) return host_.forget();
  end_view("host_lost", wire::EndReason_Dropped);
}

// ---- frames from the host ----

bool Observer::on_answer(const wire::Answer& frame) {
  if (frame.type() > wire::HeaderType_ResponseTrailers || frame.mode() > wire::BodyMode_Whole) return false;
  host_.set_phases(frame.phases());
  const auto type = static_cast<HeaderType>(frame.type());
  if (type == HeaderType::kRequestTrailers || type == HeaderType::kResponseTrailers) return true;
  Passing& message = of(type == HeaderType::kRequest ? Dir::kRequest : Dir::kResponse);
  if (frame.mode() == wire::BodyMode_Pass) message.stop();
  message.is_whole = frame.mode() == wire::BodyMode_Whole;
  if (message.body_goes && !fits(message, 0)) end_view("limit", wire::EndReason_Dropped);
  return true;
}

bool Observer::on_output(const wire::Output& frame) {
  if (frame.direction() > wire::Direction_Response) return false;
  Passing& message = of(static_cast<Dir>(frame.direction()));
  if (frame.acknowledged() > message.at_host) return false;
  message.at_host -= frame.acknowledged();
  if ((frame.flags() & (wire::OutputFlag_Last | wire::OutputFlag_Bypass)) != 0) message.stop();
  return true;
}

// What the filter sees ends there, as it would.
bool Observer::on_replied() {
  end_view("replied", wire::EndReason_LocalReply);
  return true;
}

bool Observer::on_fail(const wire::Fail& frame) {
  if (frame.type() > wire::HeaderType_ResponseTrailers) return false;
  report_failure(frame, *config_, mount_, worker_.process());
  end_view("failed", wire::EndReason_LocalReply);
  return true;
}

bool Observer::on_query(const wire::Query& frame) {
  const auto value = answer_query(frame, *config_, mount_);
  host_.send_answer(frame.query(), value.has_value(), value.value_or(""));
  return true;
}

bool Observer::on_act(const wire::Act& frame) {
  if (frame.kind() != wire::ActKind_Metric) return true;
  return do_act(frame, *config_, mount_, worker_.process()) != ActDone::kBroken;
}

// ---- calls ----

bool Observer::on_call(const wire::Call& frame) {
  if (is_over_) return true;
  if (!calls_) calls_ = std::make_unique<Calls>(mount_, config_->settings.max_pending_output);
  const bool ok = calls_->on_frame(frame);
  send_calls();
  return ok;
}

void Observer::send_calls() {
  if (calls_ && !is_over_ && host_.reachable()) calls_->send(host_);
}

template <class Hear>
void Observer::hear_call(Hear hear) {
  if (!calls_) return;
  const Worker::Scope scope(worker_);
  hear();
  send_calls();
}

void Observer::on_call_headers(uint64_t call, std::span<const HeaderLine> headers, bool end) {
  hear_call([&] { calls_->on_headers(call, headers, end); });
}
void Observer::on_call_data(uint64_t call, std::span<const Bytes> chunks, bool end) {
  hear_call([&] { calls_->on_data(call, chunks, end); });
}
void Observer::on_call_trailers(uint64_t call, std::span<const HeaderLine> trailers) {
  hear_call([&] { calls_->on_trailers(call, trailers); });
}
void Observer::on_call_reset(uint64_t call) {
  hear_call([&] { calls_->on_reset(call); });
}

}  // namespace tsf::core
