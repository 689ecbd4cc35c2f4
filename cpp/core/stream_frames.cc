// Frames from the host, applied on the worker. Every handler returns false for a frame that no correct host sends; the
// caller then drops the host. What merely comes too late is ignored.
#include <algorithm>

#include "core/header_ops.h"
#include "core/http_rules.h"
#include "core/stream.h"

namespace tsf::core {
namespace {

bool is_header_type(uint8_t type) { return type <= static_cast<uint8_t>(HeaderType::kResponseTrailers); }
bool is_trailers(uint8_t type) { return type == 1 || type == 3; }
bool streams_body(uint8_t mode) { return mode == wire::BodyMode_Stream || mode == wire::BodyMode_StreamHold; }
Dir direction_of(uint8_t type) { return type < 2 ? Dir::kRequest : Dir::kResponse; }

}  // namespace

bool Stream::on_answer(const wire::Answer& frame) {
  if (!is_header_type(frame.type()) || frame.mode() > wire::BodyMode_Whole) return false;
  if (!is_live() || is_failing()) return true;
  Flow& f = flow(direction_of(frame.type()));
  host_.set_phases(frame.phases());
  if (is_misplaced() || (mount_.is_upstream() && streams_body(frame.mode()) && !f.is_headers_only())) {
    fail(kNotUpstream);
    return true;
  }
  const bool trailers = is_trailers(frame.type());
  if (trailers ? !f.takes_trailers_answer() : !f.takes_answer()) return true;
  // Unless the map goes on now.
  if (!view_of(frame.block()).empty() && (trailers || frame.mode() == wire::BodyMode_Whole))
    keep_original(static_cast<HeaderType>(frame.type()));
  host_.settled();
  if (!apply_header_ops(mount_, static_cast<HeaderType>(frame.type()), view_of(frame.block()), f.takes_ops(trailers),
                        trailers ? nullptr : &f.framing()))
    return false;
  if (!trailers) return f.on_answer(frame.mode());
  f.on_trailers_answer();
  return true;
}

bool Stream::on_ops(const wire::Ops& frame) {
  if (!is_header_type(frame.type())) return false;
  if (!is_live()) return true;
  Flow& f = flow(direction_of(frame.type()));
  const bool trailers = is_trailers(frame.type());
  if (f.takes_ops(trailers)) keep_original(static_cast<HeaderType>(frame.type()));
  return apply_header_ops(mount_, static_cast<HeaderType>(frame.type()), view_of(frame.block()), f.takes_ops(trailers),
                          trailers ? nullptr : &f.framing());
}

bool Stream::on_output(const wire::Output& frame) {
  if (frame.direction() > wire::Direction_Response) return false;
  return is_failing() || flow(static_cast<Dir>(frame.direction())).on_output(frame);
}

// ---- replies ----

bool Stream::on_local_reply(const wire::LocalReply& frame) {
  const auto block = view_of(frame.block());
  if (frame.status() < 200 || frame.status() > 599 || frame.grpc_status() < -1 || frame.grpc_status() > 16)
    return false;
  if (uint64_t{frame.details_length()} + frame.headers_length() > block.size()) return false;
  const auto details = block.substr(0, frame.details_length());
  std::vector<HeaderLine> headers;
  if (!valid_header_value(details) ||
      !read_headers(block.substr(details.size(), frame.headers_length()), BlockOf::kWholeReply, headers))
    return false;
  if (!is_live()) return true;
  if (response_.headers_gone()) {
    fail(kReplyTooLate);
    return true;
  }
  const std::string grpc =
      std::to_string(frame.grpc_status() >= 0 ? frame.grpc_status() : grpc_status_of(frame.status()));
  if (frame.grpc_status() >= 0 || host_.is_grpc()) headers.push_back(HeaderLine::of("grpc-status", grpc));
  const ReplyFraming framing(request_kind_, frame.status(), headers, true);
  reply_.taken();
  end_flows();
  reply_.whole(framing, {frame.status(), headers, block.substr(details.size() + frame.headers_length()), details});
  return true;
}

// A reply that streams: its headers.
void Stream::begin_reply(std::vector<HeaderLine>& lines, bool end) {
  if (reply_.exists()) return;
  if (mount_.is_upstream()) return fail(kNotUpstream);
  if (response_.headers_gone()) return fail(kReplyTooLate);
  const ReplyFraming framing(request_kind_, status_of(lines.front().value()), lines, end);
  if (!framing.is_valid() || (end && !framing.is_kept())) return fail(kWrongLength);
  const bool in_one = response_.has_headers();
  reply_.taken();
  end_flows();
  if (!ending_.is_dead) reply_.begin(framing, lines, end, in_one);
}

bool Stream::on_reply(const wire::Reply& frame) {
  const auto block = view_of(frame.block());
  std::vector<HeaderLine> headers;
  if (frame.part() > wire::ReplyPart_Trailers) return false;
  const auto of = frame.part() == wire::ReplyPart_Headers ? BlockOf::kReply : BlockOf::kTrailers;
  if (frame.part() != wire::ReplyPart_Data && !read_headers(block, of, headers)) return false;
  if (ending_.is_dead) return true;
  if (frame.part() == wire::ReplyPart_Headers) {
    begin_reply(headers, frame.end());
    return true;
  }
  if (!reply_.is_open()) return true;
  const bool is_trailers = frame.part() == wire::ReplyPart_Trailers;
  const bool is_right = is_trailers ? reply_.trailers(headers) : reply_.data(block, frame.end());
  if (!is_right) {
    cut_reply(kWrongLength.code);
  } else if (!is_trailers && reply_.waiting() > config_->settings.max_pending_output) {
    cut_reply(kOutputLimit.code);
  } else if (!is_trailers) {
    flush_reply();
  }
  return true;
}

void Stream::flush_reply() {
  const uint64_t taken = reply_.flush();
  if (!ending_.is_dead) host_.send_credit(wire::CreditOf_Reply, taken);
}

bool Stream::on_fail(const wire::Fail& frame) {
  if (!is_header_type(frame.type())) return false;
  if (ending_.is_dead) return true;
  report_failure(frame, *config_, mount_, worker_.process());
  if (reply_.is_under_way()) {
    ending_.reason = wire::EndReason_LocalReply;
    cut_reply(kFilterErrorLate.code);
    return true;
  }
  fail(filter_error(response_.headers_gone()));
  return true;
}

bool Stream::on_extend(const wire::Extend& frame) {
  const Nanos most = now_ns() + nanos(std::chrono::hours(24));
  for (Flow* f : {&request_, &response_}) f->extend_deadline(Nanos{frame.milliseconds()} * 1'000'000, most);
  return true;
}

// ---- acts and questions ----

bool Stream::on_act(const wire::Act& frame) {
  if (ending_.is_dead) return true;
  switch (do_act(frame, *config_, mount_, worker_.process())) {
    case ActDone::kDone: return true;
    case ActDone::kBroken: return false;
    case ActDone::kRecreate:
      if (is_live()) recreate();
      return true;
  }
  return true;
}

// Envoy begins anew with the request headers and the body that it holds: all of the body has to be there.
void Stream::recreate() {
  const bool is_whole =
      request_.is_headers_only() || (request_.state() == FlowState::kAsked && !response_.has_headers());
  recreate_wanted_ = is_whole && !request_.input_ended();
  if (recreate_wanted_) return;  // its end comes back to it; message_timeout runs on
  if (!is_whole || request_.has_trailers() || response_.headers_gone()) return fail(kRecreateRefused);
  request_.mount().give_back();
  if (ending_.is_dead) return;
  const uint8_t reason_before = std::exchange(ending_.reason, wire::EndReason_LocalReply);
  if (mount_.recreate() || ending_.is_dead) return;
  ending_.reason = reason_before;
  fail(kRecreateRefused);
}

bool Stream::on_query(const wire::Query& frame) {
  if (ending_.is_dead || host_.channel() == nullptr) return true;
  const auto value = answer_query(frame, *config_, mount_);
  host_.send_answer(frame.query(), value.has_value(), value.value_or(""));
  return true;
}

// ---- calls ----

template <class Hear>
void Stream::hear_call(Hear hear) {
  if (!calls_) return;
  const Worker::Scope scope(worker_);
  hear();
  send_calls();
}

bool Stream::on_call(const wire::Call& frame) {
  if (ending_.is_dead) return true;
  if (!calls_) calls_ = std::make_unique<Calls>(mount_, config_->settings.max_pending_output);
  const bool ok = calls_->on_frame(frame);
  send_calls();
  return ok;
}

void Stream::on_call_headers(uint64_t call, std::span<const HeaderLine> headers, bool end) {
  hear_call([&] { calls_->on_headers(call, headers, end); });
}
void Stream::on_call_data(uint64_t call, std::span<const Bytes> chunks, bool end) {
  hear_call([&] { calls_->on_data(call, chunks, end); });
}
void Stream::on_call_trailers(uint64_t call, std::span<const HeaderLine> trailers) {
  hear_call([&] { calls_->on_trailers(call, trailers); });
}
void Stream::on_call_reset(uint64_t call) {
  hear_call([&] { calls_->on_reset(call); });
}

void Stream::send_calls() {
  if (calls_ && !ending_.is_dead && host_.reachable()) calls_->send(host_);
}

}  // namespace tsf::core
