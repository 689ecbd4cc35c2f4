// One Envoy worker's rings to one host: frames out with an overflow for those that cannot wait in a stream, verified
// copies in. Used by one thread at a time (core/custody.h says which); only `condemn` and `lost` are for any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/frame.h"
#include "core/stream_table.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/segment.h"

namespace tsf::core {

class Channel {
 public:
  // Largest body piece in one frame: small enough to share the ring, large enough to be worth a frame.
  static constexpr uint32_t kMaxBody = 64 << 10;

  struct Parts {
    shm::Segment outbound;
    shm::Segment inbound;
    shm::Endpoint endpoint;
    shm::Doorbell host_doorbell;
    shm::Doorbell worker_doorbell;
  };

  Channel(uint32_t id, uint64_t epoch, Parts parts) : id_(id), epoch_(epoch), parts_(std::move(parts)) {}

  uint32_t id() const { return id_; }
  // The connection that this channel belongs to; verdicts of other connections do not count for it.
  uint64_t epoch() const { return epoch_; }
  const Parts& parts() const { return parts_; }

  // Bytes that are free now; frames that need no more, headers and the largest one's padding included, can be claimed.
  uint32_t room() { return owes() && !pay() ? 0 : parts_.endpoint.room(); }
  uint32_t max_payload() const { return parts_.endpoint.max_payload(); }

  // Room for one frame, or an empty span: the caller waits in `waiters`.
  std::span<std::byte> claim(uint32_t kind, uint32_t length) {
    if (owes() && !pay()) return {};
    return parts_.endpoint.claim(kind, length);
  }
  void commit(uint32_t length) {
    parts_.endpoint.commit(length);
    unpublished_ = true;
  }
  // For frames that no stream can keep (Credit, answers): queued here when the ring is full. A host that makes too many
  // of them and reads none is condemned.
  void write_or_owe(uint32_t kind, std::span<const std::byte> payload);
  // An End frame. Nobody waits for it when the filter has no last hooks: then it goes with the next frame, or with
  // the next run, instead of waking the host for it.
  void end(StreamId stream, uint8_t reason) { ends_.push_back({stream, reason}); }
  // Writes what is owed as far as there is room.
  bool pay();

  // Lets the host see what was committed; one doorbell at most.
  void publish() {
    if (!unpublished_) return;
    unpublished_ = false;
    if (parts_.endpoint.publish()) parts_.host_doorbell.ring();
  }

  // Copies the next frame out of the ring. The copy is valid until the next call.
  struct Inbound {
    uint32_t kind;
    std::span<const std::byte> payload;
  };
  enum class Read : uint8_t { kEmpty, kFrame, kMalformed };
  Read read(Inbound& out);
  // Lets the host reuse what was read.
  void release() {
    if (parts_.endpoint.release()) parts_.host_doorbell.ring();
  }

  // True when the host will ring for whatever comes next.
  bool sleep() {
    if (parts_.endpoint.sleep()) return true;
    // There is room, and who waited for it may be gone: without a claim the endpoint would never sleep again.
    if (parts_.endpoint.starved() && parts_.endpoint.claim(wire::FrameKind_End, 0).data() != nullptr)
      parts_.endpoint.abort();
    return false;
  }
  void wake() { parts_.endpoint.wake(); }

  std::vector<StreamId>& waiters() { return waiters_; }

  // The host broke a rule: nothing more is read from it. The first reason stays.
  void condemn(std::string_view reason);
  std::string_view verdict() const { return reason_; }
  // acquire: pairs with the release in mark_lost, which publishes reason_.
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  // release: publishes reason_ to the link thread.
  void mark_lost() { lost_.store(true, std::memory_order_release); }

  // The host has this long from now to read something.
  void watch_reader(int64_t now) {
    stall_since_ = now;
    stall_head_ = parts_.endpoint.peer_head();
  }
  // True when frames have waited for `limit` nanoseconds and the host has read none of them. `again` is when to ask
  // next, 0 when nothing waits.
  bool stalled(int64_t now, int64_t limit, int64_t& again);

 private:
  struct Owed {
    uint32_t kind;
    std::vector<std::byte> payload;
  };
  struct Ended {
    StreamId stream;
    uint8_t reason;
  };
  bool owes() const { return !paying_ && (!owed_.empty() || !ends_.empty()); }
  bool pay_all();
  bool write(uint32_t kind, std::span<const std::byte> payload);

  const uint32_t id_;
  const uint64_t epoch_;
  Parts parts_;
  std::vector<Owed> owed_;
  std::vector<Ended> ends_;
  std::vector<StreamId> waiters_;
  std::vector<uint64_t> scratch_;  // 8-aligned copies
  std::string reason_;
  std::atomic<bool> lost_{false};
  int64_t stall_since_ = 0;
  uint32_t stall_head_ = 0;
  bool unpublished_ = false;
  bool paying_ = false;
};

}  // namespace tsf::core
