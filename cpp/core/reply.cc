#include "core/reply.h"

#include <string>
#include <utility>

namespace tsf::core {

void Reply::whole(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                  std::string_view details) {
  state_ = State::kSent;
  mount_.send_local_reply(status, headers, body, details);
}

void Reply::begin(std::span<const HeaderLine> headers, bool end, bool in_one) {
  in_one_ = in_one;
  state_ = end ? State::kSent : State::kOpen;
  send([&] { mount_.send_reply_headers(headers, end); });
}

void Reply::data(std::string_view bytes, bool end) {
  waiting_.append(bytes);
  if (end) state_ = State::kClosing;
}

void Reply::trailers(std::span<const HeaderLine> lines) {
  above_ = 0;
  flush();
  if (state_ == State::kSent) return;
  state_ = State::kSent;
  send([&] { mount_.send_reply_trailers(lines); });
}

void Reply::cut() {
  waiting_.clear();
  state_ = State::kSent;
}

uint64_t Reply::flush() {
  if (!is_under_way()) return 0;
  return in_one_ ? flush_in_one() : flush_pieces();
}

uint64_t Reply::flush_pieces() {
  uint64_t taken = 0;
  while (!waiting_.empty() && above_ == 0) {
    const std::string bytes(waiting_.front());  // the call below can end the stream and with it the queue
    waiting_.pop(bytes.size());
    const bool end = state_ == State::kClosing && waiting_.empty();
    if (end) state_ = State::kSent;
    taken += bytes.size();
    send([&] { mount_.send_reply_data(bytes, end); });
    if (state_ == State::kSent) return taken;
  }
  if (state_ == State::kClosing && waiting_.empty()) {
    state_ = State::kSent;
    send([&] { mount_.send_reply_data({}, true); });
  }
  return taken;
}

uint64_t Reply::flush_in_one() {
  if (state_ == State::kOpen) {
    const uint64_t fresh = waiting_.size() - credited_;
    credited_ = waiting_.size();
    return fresh;
  }
  std::string all;
  all.reserve(waiting_.size());
  waiting_.each([&](std::string_view piece) { all.append(piece); });
  waiting_.clear();
  state_ = State::kSent;
  send([&] { mount_.send_reply_data(all, true); });
  return 0;
}

}  // namespace tsf::core
