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
#include "core/worker.h"

namespace tsf::core {

// Body bytes for a Data frame.
struct DataPiece {
  Dir dir;
  std::string_view bytes;
  uint8_t flags = 0;  // wire::DataFlag
};

class HostSide {
 public:
  HostSide(Worker& worker, Stream& stream, const FilterConfig& config, StreamMount& mount)
      : worker_(worker), config_(config), mount_(mount), place_(worker, stream) {}

  // ---- which host ----

  enum class Found : uint8_t { kAbsent, kUnjudged, kUnavailable, kRefused, kReady };
  // The host that can take this stream now, with its verdicts on all that the stream is configured with.
  Found look();
  void begin(const RequestKind& kind);
  // Of a stream that only log hooks have begun: it may still find another host.
  void forget();
  // The stream goes on without it.
  void leave() {
    channel_.reset();
    verdict_ = nullptr;
    start_told_ = false;
    phases_ = 0;
  }
  void lost() {
    channel_.reset();
    verdict_ = nullptr;
  }
  // The stream is destroyed: the worker calls it no more.
  void destroyed() {
    channel_.end();
    place_.leave();
  }
  bool begun() const { return begun_; }
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
  bool was_told() const { return start_told_ && reachable(); }
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
  uint32_t phases_ = UINT32_MAX;
  bool begun_ = false;
  bool start_told_ = false;  // a frame with Start has been written
  bool head_ = false;        // the request came as HEAD
  bool grpc_ = false;        // the request came as gRPC, which is what Envoy goes by
  bool waiting_for_room_ = false;
};

}  // namespace tsf::core
