// A stream's requests to Envoy's clusters (`httpCall`): which are under way, and what came back and waits for the ring.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/frame.h"
#include "core/host_side.h"
#include "core/mount.h"

namespace tsf::core {

struct CallEvent {
  uint32_t call;
  uint8_t part;  // wire::CallEventPart
  bool end;
  std::string bytes;
};

// The body of a request, against what its headers say: a call may go over a connection that other streams use, and what
// is too long or too short there would be taken for a part of theirs.
class CallBody {
 public:
  // Takes the length out of the lines, where a number is named. False: no correct host writes such headers.
  bool read(const std::vector<HeaderLine>& lines);
  // False: more than was promised, or than may wait in Envoy for its reader.
  bool took(uint64_t bytes, uint64_t limit) {
    made_ += bytes;
    return made_ <= promised_.value_or(limit) && made_ <= limit;
  }
  bool is_kept() const { return !promised_ || *promised_ == made_; }

 private:
  std::optional<uint64_t> promised_;
  uint64_t made_ = 0;
};

class Calls {
 public:
  // `limit`: bytes of answers that may wait here; a call that brings more is cancelled.
  Calls(StreamMount& mount, uint64_t limit) : mount_(mount), limit_(limit) {}

  // A stream's at once, and events that wait for the ring: a host that reads none makes no more of them.
  static constexpr size_t kMostRunning = 256;
  static constexpr size_t kMostEvents = 4096;

  // False: no correct host sends this.
  bool on_frame(const wire::Call& frame);

  // ---- Envoy's hooks ----
  void on_headers(uint64_t envoy_id, std::span<const HeaderLine> headers, bool end);
  void on_data(uint64_t envoy_id, std::span<const Bytes> chunks, bool end);
  void on_trailers(uint64_t envoy_id, std::span<const HeaderLine> trailers);
  void on_reset(uint64_t envoy_id);

  // The host is gone, or does not care any more.
  void cancel_all();

  // What came back, as far as the ring has room. A body goes in pieces of a frame, a header block in one.
  void send(HostSide& host);

 private:
  struct Running {
    uint32_t call;
    uint64_t envoy_id;
    bool asked;     // the request is complete
    bool answered;  // and so is its answer
    CallBody body;
  };

  bool start(const wire::Call& frame);
  bool go_on(const wire::Call& frame, std::vector<Running>::iterator found);
  bool give_up(std::vector<Running>::iterator call, std::string_view why);
  bool tell_failed(uint32_t call, std::string_view why);
  std::vector<Running>::iterator find(uint32_t call);
  // The host's number of the call that Envoy names so.
  std::optional<uint32_t> host_id(uint64_t envoy_id) const;
  void forget(uint32_t call);
  void answered(uint32_t call);
  void tell(uint32_t call, uint8_t part, bool end, std::string bytes);
  void fail(uint32_t call, std::string_view why);
  void took(uint64_t bytes) { waiting_ -= std::min(bytes, waiting_); }

  StreamMount& mount_;
  const uint64_t limit_;
  std::vector<Running> running_;
  std::optional<uint32_t> starting_;  // events may come before Envoy has named the call
  std::deque<CallEvent> events_;
  uint64_t waiting_ = 0;
};

}  // namespace tsf::core
