#include "core/stream.h"

#include <algorithm>

#include "core/line_limit.h"
#include "core/link.h"
#include "core/phases.h"

namespace tsf::core {
namespace {

// Hooks that cannot run in an upstream HTTP filter.
constexpr uint32_t kNotUpstreamPhases = wire::Phase_EncodeHeaders | wire::Phase_EncodeData |
                                        wire::Phase_EncodeTrailers | wire::Phase_TransformRequest |
                                        wire::Phase_TransformResponse | wire::Phase_DecodeTrailers | wire::Phase_Log |
                                        wire::Phase_LogStart | wire::Phase_LogPeriodic;

}  // namespace

Stream::Stream(Worker& worker, std::shared_ptr<const FilterConfig> config, Mounts mounts)
    : worker_(worker),
      config_(std::move(config)),
      mount_(mounts.stream),
      host_(worker, *this, *config_, mount_),
      logs_(host_),
      reply_(mount_, worker.memory()),
      request_(Dir::kRequest, *this, mounts.request),
      response_(Dir::kResponse, *this, mounts.response) {}

bool Stream::wants_headers(Dir dir) const { return (host_.phases() & header_phases(dir)) != 0; }

// All bits: the first answer tells them.
bool Stream::is_misplaced() const {
  return mount_.is_upstream() && host_.phases() != UINT32_MAX && (host_.phases() & kNotUpstreamPhases) != 0;
}

// ---- beginning ----

Stream::Start Stream::wait_for_host(Dir dir, Nanos limit) {
  const Nanos now = now_ns();
  if (wait_.since == 0) wait_.since = now;
  wait_.until = wait_.since + limit;
  if (now >= wait_.until) {
    fail_later(dir, host_.has_lost_one() ? core::host_lost(dir, true) : kNoHost);
    return Start::kFailed;
  }
  worker_.wait_for_host(host_.id());
  worker_.arm(wait_.until);
  return Start::kWait;
}

Stream::Start Stream::try_start(Dir dir) {
  if (host_.begun()) return Start::kReady;
  const Nanos patience = host_.host_wait();
  switch (host_.look()) {
    case HostSide::Found::kAbsent:
      return wait_for_host(dir, worker_.link().expects_host() ? std::max(patience, nanos(kHostGrace)) : patience);
    // It is the filter's own code that takes its time.
    case HostSide::Found::kUnjudged: return wait_for_host(dir, std::max(patience, host_.message_timeout()));
    case HostSide::Found::kUnavailable: fail_later(dir, kNoHost); return Start::kFailed;
    case HostSide::Found::kRefused: fail_later(dir, kRejected); return Start::kFailed;
    case HostSide::Found::kReady: break;
  }
  host_.begin(request_kind_);
  wait_ = {};
  if (!is_misplaced()) return Start::kReady;
  fail_later(dir, kNotUpstream);
  return Start::kFailed;
}

Stream::OnHeaders Stream::on_headers(Dir dir, bool end) {
  const Worker::Scope scope(worker_);
  Flow& f = flow(dir);
  if (host_.begun() && !any_headers() && !host_.reachable()) host_.forget();
  if (!host_.begun()) host_.find_route();
  if (!any_headers()) request_kind_ = RequestKind::read(mount_);
  f.headers_came(end);
  return begin_flow(f);
}

void Stream::pass_unseen(Dir dir, bool end) {
  flow(dir).headers_came(end);
  flow(dir).skip();
}

Stream::OnHeaders Stream::begin_flow(Flow& f) {
  if (f.dir() == Dir::kResponse && request_.state() == FlowState::kAsked && !host_.begun()) {
    // Envoy answers a request that still waits for a host.
    f.skip();
    return OnHeaders::kPass;
  }
  // A reply that is about to be made takes its place.
  if (failing_ && failing_->failure.open == WhenOpen::kSame) {
    f.hold();
    return OnHeaders::kHold;
  }
  const bool has_no_host = host_.begun() && host_.channel() == nullptr;
  if (has_no_host && wants_headers(f.dir())) {
    if (!goes_again()) {
      f.hold();
      fail_later(f.dir(), kHostLostLate);
      return OnHeaders::kHold;
    }
    host_.begin_again();
  }
  if (try_start(f.dir()) != Start::kReady) {
    f.hold();
    return OnHeaders::kHold;
  }
  if (!wants_headers(f.dir())) {
    f.skip();
    return OnHeaders::kPass;
  }
  ask(f);
  return OnHeaders::kHold;
}

// A host that knows nothing of the request is told of it, too.
void Stream::ask(Flow& f) {
  const bool is_unknown = !request_.has_headers() || (request_.was_answered() && !host_.was_seen());
  f.ask(f.dir() == Dir::kResponse && is_unknown);
}

// ---- the worker's run ----

void Stream::take_turn() {
  host_.has_turn();
  if (ending_.is_dead) return;
  send_calls();
  if (failing_) return carry_out_failure();
  if (!host_.begun()) begin_waiting();
  flush_reply();
  if (recreate_wanted_ && is_live()) recreate();
  for (Flow* f : {&response_, &request_}) {
    if (ending_.is_dead) return;
    f->mount().on_turn();
    if (!is_live()) return;
    f->on_ready();
  }
}

void Stream::begin_waiting() {
  if (request_.state() != FlowState::kAsked && response_.state() != FlowState::kAsked) return;
  if (is_late(now_ns())) return;  // on_deadline comes
  if (try_start(response_.state() == FlowState::kAsked ? Dir::kResponse : Dir::kRequest) != Start::kReady) return;
  for (Flow* f : {&request_, &response_}) {
    if (f->state() != FlowState::kAsked || !is_live()) continue;
    if (wants_headers(f->dir())) {
      ask(*f);
    } else {
      f->let_pass();
    }
  }
}

Nanos Stream::deadline() const {
  Nanos first = 0;
  for (const Nanos d : {request_.deadline(), response_.deadline(), request_.mount().deadline(),
                        response_.mount().deadline(), host_.begun() ? 0 : wait_.until})
    if (d != 0 && (first == 0 || d < first)) first = d;
  return first;
}

void Stream::on_deadline(Nanos now) {
  if (ending_.is_dead || is_failing()) return;
  // Its own time comes first, where it is up as well.
  if (!is_late(now) && !host_.begun() && wait_.until != 0 && now >= wait_.until) return take_turn();
  for (Flow* f : {&request_, &response_}) {
    const Nanos due = f->mount().deadline();
    if (due != 0 && now >= due) {
      f->mount().on_turn();
      if (!is_live()) return;
      f->on_ready();
    }
    if (ending_.is_dead || !f->take_deadline(now)) continue;
    if (!is_live()) return;
    ending_.reason = wire::EndReason_Timeout;
    fail_by_mode(*f, kTimeout);
  }
}

// ---- failing ----

void Stream::fail_later(Dir dir, const Failure& failure) {
  if (failing_) return;
  failing_ = {dir, failure};
  defer();
}

void Stream::carry_out_failure() {
  const auto [dir, failure] = *std::exchange(failing_, std::nullopt);
  Flow& f = flow(dir);
  // It may have been let pass since, when its host was lost.
  if (failure.open == WhenOpen::kSame || f.is_open()) fail_by_mode(f, failure);
}

void Stream::fail_by_mode(Flow& f, const Failure& failure) {
  // The host should have answered it, with the filter's encode hooks.
  if (f.is_oversize() && f.dir() == Dir::kRequest) return fail(kRequestTooLarge);
  Flow& o = flow(other(f.dir()));
  const bool both = o.waits_for_host();
  const FailedState state{response_.headers_gone(), f.is_untouched() && (!both || o.is_untouched())};
  if (outcome_of(failure, host_.failure_mode(), state) != Outcome::kPass) return fail(failure);
  leave_host();
  // What the other flow holds goes on as far as it is.
  if (both && !ending_.is_dead) pass_on(o);
  if (!ending_.is_dead) pass_on(f);
}

// As it came, also where the filter had begun to write to it.
void Stream::pass_on(Flow& f) {
  restore_maps(f);
  f.let_pass();
}

// The filter is out of this stream.
void Stream::leave_host() {
  if (host_.was_told()) host_.send_end(wire::EndReason_Timeout);
  if (calls_) calls_->cancel_all();
  host_.leave();
}

void Stream::fail(const Failure& failure) {
  if (!is_live()) return;
  const FailedState state{response_.headers_gone(), false};
  const bool replies = outcome_of(failure, FailureMode::kClosed, state) == Outcome::kReply;
  const bool grpc = replies && host_.is_grpc();
  if (ending_.reason == 0) ending_.reason = wire::EndReason_LocalReply;
  reply_.taken();
  end_flows();
  if (!replies) return reset(failure.code);
  if (failure.is_said) log_failure("answered", failure.code);
  const std::string status = std::to_string(failure.grpc);
  std::vector<HeaderLine> lines;
  if (grpc) lines.push_back(HeaderLine::of("grpc-status", status));
  const ReplyFraming framing(request_kind_, failure.http, lines, true);
  reply_.whole(framing, {failure.http, lines, failure.body != nullptr ? failure.body : failure.code, failure.code});
}

void Stream::log_failure(const char* what, const char* code) {
  thread_local LineLimit limit;
  if (limit.allows(now_ns()))
    worker_.process().log(LogLevel::kWarn, "ts_filter: filter " + config_->name + ": stream " + what + ": " + code);
}

void Stream::cut_reply(const char* code) {
  reply_.cut();
  reset(code);
}

void Stream::reset(const char* code) {
  log_failure("reset", code);
  mount_.reset(code);
}

// A reply is in the place of both.
void Stream::end_flows() {
  request_.reply();
  response_.reply();
  host_.settled();
  wait_ = {};
}

// ---- ending ----

uint8_t Stream::end_reason() const {
  if (ending_.reason != 0) return ending_.reason;
  if (reply_.exists()) return reply_.is_under_way() ? wire::EndReason_Downstream : wire::EndReason_Complete;
  const bool response_done = response_.has_headers() && response_.input_ended() &&
                             (response_.state() == FlowState::kPassing || response_.state() == FlowState::kDone);
  return response_done ? wire::EndReason_Complete : wire::EndReason_Downstream;
}

void Stream::on_destroy() {
  const Worker::Scope scope(worker_);
  ending_.is_dead = true;
  if (host_.was_told()) {
    logs_.finish();
    host_.send_end(end_reason());
  }
  calls_.reset();  // Envoy ends them itself
  request_.clear();
  response_.clear();
  reply_.cut();
  host_.destroyed();
}

// ---- log events ----

void Stream::on_log(wire::LogKind kind, const LogSource& source) {
  const Worker::Scope scope(worker_);
  if (kind == wire::LogKind_End) return logs_.know_better(source);
  if (!host_.begun()) {
    // A stream that waits for a host is not begun past its headers hook.
    if (any_headers()) return;
    host_.find_route();
    if (host_.look() != HostSide::Found::kReady || (host_.declared_phases() & log_phase(kind)) == 0)
      return host_.forget();
    host_.begin(RequestKind::read(mount_));
  }
  logs_.tell(kind, source);
}

void Stream::on_complete() {
  const Worker::Scope scope(worker_);
  logs_.on_complete();
}

}  // namespace tsf::core
