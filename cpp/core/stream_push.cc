// What goes to Envoy: releases, pushes, ends, streamed replies (docs/lifecycle.md, "Pushing").
#include "core/http_rules.h"
#include "core/stream.h"

namespace tsf::core {
namespace {
constexpr std::chrono::milliseconds kPushDelay{20};
constexpr Failure kContinueLost{502, 13, "ts_filter_continue_lost"};
}  // namespace

void Stream::settle(Flow& f, bool stop) {
  f.stopped = stop;
  if (!shared_flag()) return;
  spent_ = !stop;
  // The other direction may have waited for the flag.
  Flow& o = flow(other(f.dir));
  if (stop && o.stopped && (o.push_wanted || o.release_wanted || o.state == State::kEnding)) worker_.defer(id_);
}

bool Stream::can_continue(Flow& f) {
  if (dead_ || !f.stopped || !siblings_are_through(f) || end_is_held_before(f)) return false;
  if (!shared_flag()) return true;
  // The response's last continue must not be lost to an upload that the router has given up.
  if (f.dir == Dir::kRequest && response_.input_ended && waits_for_host(response_)) return false;
  if (f.dir == Dir::kResponse && request_needs_flag()) return unpause(f);
  if (!spent_) return true;
  if (!response_.headers_seen || response_.input_ended || replied_ || !rearm_reaches_us()) return unpause(f);
  // An empty data frame of our own re-enters our response hook, whose Stop clears the flag.
  rearming_ = true;
  mount_.send_reply_data({}, false);
  rearming_ = false;
  return !dead_ && !spent_;
}

// Whether the request has gone as far as to Envoy's router: it takes this header out.
bool Stream::router_reached() {
  router_reached_ =
      router_reached_ || (router_awaited_ && !mount_.header(HeaderType::kRequest, kRouterTakes).has_value());
  return router_reached_;
}

// Before the headers of a body of ours go on.
void Stream::await_router() {
  router_awaited_ = true;
  if (!mount_.header(HeaderType::kRequest, kRouterTakes)) mount_.set_header(HeaderType::kRequest, kRouterTakes, "0");
}

// What lies in Envoy's buffer has been sent upstream and is kept for a retry, a redirect or a mirror. Shown to the
// router again, it would be sent again.
bool Stream::is_routers_copy(const Flow& f) {
  return f.dir == Dir::kRequest && f.headers_sent && !f.unread && mount_.body_size(f.dir, BodySource::kBuffered) > 0 &&
         router_reached();
}

// Behind a continue: the copy is whole again. `shown`: the router was given bytes; when it kept none of them, it has
// given up (the body is over its limit), and the copy is of no use.
void Stream::put_copy_back(Flow& f, const std::string& copy, bool shown) {
  const std::string kept = take_body(f.dir, BodySource::kBuffered);
  if (shown && kept.empty()) return;
  mount_.append_body(f.dir, BodySource::kBuffered, copy);
  if (!kept.empty()) mount_.append_body(f.dir, BodySource::kBuffered, kept);
  f.beyond = copy.size() + kept.size();
}

// Appends the bytes to Envoy's buffer and lets it go on with them.
void Stream::continue_with(Flow& f, std::initializer_list<ByteQueue*> queues) {
  Stream* const owner = owner_before(f);
  const std::string parked = owner != nullptr ? owner->take_body(f.dir, BodySource::kBuffered) : std::string();
  const std::string copy = is_routers_copy(f) ? take_body(f.dir, BodySource::kBuffered) : std::string();
  const size_t kept_behind_us = mount_.body_size(f.dir, BodySource::kBuffered);
  if (chain_ != nullptr) chain_->set_pushed_over(f.dir, kept_behind_us);
  const bool all_is_kept = f.emitted > 0 && kept_behind_us == f.emitted;
  const uint64_t before = f.emitted;
  for (ByteQueue* queue : queues) {
    f.emitted += queue->size();
    put_back(f, *queue);
  }
  if (dead_) return;
  // The buffer filter behind us has kept all so far and is shown it once more. It counts what it is shown, and would
  // give the body a length that is too large.
  if (buffer_filter_behind_ && all_is_kept && f.input_ended && !mount_.header(HeaderType::kRequest, "content-length"))
    mount_.set_header(HeaderType::kRequest, "content-length", std::to_string(f.emitted));
  const bool may_meet_buffer = f.dir == Dir::kRequest && !f.headers_sent && !f.input_ended;
  const uint64_t limit = may_meet_buffer ? mount_.buffer_limit() : 0;
  // It sets its own limit when the headers reach it; one byte more than there was shows that.
  if (limit > 0) mount_.set_buffer_limit(limit + 1);
  do_continue(f);
  if (dead_) return;
  if (limit > 0) {
    buffer_filter_behind_ = mount_.buffer_limit() != limit + 1;
    if (!buffer_filter_behind_) mount_.set_buffer_limit(limit);
  }
  if (chain_ != nullptr) chain_->set_pushed_over(f.dir, 0);
  if (!copy.empty()) put_copy_back(f, copy, f.emitted > before);
  if (owner != nullptr && !dead_) owner->put_unread_back(f.dir, parked);
}

// Envoy 1.38, several of ours in one chain: an empty frame of ours may not get to our own hook, so that nothing clears
// the flag once the request has had its last hook. Until the request is through, the flag is kept for it.
bool Stream::request_needs_flag() const {
  return shared_flag() && has_siblings() && request_.input_ended && !response_.input_ended &&
         (waits_for_host(request_) || request_.state == State::kEnding || request_.release_wanted);
}

// False, always: no continue now. What lies unread must not keep the peer from bringing the hook that allows one.
bool Stream::unpause(Flow& f) {
  if (f.unread && !f.input_ended && !in_hook()) hold_body(f, BodySource::kBuffered);
  return false;
}

void Stream::do_continue(Flow& f) {
  // 1.38: Envoy has answered while our bytes were put into its buffer; a continue now would spend the response's flag.
  if (upload_is_void(f.dir)) return;
  const bool request = f.dir == Dir::kRequest;
  const bool more_will_follow = f.hosted && !f.input_ended;
  if (request && !f.headers_sent && !f.headers_only && (more_will_follow || shared_flag())) await_router();
  f.stopped = false;
  f.fresh = false;
  f.headers_sent = true;
  f.release_wanted = false;
  if (request) nested_ = true;
  mount_.continue_flow(f.dir);
  if (request) nested_ = false;
  spent_ = true;  // Envoy sets its flag after the call, whatever happened in it
  if (dead_ || replied_) return;
  const size_t left = mount_.body_size(f.dir, BodySource::kBuffered);
  f.beyond = left;
  if (!f.input_ended) cross_limit_again(f, left);
  if (dead_ || replied_) return;
  if (!shared_flag() || !request) return;
  if (!f.input_ended) {
    others_hold_ = others_hold_ || left > 0;
  } else if (left > 0 && !others_hold_ && !response_.headers_seen && !router_reached()) {
    // No later filter has kept bytes so far. If nothing moves, the continue was lost to a 1xx or METADATA frame.
    end_probe_ = left;
    start_timer(f);
  }
}

// A filter behind us wants the whole body and has kept what paused the peer while it was ours. Envoy goes on below half
// of its limit only, and refuses a body only where it crosses the limit: taken out and put back, it does the one or the
// other.
void Stream::cross_limit_again(Flow& f, size_t kept) {
  const uint64_t limit = mount_.buffer_limit();
  if (limit == 0 || kept <= limit / 2 || is_routers_copy(f)) return;
  const std::string bytes = take_body(f.dir, BodySource::kBuffered);
  if (!dead_) mount_.append_body(f.dir, BodySource::kBuffered, bytes);
}

void Stream::check_end(Flow& f) {
  if (end_probe_ == 0 || response_.headers_seen) return;
  if (mount_.body_size(f.dir, BodySource::kBuffered) == end_probe_) fail(kContinueLost);
}

// Piece by piece, so that the bytes are never there twice.
void Stream::put_back(Flow& f, ByteQueue& bytes) {
  while (!dead_ && !bytes.empty()) {
    const auto piece = bytes.front();
    mount_.append_body(f.dir, BodySource::kBuffered, piece);
    if (!dead_) shrink(bytes, piece.size());
  }
}

void Stream::discard_unread(Flow& f) {
  if (!f.unread) return;
  f.unread = false;
  mount_.drain_body(f.dir, BodySource::kBuffered, mount_.body_size(f.dir, BodySource::kBuffered));
}

// PASS: everything that is held goes on, in order: added output, held input, Envoy's own buffer.
void Stream::release(Flow& f) {
  if (!can_continue(f)) {
    f.release_wanted = !dead_;
    if (!dead_) wake_siblings(f);
    return;
  }
  if (f.unread && (!f.out.empty() || !f.held.empty())) hold_body(f, BodySource::kBuffered);
  if (f.unread) {
    f.unread = false;
    return do_continue(f);  // the buffer is ours and goes as it is
  }
  continue_with(f, {&f.out, &f.held});
}

void Stream::advance(Flow& f) {
  if (dead_ || replied_) return;
  if (f.state == State::kBypass && f.outstanding == 0) end_bypass(f);
  if (f.state == State::kEnding && !f.in_hook) discard_unread(f);
  if (complete(f)) {
    finish(f);
  } else if (f.push_wanted) {
    push(f);
  }
  send_waiting();
}

void Stream::end_bypass(Flow& f) {
  if (f.in_hook) return worker_.defer(id_);
  if (f.input_ended) {
    absorb_input(f);
    return;
  }
  if (!f.stopped && f.out.empty() && f.held.empty() && !f.unread) {
    f.state = State::kPass;
    return;
  }
  if (!f.stopped) {
    // Only the next hook makes a continue possible, and a peer that is paused by what lies unread never brings one.
    if (f.unread) hold_body(f, BodySource::kBuffered);
    return;
  }
  f.state = State::kPass;
  release(f);
}

// What the host never saw is the rest of the output.
void Stream::absorb_input(Flow& f) {
  if (f.unread) hold_body(f, BodySource::kBuffered);
  while (!f.held.empty()) {
    const auto piece = f.held.front();
    grow(f.out, piece);
    shrink(f.held, piece.size());
  }
  f.state = State::kEnding;
}

bool Stream::complete(const Flow& f) const {
  return f.state == State::kEnding && f.input_ended && (!f.trailers_seen || f.trailers_answered || !wants_trailers(f));
}

void Stream::finish(Flow& f) {
  if (f.in_hook) return worker_.defer(id_);
  if (!can_continue(f)) return;
  f.state = State::kDone;
  f.deadline = 0;
  continue_with(f, {&f.out});
}

void Stream::push(Flow& f) {
  if (f.in_hook) return worker_.defer(id_);
  if (f.input_ended && f.state != State::kPass) return;  // one continue is left, it is for the end
  if (f.out.empty() && (f.headers_sent || f.hold)) {
    f.push_wanted = false;
    return;
  }
  if (f.out.empty() && f.outstanding > 0 && !f.overdue()) {
    // The host has input and no output yet: a push now would spend the one continue on the bare headers, and the
    // output would wait for the next hook. A filter that takes its time does not hold the headers for long, though.
    return push_soon(f);
  }
  const size_t unread = f.unread ? mount_.body_size(f.dir, BodySource::kBuffered) : 0;
  const bool little = unread + f.held.size() <= config_->settings.stream_window;
  // Much unread input has to be taken out and put back around the push: worth it for much output, or for late one.
  if (!little && !f.overdue() && f.out.size() < unread / 8) return push_soon(f);
  if (!worth_passing_copy(f) || !can_continue(f)) return;
  f.push_by = 0;
  f.push_wanted = false;
  if (f.unread && little) hold_body(f, BodySource::kBuffered);
  const std::string parked = f.unread ? take_body(f.dir, BodySource::kBuffered) : std::string();
  continue_with(f, {&f.out});
  if (f.unread && !dead_) put_unread_back(f.dir, parked);
}

// The router gives its copy up when it is shown more than its limit at once, which we do not know. A body for which the
// copy has grown past Envoy's own limit goes on in ever larger pieces, until it does.
bool Stream::worth_passing_copy(Flow& f) {
  const uint64_t limit = mount_.buffer_limit();
  if (limit == 0 || !is_routers_copy(f)) return true;
  if (mount_.body_size(f.dir, BodySource::kBuffered) + f.out.size() <= limit) return true;
  f.copy_floor = std::max<size_t>(f.copy_floor, limit);
  if (f.out.size() < f.copy_floor) return false;
  f.copy_floor *= 2;
  return true;
}

void Stream::push_soon(Flow& f) {
  if (f.push_by != 0) return;
  f.push_by = now_ns() + nanos(kPushDelay);
  worker_.arm(f.push_by);
}

void Stream::flush_reply() {
  if (!streaming_reply_ || dead_) return;
  if (reply_in_one_) return flush_reply_in_one();
  uint64_t taken = 0;
  while (!reply_.empty() && above_watermark_ == 0) {
    const auto piece = reply_.front();
    const bool end = reply_ended_ && piece.size() == reply_.size();
    taken += piece.size();
    const std::string bytes(piece);  // the call below can end the stream and with it the queue
    shrink(reply_, piece.size());
    if (end) reply_end_sent_ = true;
    send_own([&] { mount_.send_reply_data(bytes, end); });
    if (dead_) return;
  }
  if (reply_ended_ && reply_.empty() && !reply_end_sent_) {
    reply_end_sent_ = true;
    send_own([&] { mount_.send_reply_data({}, true); });
    return;
  }
  give_credit(taken);
}

// The reply takes the place of a response whose end Envoy has had: Envoy would end the stream with its first piece.
void Stream::flush_reply_in_one() {
  if (!reply_ended_) {
    give_credit(reply_.size() - reply_credited_);
    reply_credited_ = reply_.size();
    return;
  }
  if (reply_end_sent_) return;
  std::string all;
  all.reserve(reply_.size());
  while (!reply_.empty()) {
    const auto piece = reply_.front();
    all.append(piece);
    shrink(reply_, piece.size());
  }
  reply_end_sent_ = true;
  send_own([&] { mount_.send_reply_data(all, true); });
}

void Stream::give_credit(uint64_t bytes) {
  if (bytes == 0 || !channel_ || channel_->lost()) return;
  const auto& shape = frame_templates().credit;
  alignas(8) std::byte frame[64];
  auto* credit = shape.place(frame);
  credit->mutate_stream(id_.slot);
  credit->mutate_generation(id_.generation);
  credit->mutate_bytes(static_cast<uint32_t>(bytes));
  channel_->write_or_owe(wire::FrameKind_Credit, {frame, shape.size()});
}

}  // namespace tsf::core
