#include "core/reply.h"

#include <algorithm>
#include <string>
#include <utility>

namespace tsf::core {

void Reply::whole(const ReplyFraming& framing, const WholeReply& reply) {
  state_ = State::kSent;
  mount_.send_local_reply(reply.status, reply.headers, framing.has_length() ? reply.body : std::string_view(),
                          reply.details);
}

void Reply::begin(const ReplyFraming& framing, std::span<const HeaderLine> headers, bool end, bool in_one) {
  framing_ = framing;
  in_one_ = in_one;
  const bool ends = end || !framing.has_body();
  state_ = ends ? State::kSent : State::kOpen;
  send([&] { mount_.send_reply_headers(headers, ends); });
}

bool Reply::data(std::string_view bytes, bool end) {
  waiting_.append(bytes);
  if (end) state_ = State::kClosing;
  return framing_.made(bytes.size()) && (!end || framing_.is_kept());
}

bool Reply::trailers(std::span<const HeaderLine> lines) {
  if (!framing_.is_kept()) return false;
  above_ = 0;
  (void)flush_pieces();
  if (state_ == State::kSent) return true;
  state_ = State::kSent;
  send([&] { mount_.send_reply_trailers(lines); });
  return true;
}

void Reply::cut() {
  waiting_.clear();
  state_ = State::kSent;
}

uint64_t Reply::flush() {
  if (!is_under_way()) return 0;
  if (state_ == State::kOpen && (in_one_ || framing_.is_full())) return credit_waiting();
  return in_one_ ? flush_in_one() : flush_pieces();
}

// It goes later, with the end.
uint64_t Reply::credit_waiting() {
  const uint64_t fresh = waiting_.size() - credited_;
  credited_ = waiting_.size();
  return fresh;
}

uint64_t Reply::flush_pieces() {
  uint64_t taken = 0;
  const uint64_t credited = std::exchange(credited_, 0);
  while (!waiting_.empty() && above_ == 0) {
    const std::string bytes(waiting_.front());  // the call below can end the stream and with it the queue
    waiting_.pop(bytes.size());
    const bool end = state_ == State::kClosing && waiting_.empty();
    if (end) state_ = State::kSent;
    taken += bytes.size();
    send([&] { mount_.send_reply_data(bytes, end); });
    if (state_ == State::kSent) return taken - std::min(credited, taken);
  }
  if (state_ == State::kClosing && waiting_.empty()) {
    state_ = State::kSent;
    send([&] { mount_.send_reply_data({}, true); });
  }
  credited_ = credited - std::min(credited, taken);
  return taken - std::min(credited, taken);
}

uint64_t Reply::flush_in_one() {
  std::string all;
  all.reserve(waiting_.size());
  waiting_.each([&](std::string_view piece) { all.append(piece); });
  waiting_.clear();
  state_ = State::kSent;
  send([&] { mount_.send_reply_data(all, true); });
  return 0;
}

}  // namespace tsf::core
