#include "core/stream.h"

#include <algorithm>

#include "core/http_rules.h"
#include "core/link.h"

namespace tsf::core {
namespace {

constexpr Failure kNoHost{503, 14, "ts_filter_no_host"};
constexpr Failure kHostLost{503, 14, "ts_filter_host_lost"};
constexpr Failure kHostLostLate{502, 14, "ts_filter_host_lost"};
constexpr Failure kTimeout{504, 4, "ts_filter_timeout"};
constexpr Failure kRejected{500, 13, "ts_filter_config_rejected"};

constexpr uint32_t header_phases(Dir dir) {
  return dir == Dir::kRequest ? wire::Phase_DecodeHeaders | wire::Phase_DecodeData | wire::Phase_TransformRequest
                              : wire::Phase_EncodeHeaders | wire::Phase_EncodeData | wire::Phase_TransformResponse;
}
constexpr uint32_t trailer_phases(Dir dir) {
  return dir == Dir::kRequest ? wire::Phase_DecodeTrailers : wire::Phase_EncodeTrailers;
}

uint64_t next_birth() {
  thread_local uint64_t births = 0;
  return ++births;
}

}  // namespace

Stream::Stream(Worker& worker, std::shared_ptr<const FilterConfig> config, StreamMount& mount)
    : worker_(worker), config_(std::move(config)), mount_(mount), born_(next_birth()), id_(worker.add(*this)) {}

FailureMode Stream::failure_mode() const {
  return route_ && route_->settings().failure_mode ? *route_->settings().failure_mode : config_->settings.failure_mode;
}

Nanos Stream::message_timeout() const {
  return nanos(route_ && route_->settings().message_timeout ? *route_->settings().message_timeout
                                                            : config_->settings.message_timeout);
}

bool Stream::is_grpc() const {
  if (grpc_) return true;
  const auto type = mount_.header(HeaderType::kRequest, "content-type");
  return type && type->starts_with("application/grpc") &&
         (type->size() == 16 || (*type)[16] == '+' || (*type)[16] == ';');
}

bool Stream::is_upgrade() const {
  return mount_.header(HeaderType::kRequest, "upgrade").has_value() ||
         mount_.header(HeaderType::kRequest, ":method").value_or("") == "CONNECT";
}

bool Stream::wants_headers(Dir dir) const { return (phases_ & header_phases(dir)) != 0; }

bool Stream::wants_trailers(const Flow& f) const { return f.hosted || (phases_ & trailer_phases(f.dir)) != 0; }

// ---- beginning ----

Stream::Start Stream::wait_for_host(std::chrono::milliseconds limit) {
  const Nanos now = now_ns();
  if (wait_since_ == 0) wait_since_ = now;
  wait_until_ = wait_since_ + nanos(limit);
  if (now >= wait_until_) {
    fail_later(kNoHost);
    return Start::kFailed;
  }
  worker_.wait_for_host(id_);
  worker_.arm(wait_until_);
  return Start::kWait;
}

// The host that can take this stream now, with its verdicts on all that the stream is configured with.
Stream::Host Stream::look_for_host() {
  const auto& channel = worker_.channel();
  if (!channel || channel->lost()) return Host::kAbsent;
  const Verdict* verdict = config_->judged->verdict();
  if (verdict == nullptr || verdict->epoch != channel->epoch()) return Host::kUnjudged;
  if (route_ && !judged_route_) judged_route_ = route_->judged_by(*config_);
  const Verdict* route = judged_route_ ? judged_route_->verdict() : verdict;
  if (route == nullptr || route->epoch != channel->epoch()) return Host::kUnjudged;
  return verdict->accepted && route->accepted ? Host::kReady : Host::kRefused;
}

void Stream::begin() {
  channel_ = worker_.channel();
  phases_ = config_->judged->verdict()->phases;
  begun_ = true;
  wait_until_ = 0;
  upgrade_ = !config_->settings.upgrades && is_upgrade();
}

// Of a stream that only log hooks have begun: it may still find another host.
void Stream::forget_host() {
  channel_.reset();
  route_.reset();
  judged_route_.reset();
  phases_ = UINT32_MAX;
  begun_ = start_told_ = false;
}

Stream::Start Stream::try_start() {
  if (begun_) return Start::kReady;
  const Settings& settings = config_->settings;
  const auto patience = std::max(settings.host_wait, settings.message_timeout);
  switch (look_for_host()) {
    case Host::kAbsent: return wait_for_host(worker_.link().down() ? settings.host_wait : patience);
    case Host::kUnjudged: return wait_for_host(patience);
    case Host::kRefused: fail_later(kRejected); return Start::kFailed;
    case Host::kReady: break;
  }
  begin();
  return Start::kReady;
}

void Stream::ask(Flow& f) {
  f.state = State::kAsked;
  f.headers_pending = true;
  start_timer(f);
  send_waiting();
}

// True: the hook stops.
bool Stream::begin_flow(Flow& f) {
  if (f.dir == Dir::kResponse && request_.headers_seen && !begun_) {
    // Envoy answers a request that still waits for a host, or one that was let pass.
    f.state = State::kPass;
    return false;
  }
  f.state = State::kAsked;
  switch (try_start()) {
    case Start::kFailed:
    case Start::kWait: f.headers_pending = true; return true;
    case Start::kReady: break;
  }
  if (!wants_headers(f.dir)) {
    f.state = State::kPass;
    return false;
  }
  if (!channel_ || channel_->lost()) {
    fail_later(kHostLostLate);
    return true;
  }
  context_pending_ = f.dir == Dir::kResponse && !request_.headers_seen;
  ask(f);
  return true;
}

// The answer to a whole body is timed from the body's end.
void Stream::time_whole_body(Flow& f) {
  if (f.state != State::kWhole || !f.input_ended || f.deadline != 0) return;
  start_timer(f);
}

// The answer to trailers is timed once only the trailers hook is left.
void Stream::time_trailers(Flow& f) {
  if (!f.trailers_told || f.trailers_answered || (f.hosted && !f.output_done)) return;
  start_timer(f);
}

// ---- Envoy's hooks ----

HeadersStatus Stream::on_headers(Dir dir, bool end) {
  const Worker::Scope scope(worker_);
  Flow& f = flow(dir);
  if (chain_ == nullptr && config_->link->has_siblings()) chain_ = &Chain::join(mount_, *this);
  if (begun_ && !any_headers() && (!channel_ || channel_->lost())) forget_host();
  if (!begun_ && !route_) route_ = mount_.route_config();
  f.headers_seen = true;
  f.headers_only = f.input_ended = end;
  bool stop;
  if (replied_) {
    stop = !is_own_reply(dir);
  } else if (dir == Dir::kResponse && nested_ && shared_flag()) {
    // A Stop in here would be overwritten when our continue returns, and the response would hang (docs/lifecycle.md).
    static std::atomic<bool> said{false};
    if (!said.exchange(true, std::memory_order_relaxed))  // relaxed: only who says it first
      worker_.process().log(LogLevel::kWarn,
                            "ts_filter: this Envoy version cannot hold back a response that Envoy makes itself while a "
                            "request continues; such responses pass the encode hooks by (said once)");
    f.state = State::kPass;
    stop = false;
  } else {
    f.in_hook = true;
    stop = begin_flow(f);
    f.in_hook = false;
    if (!stop && dir == Dir::kResponse && request_needs_flag()) stop = f.release_wanted = true;
  }
  if (!stop) f.headers_sent = true;
  settle(f, stop);
  return stop ? HeadersStatus::kStopIteration : HeadersStatus::kContinue;
}

BodyStatus Stream::on_body(Dir dir, bool end) {
  const Worker::Scope scope(worker_);
  Flow& f = flow(dir);
  if (rearming_) {
    // An encode filter before us may have added bytes to our empty frame.
    if (mount_.body_size(dir, BodySource::kReceived) > 0) hold_body(f, BodySource::kReceived);
    settle(f, true);
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (end) f.input_ended = true;
  f.in_hook = true;
  f.push_wanted = false;  // the host decides anew, now that a push is possible
  auto status = BodyStatus::kStopIterationNoBuffer;
  const auto drain = [&] {
    mount_.drain_body(dir, BodySource::kReceived, mount_.body_size(dir, BodySource::kReceived));
  };
  const auto leave = [&] {
    if (!may_leave(f)) {
      hold_body(f, BodySource::kReceived);
      return;
    }
    // An upgrade's codec begins with a piece of no bytes: nothing lies there to be read.
    if (mount_.body_size(dir, BodySource::kReceived) > 0) f.unread = true;
    status = BodyStatus::kStopIterationAndWatermark;
  };
  // Bytes that passed us before, lie with a filter behind us, and come by again in a sibling's push.
  const size_t foreign = chain_ != nullptr && !f.unread ? std::min(chain_->pushed_over(dir), f.beyond) : 0;
  if (foreign > 0 && f.state != State::kPass && f.state != State::kDone && f.state != State::kReplied) {
    f.fresh = true;
    take_pushed(f, foreign);
    send_waiting();
    worker_.defer(id_);
    f.in_hook = false;
    settle(f, true);
    return status;
  }
  switch (f.state) {
    case State::kPass:
      // Behind a release that is still to come, or on 1.38 behind the other direction that needs the shared flag.
      if (f.release_wanted) {
        leave();
      } else if (dir == Dir::kResponse && !end && request_needs_flag()) {
        f.release_wanted = true;
        hold_body(f, BodySource::kReceived);
      } else if (upload_is_void(dir)) {
        drain();
      } else {
        status = BodyStatus::kContinue;
      }
      break;
    case State::kIdle:
    case State::kDone: status = BodyStatus::kContinue; break;
    case State::kReplied:
      if (is_own_reply(dir)) {
        status = BodyStatus::kContinue;
      } else {
        drain();
      }
      break;
    case State::kAsked:
    case State::kBypass: leave(); break;
    case State::kWhole: hold_body(f, BodySource::kReceived); break;
    case State::kEnding: drain(); break;
    case State::kStream:
      f.fresh = true;
      if (f.held.empty() && !f.unread && siblings_keep_up(f) && !send_envoy_body(f, BodySource::kReceived))
        wait_for_room();
      if (mount_.body_size(dir, BodySource::kReceived) > 0) leave();
      break;
  }
  if (status != BodyStatus::kContinue) {
    if (f.state != State::kStream) f.fresh = true;
    time_whole_body(f);
    send_waiting();
    if (f.state == State::kEnding || f.state == State::kBypass || f.release_wanted || recreate_wanted_)
      worker_.defer(id_);
  }
  f.in_hook = false;
  settle(f, status != BodyStatus::kContinue);
  return status;
}

TrailersStatus Stream::on_trailers(Dir dir) {
  const Worker::Scope scope(worker_);
  Flow& f = flow(dir);
  f.input_ended = f.trailers_seen = true;
  bool stop = true;
  f.in_hook = true;
  switch (f.state) {
    case State::kPass:
      if (begun_ && wants_trailers(f) && !upgrade_) {
        if (!channel_ || channel_->lost()) {
          fail_later({0, 14, "ts_filter_host_lost"});
          break;
        }
        // A release that is still to come would take the trailers along: now they are waited for.
        if (std::exchange(f.release_wanted, false)) {
          absorb_input(f);
        } else {
          f.state = State::kEnding;
        }
      } else if (f.release_wanted) {
        worker_.defer(id_);
      } else {
        stop = upload_is_void(dir);
      }
      break;
    case State::kIdle:
    case State::kDone: stop = false; break;
    case State::kReplied: stop = !is_own_reply(dir); break;
    case State::kEnding:
    case State::kBypass: worker_.defer(id_); break;
    default: break;
  }
  if (stop) {
    time_whole_body(f);
    send_waiting();
  }
  f.in_hook = false;
  settle(f, stop);
  return stop ? TrailersStatus::kStopIteration : TrailersStatus::kContinue;
}

// After a reply of ours: its frames come by our own hooks on Envoy 1.38, in their own time when a filter before us held
// them back. An upstream that answers nevertheless is heard out and dropped.
bool Stream::is_own_reply(Dir dir) const { return dir == Dir::kResponse && (sending_reply_ || !request_.headers_sent); }

// 1.38: the router has given this upload up, and a Continue of it would disarm the response's last continue.
bool Stream::upload_is_void(Dir dir) const {
  return shared_flag() && dir == Dir::kRequest && response_.input_ended && waits_for_host(response_);
}

void Stream::on_below_watermark() {
  if (above_watermark_ > 0) --above_watermark_;
  if (above_watermark_ == 0 && streaming_reply_) worker_.defer(id_);
}

// Access loggers find a stream by its chain. Whose log hooks have no use for them is spared that.
void Stream::on_new() {
  if (!Chain::has_logger()) return;
  const Verdict* verdict = config_->judged->verdict();
  uint32_t wanted = wire::Phase_LogStart | wire::Phase_LogPeriodic;
  if (verdict != nullptr && !verdict->attributes.empty()) wanted |= wire::Phase_Log;
  if (verdict == nullptr || (verdict->phases & wanted) != 0) chain_ = &Chain::join(mount_, *this);
}

void Stream::on_log(wire::LogKind kind, const LogSource& source) {
  const Worker::Scope scope(worker_);
  if (kind == wire::LogKind_End) {
    if (!last_log_) return;
    last_log_->clear();
    pack_attributes(*last_log_, &source);
    return;
  }
  const uint32_t phase = kind == wire::LogKind_Start ? wire::Phase_LogStart : wire::Phase_LogPeriodic;
  if (!begun_) {
    // A stream that waits for a host is not begun past its headers hook.
    if (any_headers()) return;
    route_ = mount_.route_config();
    if (look_for_host() != Host::kReady || (config_->judged->verdict()->phases & phase) == 0) return forget_host();
    begin();
  }
  if ((phases_ & phase) == 0 || !channel_ || channel_->lost()) return;
  thread_local std::string attributes;
  attributes.clear();
  pack_attributes(attributes, &source);
  if (send_log_headers(attributes.size())) send_log_run(kind, attributes);
}

// The maps are here for the last time; what an access logger knows better may still come.
void Stream::on_complete() {
  const Worker::Scope scope(worker_);
  if (!begun_ || (phases_ & wire::Phase_Log) == 0 || !channel_ || channel_->lost()) return;
  std::string attributes;
  pack_attributes(attributes, nullptr);
  if (send_log_headers(attributes.size())) last_log_ = std::move(attributes);
}

uint8_t Stream::end_reason() const {
  if (end_reason_ != 0) return end_reason_;
  if (streaming_reply_ ? reply_end_sent_ : replied_) return wire::EndReason_Complete;
  const bool response_done = response_.headers_seen && response_.input_ended &&
                             (response_.state == State::kPass || response_.state == State::kDone);
  return response_done ? wire::EndReason_Complete : wire::EndReason_Downstream;
}

void Stream::tell_end(uint8_t reason) {
  channel_->end(id_, reason);
  // Nobody waits for a good end of a filter without last hooks: it goes with the next frame.
  constexpr uint32_t kLastHooks = wire::Phase_Log | wire::Phase_StreamComplete | wire::Phase_Destroy;
  if (reason == wire::EndReason_Complete && (phases_ & kLastHooks) == 0) return;
  channel_->pay();
  worker_.publish(*channel_);
}

void Stream::on_destroy() {
  const Worker::Scope scope(worker_);
  dead_ = true;
  if (start_told_ && channel_ && !channel_->lost()) {
    if (last_log_) send_log_run(wire::LogKind_End, *last_log_);
    tell_end(end_reason());
  }
  calls_.reset();  // Envoy ends them itself
  end_flows();
  if (chain_ != nullptr) Chain::leave(*chain_, *this);
  worker_.remove(*this, id_);
}

Stream::~Stream() = default;

// ---- the worker's run ----

void Stream::take_turn() {
  waiting_for_room_ = false;
  if (dead_) return;
  send_calls();
  if (failure_.code != nullptr) {
    const Failure failure = std::exchange(failure_, {});
    Flow& f = response_.headers_seen && response_.state == State::kAsked ? response_ : request_;
    return fail_by_mode(f, failure);
  }
  if (!begun_) {
    if (request_.state != State::kAsked && response_.state != State::kAsked) return;
    if (try_start() != Start::kReady) return;
    Flow& f = response_.state == State::kAsked ? response_ : request_;
    context_pending_ = f.dir == Dir::kResponse && !request_.headers_seen;
    if (wants_headers(f.dir)) {
      ask(f);
    } else {
      f.headers_pending = false;
      let_pass(f);
    }
    return;
  }
  flush_reply();
  if (recreate_wanted_ && !dead_ && !replied_) recreate();
  for (const Dir dir : {Dir::kResponse, Dir::kRequest}) {
    if (dead_ || replied_) return;
    Flow& f = flow(dir);
    if (f.release_wanted) release(f);
    advance(f);
  }
}

Nanos Stream::deadline() const {
  Nanos first = 0;
  for (const Nanos d :
       {request_.deadline, response_.deadline, request_.push_by, response_.push_by, begun_ ? 0 : wait_until_})
    if (d != 0 && (first == 0 || d < first)) first = d;
  return first;
}

void Stream::on_deadline(Nanos now) {
  if (!begun_ && wait_until_ != 0 && now >= wait_until_) return take_turn();
  for (const Dir dir : {Dir::kRequest, Dir::kResponse}) {
    Flow& f = flow(dir);
    if (f.overdue()) {
      advance(f);
      f.push_by = 0;
    }
    if (f.deadline == 0 || now < f.deadline) continue;
    f.deadline = 0;
    if (dead_ || replied_) return;
    if (f.state == State::kDone) {
      check_end(f);
      continue;
    }
    end_reason_ = wire::EndReason_Timeout;
    fail_by_mode(f, kTimeout);
  }
}

bool Stream::waits_for_host(const Flow& f) const {
  switch (f.state) {
    case State::kAsked:
    case State::kStream:
    case State::kWhole:
    case State::kBypass: return true;
    case State::kEnding: return !f.trailers_answered && (f.trailers_seen || (phases_ & trailer_phases(f.dir)) != 0);
    default: return false;
  }
}

void Stream::on_channel_lost() {
  channel_.reset();
  if (!dead_) cancel_calls();
  if (!any_headers()) return forget_host();
  if (dead_ || replied_) {
    if (!dead_ && streaming_reply_ && !reply_ended_) reset("ts_filter_host_lost");
    return;
  }
  for (const Dir dir : {Dir::kRequest, Dir::kResponse}) {
    Flow& f = flow(dir);
    if (dead_ || replied_) return;
    if (!waits_for_host(f)) {
      f.trailers_answered = true;  // of an output that is complete
      continue;
    }
    const bool unanswered = f.state == State::kAsked || f.state == State::kWhole;
    fail_by_mode(f, dir == Dir::kRequest && unanswered ? kHostLost : kHostLostLate);
  }
}

// ---- failing ----

void Stream::fail_later(const Failure& failure) {
  if (failure_.code != nullptr) return;
  failure_ = failure;
  worker_.defer(id_);
}

void Stream::fail_by_mode(Flow& f, const Failure& failure) {
  if (f.too_large) return fail(kRequestTooLarge);
  if (failure_mode() != FailureMode::kOpen || failure.in_any_mode) return fail(failure);
  Flow& o = flow(other(f.dir));
  if (!is_untouched(f) || (waits_for_host(o) && !is_untouched(o))) return fail(failure);
  if (start_told_ && channel_ && !channel_->lost()) tell_end(wire::EndReason_Timeout);
  cancel_calls();
  // The filter is out of this stream; what its other flow holds goes on as far as it is.
  start_told_ = false;
  channel_.reset();
  phases_ = 0;
  for (Flow* touched : {&o, &f}) {
    if (dead_ || !(touched == &f || waits_for_host(*touched))) continue;
    clear(touched->out);
    if (touched->original.size() > 0) {
      clear(touched->held);
      std::swap(touched->held, touched->original);
    }
    let_pass(*touched);
  }
}

// Nothing of this flow has been changed: it can go on as it came.
bool Stream::is_untouched(const Flow& f) const {
  if (f.state == State::kAsked) return true;
  if (f.state == State::kWhole) return f.whole;
  if (f.trailers_seen && !f.trailers_answered && f.output_done) return true;  // only the trailers hook is left
  return f.state == State::kEnding && !f.hosted && f.out.empty();
}

void Stream::let_pass(Flow& f) {
  f.deadline = 0;
  f.headers_pending = false;
  f.state = State::kPass;
  release(f);
}

void Stream::fail(const Failure& failure) {
  if (dead_ || replied_) return;
  const bool reply = failure.http != 0 && !response_.headers_sent;
  const bool grpc = reply && is_grpc();
  replied_ = true;
  if (end_reason_ == 0) end_reason_ = wire::EndReason_LocalReply;
  end_flows();
  if (!reply) return reset(failure.code);
  const std::string status = std::to_string(failure.grpc);
  const HeaderLine line = HeaderLine::of("grpc-status", status);
  mount_.send_local_reply(failure.http, {&line, grpc ? 1u : 0u}, failure.body != nullptr ? failure.body : failure.code,
                          failure.code);
}

// Envoy shows a reset's details nowhere, so the log has them.
void Stream::reset(const char* code) {
  thread_local Nanos second = 0;
  thread_local int said = 0;
  const Nanos now = now_ns() / 1'000'000'000;
  if (now != second) said = 0;
  second = now;
  constexpr int kLinesASecond = 10;
  if (++said <= kLinesASecond)
    worker_.process().log(LogLevel::kWarn, "ts_filter: filter " + config_->name + ": stream reset: " + code);
  mount_.reset(code);
}

void Stream::end_flows() {
  for (const Dir dir : {Dir::kRequest, Dir::kResponse}) {
    Flow& f = flow(dir);
    clear(f.held);
    clear(f.out);
    clear(f.original);
    f.deadline = f.push_by = 0;
    f.headers_pending = f.push_wanted = f.release_wanted = false;
    if (replied_) f.state = State::kReplied;
  }
  clear(reply_);
  wait_until_ = 0;
}

}  // namespace tsf::core
