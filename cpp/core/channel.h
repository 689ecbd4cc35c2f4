// One Envoy worker's rings to one host: frames out with an overflow for those that cannot wait in a stream, verified
// copies in. Used by one thread at a time (core/custody.h says which); what is for any thread says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/frame.h"
#include "core/stream_table.h"
#include "core/verdict.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/segment.h"

namespace tsf::core {

// How a channel ends; the part of it that is for two threads.
class ChannelFate {
 public:
  // ---- whoever owns the channel ----
  // The first reason stays.
  void condemn(std::string_view reason) {
    if (reason_.empty()) reason_ = reason;
    lose();
  }
  // Condemned alone: the host may be well but for the thread behind this channel.
  void stop(std::string_view reason) {
    has_stopped_ = reason_.empty();
    condemn(reason);
  }
  bool finish() {
    return !is_finished_.exchange(true, std::memory_order_release);  // release: the last frame is before the word of it
  }
  bool is_finished() const { return is_finished_.load(std::memory_order_relaxed); }  // relaxed: the owner's own word
  bool is_closed() const { return is_closed_.load(std::memory_order_acquire); }      // acquire: pairs with close
  bool was_drained() const { return is_closed() && was_drained_; }

  // ---- link thread ----
  bool take_finished() {
    // acquire: pairs with finish
    return is_finished_.load(std::memory_order_acquire) && !std::exchange(finish_was_told_, true);
  }
  void close(bool is_drained) {
    was_drained_ = is_drained;
    is_closed_.store(true, std::memory_order_release);  // release: what came before it is readable
  }
  std::string_view reason() const { return reason_; }
  bool has_stopped() const { return has_stopped_; }

  // ---- any thread ----
  void lose() { is_lost_.store(true, std::memory_order_release); }           // release: publishes the reason
  bool is_lost() const { return is_lost_.load(std::memory_order_acquire); }  // acquire: pairs with lose

 private:
  std::string reason_;
  bool has_stopped_ = false;
  bool finish_was_told_ = false;
  bool was_drained_ = false;
  std::atomic<bool> is_lost_{false};
  std::atomic<bool> is_finished_{false};
  std::atomic<bool> is_closed_{false};
};

// Since when a reader has read nothing; a reader is known by its read position.
class StallWatch {
 public:
  void begin(int64_t now, uint32_t head) {
    since_ = now;
    head_ = head;
  }
  void nothing_waits() { since_ = 0; }
  // Until when it may go on like that, counted from the look that first found it there.
  int64_t look(int64_t now, uint32_t head, int64_t limit) {
    if (since_ == 0 || head != head_) begin(now, head);
    return since_ + limit;
  }

 private:
  int64_t since_ = 0;  // 0: nothing waits
  uint32_t head_ = 0;
};

class Channel {
 public:
  // Largest body piece in one frame: small enough to share the ring, large enough to be worth a frame.
  static constexpr uint32_t kMaxBody = 64 << 10;

  struct Parts {
    shm::Segment outbound;
    shm::Segment inbound;
    shm::Endpoint endpoint;
    shm::HostDoorbell host_doorbell;
    shm::Doorbell worker_doorbell;
  };

  Channel(uint32_t id, GenerationId generation, Parts parts)
      : id_(id), verdicts_(generation), parts_(std::move(parts)) {}

  uint32_t id() const { return id_; }
  // Of the host's filters that serve this channel; those of others do not count for it.
  KnownVerdicts& verdicts() { return verdicts_; }
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

  // Names the last frame that was committed.
  uint64_t position() const { return parts_.endpoint.position(); }
  // Of a channel that is lost: the host may have taken that frame. It takes none any more that it has not.
  bool has_taken(uint64_t position) { return parts_.endpoint.has_taken(position); }

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

  // ---- who still needs it ----

  // Streams that have begun with it and not ended.
  void add_stream() { ++streams_; }
  void remove_stream() { --streams_; }
  bool has_streams() const { return streams_ > 0; }
  // For its owner: no stream uses it any more, none will, and all that was said has been written. True: for the first
  // time.
  bool finish() { return !has_streams() && owed_.empty() && ends_.empty() && fate_.finish(); }
  // For the link thread: a worker has it.
  void give() { is_given_ = true; }
  bool is_given() const { return is_given_; }
  // For the link thread: that has happened, and it has not been told so yet.
  bool take_finished() { return fate_.take_finished(); }
  // For its owner: nobody needs it, and it has not been finished.
  bool is_left() const { return !has_streams() && !fate_.is_finished(); }
  // For the link thread: the host writes no more. What is there is read, then it goes. `is_drained`: the host's time
  // for its streams is up.
  void close(bool is_drained) { fate_.close(is_drained); }
  bool was_drained() const { return fate_.was_drained(); }
  // For its owner: nothing comes from it any more.
  bool is_over() {
    shm::Frame frame;
    return lost() || (fate_.is_closed() && parts_.endpoint.peek(frame) == shm::Read::kEmpty);
  }

  // The host broke a rule: nothing more is read from it. The first reason stays.
  void condemn(std::string_view reason);
  // Nobody reads it: it is lost, and its host is not.
  void stop(std::string_view reason) {
    parts_.endpoint.close();
    fate_.stop(reason);
  }
  // Of a channel that is lost.
  std::string_view reason() const { return fate_.reason(); }
  bool has_stopped() const { return fate_.has_stopped(); }
  bool lost() const { return fate_.is_lost(); }
  void mark_lost() {
    // First: who sees that it is lost may ask what was taken.
    parts_.endpoint.close();
    fate_.lose();
  }

  // The host has this long from now to read something.
  void watch_reader(int64_t now) { stall_.begin(now, parts_.endpoint.peer_head()); }
  // How often to look, for a limit to be true to an eighth.
  static constexpr int64_t look_every(int64_t limit) { return limit / 8; }
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
  KnownVerdicts verdicts_;
  Parts parts_;
  std::vector<Owed> owed_;
  size_t owed_bytes_ = 0;
  std::vector<Ended> ends_;
  std::vector<StreamId> waiters_;
  std::vector<uint64_t> scratch_;  // 8-aligned copies
  ChannelFate fate_;
  StallWatch stall_;
  uint32_t streams_ = 0;
  bool is_given_ = false;
  bool unpublished_ = false;
  bool paying_ = false;
};

// A stream's use of a channel, from its beginning to its end there.
class ChannelUse {
 public:
  ChannelUse() = default;
  explicit ChannelUse(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  ~ChannelUse() { end(); }
  ChannelUse(const ChannelUse&) = delete;
  ChannelUse& operator=(ChannelUse&& other) noexcept {
    std::swap(channel_, other.channel_);
    std::swap(begun_, other.begun_);
    return *this;
  }
  void begin() {
    begun_ = true;
    channel_->add_stream();
  }
  // The channel stays where it is, for code that is still on the stack.
  void end() {
    if (std::exchange(begun_, false)) channel_->remove_stream();
  }
  void reset() { *this = ChannelUse(); }

  Channel* get() const { return channel_.get(); }
  Channel* operator->() const { return channel_.get(); }
  Channel& operator*() const { return *channel_; }
  explicit operator bool() const { return channel_ != nullptr; }

 private:
  std::shared_ptr<Channel> channel_;
  bool begun_ = false;
};

}  // namespace tsf::core
