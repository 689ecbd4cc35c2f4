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
  const bool ends = end || !framing.has_body();
  in_one_ = in_one && !ends;
  state_ = ends ? State::kSent : State::kOpen;
  if (!in_one_) return send([&] { mount_.send_reply_headers(headers, ends); });
  for (const auto& line : headers) headers_.emplace_back(line.name(), line.value());
}

bool Reply::data(std::string_view bytes, bool end) {
  waiting_.append(bytes);
  if (end) state_ = State::kClosing;
  return framing_.made(bytes.size()) && (!end || framing_.is_kept());
}

bool Reply::trailers(std::span<const HeaderLine> lines) {
  if (!framing_.is_kept()) return false;
  above_ = 0;
  if (in_one_ ? !send_in_one(false) : (flush_pieces(), state_ == State::kSent)) return true;
  state_ = State::kSent;
  send([&] { mount_.send_reply_trailers(lines); });
  return true;
}

void Reply::cut() {
  waiting_.clear();
  headers_.clear();
  state_ = State::kSent;
}

uint64_t Reply::flush() {
  if (!is_under_way()) return 0;
  if (state_ == State::kOpen && (in_one_ || framing_.is_full())) return credit_waiting();
  if (!in_one_) return flush_pieces();
  (void)send_in_one(true);
  return 0;
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

bool Reply::send_in_one(bool end) {
  std::string all;
  all.reserve(waiting_.size());
  waiting_.each([&](std::string_view piece) { all.append(piece); });
  waiting_.clear();
  const auto headers = std::exchange(headers_, {});
  std::vector<HeaderLine> lines;
  for (const auto& [name, value] : headers) lines.push_back(HeaderLine::of(name, value));
  const std::string length = std::to_string(all.size());
  if (end && !framing_.names_length()) lines.push_back(HeaderLine::of("content-length", length));
  send([&] { mount_.send_reply_headers(lines, end && all.empty()); });
  if (state_ == State::kSent) return false;
  if (end) state_ = State::kSent;
  if (!all.empty()) send([&] { mount_.send_reply_data(all, end); });
  return !end && state_ != State::kSent;
}

}  // namespace tsf::core
