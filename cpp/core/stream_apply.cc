// What the host said, applied on the worker. Every handler returns false for a frame that no correct host sends; the
// caller then drops the host. What merely comes too late is ignored.
#include "core/http_rules.h"
#include "core/stream.h"
#include "core/text.h"

namespace tsf::core {
namespace {

constexpr Failure kFilterError{500, 13, "ts_filter_error", "error happened in filter\r\n"};
constexpr Failure kFilterErrorLate{0, 13, "ts_filter_error_late"};
constexpr Failure kReplyTooLate{0, 13, "ts_filter_reply_late"};

bool is_trailers(uint8_t type) { return type == 1 || type == 3; }
Dir direction_of(uint8_t type) { return type < 2 ? Dir::kRequest : Dir::kResponse; }

// A header block of a reply. `:status` must be first where `status` asks for it, and nowhere else.
bool read_reply_headers(std::string_view block, bool status, std::vector<HeaderLine>& out) {
  BlockReader reader(block);
  while (!reader.done()) {
    std::string_view name;
    std::string_view value;
    if (!reader.pair(name, value)) return false;
    const bool first = status && out.empty();
    if (first ? name != ":status" || !valid_status(value) : !valid_header_name(name) || !valid_header_value(value))
      return false;
    out.push_back(HeaderLine::of(name, value));
  }
  return !status || !out.empty();
}

}  // namespace

bool Stream::on_answer(const wire::Answer& frame) {
  if (frame.type() > 3 || frame.mode() > wire::BodyMode_Whole) return false;
  Flow& f = flow(direction_of(frame.type()));
  if (dead_ || replied_) return true;
  if (frame.phases() != UINT32_MAX) phases_ = frame.phases();
  if (is_trailers(frame.type())) {
    if (!f.trailers_told || f.trailers_answered) return true;
    if (!apply_ops(static_cast<HeaderType>(frame.type()), view_of(frame.block()))) return false;
    f.trailers_answered = true;
    f.deadline = 0;
    advance(f);
    return true;
  }
  if (f.state != State::kAsked || f.headers_pending) return true;
  if (!apply_ops(static_cast<HeaderType>(frame.type()), view_of(frame.block()))) return false;
  return answer_headers(f, frame.mode());
}

bool Stream::answer_headers(Flow& f, uint8_t mode) {
  f.deadline = 0;
  if (mode == wire::BodyMode_Pass || f.headers_only || upgrade_) {
    if (f.trailers_seen && wants_trailers(f) && !upgrade_) {
      // The trailers came before this answer and are still to be asked for.
      absorb_input(f);
      send_waiting();
      return true;
    }
    let_pass(f);
    return true;
  }
  f.hosted = true;
  f.hold = mode == wire::BodyMode_StreamHold;
  if (mode == wire::BodyMode_Whole) {
    f.state = State::kWhole;
    f.hold = f.whole = true;
    time_whole_body(f);
    send_waiting();
    return true;
  }
  f.state = State::kStream;
  // With input at hand the headers go with the first push; without, they must not wait for it.
  if (!f.hold && !f.unread && !f.input_ended) {
    f.push_wanted = true;
    push(f);
    if (dead_ || replied_) return true;
  }
  send_waiting();
  return true;
}

bool Stream::apply_ops(HeaderType type, std::string_view block) {
  const Flow& f = flow(direction_of(static_cast<uint8_t>(type)));
  const bool held = is_trailers(static_cast<uint8_t>(type)) ? f.trailers_seen && f.state != State::kDone
                                                            : f.headers_seen && !f.headers_sent;
  BlockReader reader(block);
  while (!reader.done()) {
    uint32_t op = 0;
    std::string_view name;
    std::string_view value;
    if (!reader.number(op) || !reader.pair(name, value)) return false;
    switch (op) {
      case wire::HeaderOp_Set:
      case wire::HeaderOp_Add:
        if (!writable_header(type, name, value)) return false;
        if (!held) break;
        if (op == wire::HeaderOp_Set) {
          mount_.set_header(type, name, value);
        } else {
          mount_.add_header(type, name, value);
        }
        break;
      case wire::HeaderOp_Delete:
        if (!valid_header_name(name)) return false;
        if (held) mount_.remove_header(type, name);
        break;
      case wire::HeaderOp_ClearRouteCache: mount_.clear_route_cache(); break;
      case wire::HeaderOp_RefreshRouteCache: mount_.refresh_route_cache(); break;
      default: return false;
    }
  }
  return true;
}

bool Stream::on_ops(const wire::Ops& frame) {
  if (frame.type() > 3) return false;
  return dead_ || replied_ || apply_ops(static_cast<HeaderType>(frame.type()), view_of(frame.block()));
}

bool Stream::grow_out(Flow& f, std::string_view bytes) {
  grow(f.out, bytes);
  if (f.out.size() <= config_->settings.max_pending_output &&
      worker_.pending() <= static_cast<int64_t>(config_->settings.max_pending_total))
    return true;
  fail(kOutputLimit);
  return false;
}

bool Stream::on_output(const wire::Output& frame) {
  if (frame.direction() > wire::Direction_Response) return false;
  Flow& f = flow(static_cast<Dir>(frame.direction()));
  const uint8_t flags = frame.flags();
  const auto bytes = view_of(frame.bytes());
  if (frame.acknowledged() > f.outstanding) return false;
  f.outstanding -= frame.acknowledged();
  if (dead_ || replied_) return true;
  switch (f.state) {
    case State::kAsked:
      if ((flags & wire::OutputFlag_Added) == 0) return false;
      grow_out(f, bytes);
      return true;
    case State::kEnding:
      // addData in a trailers hook of a body that went past the host, or that its filter has let go of.
      if (!f.output_done && (flags & wire::OutputFlag_Added) != 0 && !f.trailers_answered) grow_out(f, bytes);
      return true;
    case State::kStream:
    case State::kWhole:
    case State::kBypass: break;
    default: return true;
  }
  f.deadline = 0;
  f.whole = false;
  if (!grow_out(f, bytes)) return true;
  if ((flags & wire::OutputFlag_Gather) != 0 && f.state == State::kStream) f.state = State::kWhole;
  if ((flags & wire::OutputFlag_Last) != 0) {
    f.state = State::kEnding;
    f.push_wanted = true;
    clear(f.held);
    clear(f.original);
  } else if ((flags & wire::OutputFlag_Bypass) != 0) {
    f.state = State::kBypass;
  }
  if ((flags & wire::OutputFlag_Release) != 0) f.hold = false;
  if ((flags & wire::OutputFlag_Timed) != 0) start_timer(f);
  if ((flags & wire::OutputFlag_Push) != 0) f.push_wanted = true;
  if ((flags & (wire::OutputFlag_Last | wire::OutputFlag_Trailing)) != 0) {
    f.output_done = true;
    time_trailers(f);
  }
  advance(f);
  return true;
}

bool Stream::on_local_reply(const wire::LocalReply& frame) {
  const auto block = view_of(frame.block());
  if (frame.status() < 200 || frame.status() > 599 || frame.grpc_status() < -1 || frame.grpc_status() > 16)
    return false;
  if (uint64_t{frame.details_length()} + frame.headers_length() > block.size()) return false;
  const auto details = block.substr(0, frame.details_length());
  std::vector<HeaderLine> headers;
  if (!valid_header_value(details) ||
      !read_reply_headers(block.substr(details.size(), frame.headers_length()), false, headers))
    return false;
  if (dead_ || replied_) return true;
  if (response_.headers_sent) {
    fail(kReplyTooLate);
    return true;
  }
  const std::string grpc =
      std::to_string(frame.grpc_status() >= 0 ? frame.grpc_status() : grpc_status_of(frame.status()));
  if (frame.grpc_status() >= 0 || is_grpc()) headers.push_back(HeaderLine::of("grpc-status", grpc));
  replied_ = true;
  end_flows();
  mount_.send_local_reply(frame.status(), headers, block.substr(details.size() + frame.headers_length()), details);
  return true;
}

bool Stream::on_reply(const wire::Reply& frame) {
  const auto block = view_of(frame.block());
  std::vector<HeaderLine> headers;
  if (frame.part() > wire::ReplyPart_Trailers) return false;
  if (frame.part() != wire::ReplyPart_Data &&
      !read_reply_headers(block, frame.part() == wire::ReplyPart_Headers, headers))
    return false;
  if (dead_) return true;
  if (frame.part() == wire::ReplyPart_Headers) {
    if (replied_) return true;
    if (response_.headers_sent) {
      fail(kReplyTooLate);
      return true;
    }
    // What Envoy holds of the response that this one replaces would go out before it.
    discard_unread(response_);
    if (dead_) return true;
    reply_in_one_ = response_.headers_seen && response_.input_ended;
    replied_ = streaming_reply_ = true;
    end_flows();
    if (frame.end()) reply_ended_ = reply_end_sent_ = true;
    send_own([&] { mount_.send_reply_headers(headers, frame.end()); });
    return true;
  }
  if (!streaming_reply_ || reply_ended_) return true;
  if (frame.part() == wire::ReplyPart_Trailers) {
    send_trailers_of_reply(headers);
    return true;
  }
  grow(reply_, block);
  if (reply_.size() > config_->settings.max_pending_output) {
    clear(reply_);
    reset(kOutputLimit.code);
    return true;
  }
  reply_ended_ = frame.end();
  flush_reply();
  return true;
}

// Trailers go behind all data; what the client has not taken yet is the codec's to hold now.
void Stream::send_trailers_of_reply(std::span<const HeaderLine> trailers) {
  above_watermark_ = 0;
  flush_reply();
  if (dead_) return;
  reply_ended_ = reply_end_sent_ = true;
  send_own([&] { mount_.send_reply_trailers(trailers); });
}

bool Stream::on_fail(const wire::Fail& frame) {
  if (frame.type() > 3) return false;
  if (dead_) return true;
  worker_.process().log(LogLevel::kError,
                        "ts_filter: filter " + config_->name + " failed: " + printable(view_of(frame.block())));
  if (config_->panics) {
    const std::string_view name = config_->name;
    mount_.record(MetricKind::kCounter, MetricOp::kIncrement, *config_->panics, {&name, 1}, 1);
  }
  if (streaming_reply_ && !reply_end_sent_) {
    end_reason_ = wire::EndReason_LocalReply;
    clear(reply_);
    reply_ended_ = reply_end_sent_ = true;
    reset(kFilterErrorLate.code);
    return true;
  }
  fail(response_.headers_sent ? kFilterErrorLate : kFilterError);
  return true;
}

bool Stream::on_extend(const wire::Extend& frame) {
  for (const Dir dir : {Dir::kRequest, Dir::kResponse}) {
    Flow& f = flow(dir);
    const Nanos most = now_ns() + nanos(std::chrono::hours(24));
    if (f.deadline != 0)
      f.deadline = std::max(f.deadline, std::min(most, f.deadline + Nanos{frame.milliseconds()} * 1'000'000));
  }
  return true;
}

}  // namespace tsf::core
