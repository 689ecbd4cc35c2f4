// A reply in the place of a response: whole, or streamed as fast as the client takes it. Its states:
//
//   none ──whole──► sent
//   none ──headers──► open ──last part──► closing ──all given to Envoy──► sent
//     └────headers of an answer that has no body──► sent
//   open, closing ──cut (fault, lost host, too much)──► sent
//
// Worker thread only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/byte_queue.h"
#include "core/framing.h"
#include "core/mount.h"

namespace tsf::core {

struct WholeReply {
  uint32_t status;
  std::span<const HeaderLine> headers;
  std::string_view body;
  std::string_view details;
};

class Reply {
 public:
  Reply(StreamMount& mount, MemoryCount& memory) : mount_(mount), waiting_(memory) {}

  bool exists() const { return state_ != State::kNone; }
  // A streamed one of which the host has not given, or Envoy not taken, the last part.
  bool is_under_way() const { return state_ == State::kOpen || state_ == State::kClosing; }
  bool is_open() const { return state_ == State::kOpen; }
  // Its frames pass our own encode hooks while this is true (Envoy 1.38).
  bool is_on_stack() const { return on_stack_; }
  // It replaces a response, and nothing of it has gone yet.
  bool is_kept_back() const { return in_one_ && is_under_way(); }
  size_t waiting() const { return waiting_.size(); }

  // A reply that somebody else sends, or a reset.
  void taken() { state_ = State::kSent; }
  void whole(const ReplyFraming& framing, const WholeReply& reply);
  // `in_one`: it replaces a response. Envoy lets that one's frames by as soon as it has had one of the reply, and ends
  // the stream with the response's end: so nothing goes before all of the reply is here.
  void begin(const ReplyFraming& framing, std::span<const HeaderLine> headers, bool end, bool in_one);
  // False: the body is not as long as the headers promise.
  bool data(std::string_view bytes, bool end);
  // Trailers go behind all data; what the client has not taken yet is the codec's to hold now. False: as above.
  bool trailers(std::span<const HeaderLine> lines);
  // Drops what waits; the caller resets the stream.
  void cut();
  // What the client takes now. Returns the bytes that the host may be credited for.
  uint64_t flush();

  void above_watermark() { ++above_; }
  void below_watermark() {
    if (above_ > 0) --above_;
  }
  int watermarks() const { return above_; }

 private:
  enum class State : uint8_t { kNone, kOpen, kClosing, kSent };

  uint64_t credit_waiting();
  uint64_t flush_pieces();
  // False: the stream has ended meanwhile.
  bool send_in_one(bool end);
  // Our own encode hooks know it from the upstream's response.
  template <class Send>
  void send(Send send) {
    on_stack_ = true;
    send();
    on_stack_ = false;
  }

  StreamMount& mount_;
  ByteQueue waiting_;
  ReplyFraming framing_;
  std::vector<std::pair<std::string, std::string>> headers_;  // of one that goes in one
  State state_ = State::kNone;
  bool in_one_ = false;
  bool on_stack_ = false;
  uint64_t credited_ = 0;  // of what waits
  int above_ = 0;
};

}  // namespace tsf::core
