// A stream's host: found when the stream begins, told of headers, bodies and ends, in the order in which Envoy gave
// them. Writers return false where the ring has no room; they can be called again and go on where they were.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/channel.h"
#include "core/failure.h"
#include "core/filter_config.h"
#include "core/frame_writer.h"
#include "core/framing.h"
#include "core/mount.h"
#include "core/replays.h"
#include "core/worker.h"
#include "core/worker_stream.h"

namespace tsf::core {

// Body bytes for a Data frame.
struct DataPiece {
  Dir dir;
  std::string_view bytes;
  uint8_t flags = 0;  // wire::DataFlag
};

class HostSide {
 public:
  HostSide(Worker& worker, WorkerStream& stream, const FilterConfig& config, StreamMount& mount)
      : worker_(worker), config_(config), mount_(mount), place_(worker, stream) {}

  // ---- which host ----

  enum class Found : uint8_t { kAbsent, kUnjudged, kUnavailable, kRefused, kReady };
  // The host that can take this stream now, with its verdicts on all that the stream is configured with.
  Found look();
  // `traits`: more wire::HeadersFlag bits of its first frame.
  void begin(const RequestKind& kind, uint16_t traits = 0);
  // Of a stream that only log hooks have begun: it may still find another host.
  void forget();
  // The stream goes on without it, and without any other.
  void leave() {
    channel_.reset();
    verdict_ = nullptr;
    attempt_.start_told = false;
    phases_ = 0;
    begun_ = true;
    settled();
  }
  // The channel is lost. What its host never took is as if it had never been said.
  void lost();
  // Of a stream whose host is lost: it may find another one. One that was seen is on its way there as a replay.
  void begin_again();
  // What was sent to this host is answered, or nobody waits for it any more.
  void settled() { attempt_.replay.end(); }
  // The stream is destroyed: the worker calls it no more.
  void destroyed() {
    channel_.end();
    settled();
    place_.leave();
  }
  bool begun() const { return begun_; }
  // It had one before, which is lost.
  bool has_lost_one() const { return attempt_.has_lost_one; }
  // A host may have taken what the stream said: this one, or the one that is lost.
  bool was_seen() const { return attempt_.start_told; }
  // The channel is lost: did its host take a replay?
  bool has_taken_replay() const {
    return attempt_.number > 1 && attempt_.start_told && channel_->has_taken(attempt_.start_at);
  }
  // Another instance of the filter may answer the rest of this stream.
  bool is_stateless() const { return is_stateless_; }
  // It can still be told something.
  bool reachable() const { return channel_ && !channel_->lost(); }
  const Channel* channel() const { return channel_.get(); }
  // The hooks that the definition declares; once look() has found a host.
  uint32_t declared_phases() const { return verdict_->phases; }
  StreamId id() const { return place_.id(); }

  // ---- what is configured ----

  void find_route() {
    if (!route_) route_ = mount_.route_config();
  }
  FailureMode failure_mode() const;
  Nanos message_timeout() const;
  Nanos host_wait() const;
  uint32_t phases() const { return phases_; }
  void set_phases(uint32_t phases) {
    if (phases != UINT32_MAX) phases_ = phases;
  }
  bool is_grpc() const;

  // ---- to the host ----

  // `cursor` counts the lines of the map that are written. `failure` is set where the map is too large.
  bool send_headers(uint32_t& cursor, HeaderType type, uint16_t flags, Failure& failure);
  bool send_data(const DataPiece& piece);
  // The longest body piece of one frame.
  uint32_t piece_limit() const { return std::min(Channel::kMaxBody, channel_->max_payload() / 2); }
  void send_credit(wire::CreditOf of, uint64_t bytes);
  void send_answer(uint32_t query, bool found, std::string_view bytes);
  void send_end(uint8_t reason);
  bool was_told() const { return attempt_.start_told && reachable(); }
  // A log event: all of it or nothing.
  bool send_log_headers(size_t attributes);
  void send_log_run(wire::LogKind kind, std::string_view attributes);
  void pack_attributes(std::string& out, const LogSource* source) const;

  FrameWriter writer() { return FrameWriter(*channel_, id()); }
  void publish() { worker_.publish(*channel_); }
  // A turn when the ring has room.
  void wait_for_room();
  void has_turn() { waiting_for_room_ = false; }

 private:
  // To give the stream to a host.
  struct Attempt {
    uint32_t number = 1;
    uint64_t start_at = 0;      // the frame with Start, in its channel
    bool start_told = false;    // it has been written
    bool has_lost_one = false;  // a host before this one
    Replays::UnderWay replay;
  };
  size_t count_fitting(size_t from, size_t room, size_t& bytes) const;
  bool too_large(HeaderType type, size_t room, Failure& failure) const;
  bool send_some_headers(uint32_t& cursor, HeaderType type, uint16_t flags, Failure& failure);

  Worker& worker_;
  const FilterConfig& config_;
  StreamMount& mount_;
  Worker::Place place_;
  std::shared_ptr<const RouteConfig> route_;
  std::shared_ptr<const JudgedConfig> judged_route_;
  ChannelUse channel_;
  const Verdict* verdict_ = nullptr;  // the one that the stream began with, as long as it has the channel
  Attempt attempt_;
  uint32_t phases_ = UINT32_MAX;
  uint16_t traits_ = 0;  // wire::HeadersFlag of its first frame, also when it goes to another host
  bool begun_ = false;
  bool grpc_ = false;  // the request came as gRPC, which is what Envoy goes by
  bool waiting_for_room_ = false;
  bool is_stateless_ = false;
};

}  // namespace tsf::core
