// One HTTP stream of a filter with `observe_only`: tells its host what goes by, and that is all. Nothing waits for it:
// whatever these calls do, Envoy goes on. It takes no part in how the message moves, so of the mount it uses what
// reads, and what is the filter's own business, metrics and calls. The module's half of a stream, windows and whole
// bodies, is played in the host (src/observe), where the filter can go on when Envoy's stream is over.
//
//   none ──first headers, or log event──► open ──no room, limit, reply, failure, host lost, end──► over
//    └──no host, config refused──► over
//
// Worker thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/byte_queue.h"
#include "core/calls.h"
#include "core/filter_config.h"
#include "core/framing.h"
#include "core/host_side.h"
#include "core/log_events.h"
#include "core/mount.h"
#include "core/worker.h"
#include "core/worker_stream.h"

namespace tsf::core {

// One message on its way past the filter.
struct Passing {
  explicit Passing(MemoryCount& memory) : waiting(memory) {}
  void begin(bool end);
  // The filter takes no more of the body.
  void stop();

  ByteQueue waiting;         // copies that the ring had no room for
  bool has_come = false;     // its headers
  bool is_tunnel = false;    // what follows is no body, and not for the host
  bool body_goes = false;    // to the host
  bool is_whole = false;     // the filter wants it all at once
  bool has_ended = false;    // the message
  bool end_is_told = false;  // of a body that goes
  uint64_t seen = 0;         // bytes of such a body
  uint64_t at_host = 0;      // and not acknowledged; of a message before this one, too
};

class Observer final : public WorkerStream, public LogListener {
 public:
  Observer(Worker& worker, std::shared_ptr<const FilterConfig> config, StreamMount& mount);
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  // ---- from the mount, in Envoy's hooks ----
  void on_headers(Dir dir, bool end);
  void on_body(Dir dir, std::span<const Bytes> pieces, bool end);
  void on_trailers(Dir dir);
  // A piece of a body cannot be told from what has been seen before.
  void on_unclear() { end_view("unclear", wire::EndReason_Dropped); }
  void on_log(wire::LogKind kind, const LogSource& source) override;
  void on_complete();
  void on_destroy();
  void on_call_headers(uint64_t call, std::span<const HeaderLine> headers, bool end);
  void on_call_data(uint64_t call, std::span<const Bytes> chunks, bool end);
  void on_call_trailers(uint64_t call, std::span<const HeaderLine> trailers);
  void on_call_reset(uint64_t call);
  uint32_t log_phases() const { return config_->judged->logger_phases(); }
  const FilterConfig& config() const { return *config_; }
  Worker& worker() { return worker_; }

  // ---- WorkerStream ----
  void take_turn() override;
  void on_deadline(Nanos) override {}
  Nanos deadline() const override { return 0; }
  void on_channel_lost() override;
  bool waits_again() const override { return false; }
  const Channel* channel() const override { return host_.channel(); }
  std::unique_ptr<Waker> make_waker() override { return mount_.make_waker(); }

  bool on_answer(const wire::Answer& frame) override;
  bool on_ops(const wire::Ops&) override { return true; }
  bool on_output(const wire::Output& frame) override;
  bool on_local_reply(const wire::LocalReply&) override { return on_replied(); }
  bool on_reply(const wire::Reply&) override { return on_replied(); }
  bool on_fail(const wire::Fail& frame) override;
  bool on_query(const wire::Query& frame) override;
  bool on_extend(const wire::Extend&) override { return true; }
  bool on_act(const wire::Act& frame) override;
  bool on_call(const wire::Call& frame) override;

 private:
  Passing& of(Dir dir) { return dir == Dir::kRequest ? request_ : response_; }
  bool has_any_come() const { return request_.has_come || response_.has_come; }
  // False: there is no view.
  bool begin(Dir dir);
  bool is_tunnel(Dir dir) const;
  bool fits(const Passing& message, size_t length);
  // False: the ring has no room.
  bool tell_data(Dir dir, std::string_view bytes, bool last);
  // False: the view is over.
  bool tell_headers(HeaderType type, uint16_t flags);
  void flush(Dir dir);
  bool is_anything_left() const;
  // `result`: what the operator's counter says, once for each stream.
  void end_view(std::string_view result, uint8_t reason);
  void count(std::string_view result);
  bool on_replied();
  template <class Hear>
  void hear_call(Hear hear);
  void send_calls();

  Worker& worker_;
  const std::shared_ptr<const FilterConfig> config_;
  StreamMount& mount_;
  HostSide host_;
  LogEvents logs_;
  RequestKind kind_;
  Passing request_;
  Passing response_;
  std::unique_ptr<Calls> calls_;
  bool is_over_ = false;
  bool is_counted_ = false;
};

}  // namespace tsf::core
