// One HTTP stream: joins its two flows, its host and a reply. Worker thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/acts.h"
#include "core/calls.h"
#include "core/filter_config.h"
#include "core/flow.h"
#include "core/host_side.h"
#include "core/log_events.h"
#include "core/mount.h"
#include "core/original_maps.h"
#include "core/reply.h"
#include "core/worker.h"

namespace tsf::core {

class Stream final : public FlowOwner, public WorkerStream, public LogListener {
 public:
  // What the mount offers of one HTTP stream.
  struct Mounts {
    StreamMount& stream;
    FlowMount& request;
    FlowMount& response;
  };
  Stream(Worker& worker, std::shared_ptr<const FilterConfig> config, Mounts mounts);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // ---- from the mount ----

  enum class OnHeaders : uint8_t { kPass, kHold };
  OnHeaders on_headers(Dir dir, bool end);
  // They cannot be held: no hook of the filter sees this message.
  void pass_unseen(Dir dir, bool end);
  // Whether a message of this direction that comes after a reply is the reply itself; all others are dropped.
  bool is_own_reply(Dir dir) const {
    return dir == Dir::kResponse && (reply_.is_on_stack() || (!request_.headers_gone() && !reply_.is_kept_back()));
  }
  Flow& flow(Dir dir) { return dir == Dir::kRequest ? request_ : response_; }
  const Flow& flow(Dir dir) const { return dir == Dir::kRequest ? request_ : response_; }
  bool has_replied() const { return reply_.exists(); }
  bool is_over() const { return ending_.is_dead; }
  // Buffers of the response that are over their limit now.
  int response_watermarks() const { return reply_.watermarks(); }
  void on_above_watermark() { reply_.above_watermark(); }
  // Looked at again at every one: what we left unread in Envoy's buffer may itself be one of those that stay above.
  void on_below_watermark() {
    reply_.below_watermark();
    defer();
  }
  // An access log event. The start's may come before the first of the other hooks, the end's between on_complete and
  // on_destroy.
  void on_log(wire::LogKind kind, const LogSource& source) override;
  void on_complete();
  void on_destroy();
  // Of calls that the filter makes; the number is Envoy's.
  void on_call_headers(uint64_t call, std::span<const HeaderLine> headers, bool end);
  void on_call_data(uint64_t call, std::span<const Bytes> chunks, bool end);
  void on_call_trailers(uint64_t call, std::span<const HeaderLine> trailers);
  void on_call_reset(uint64_t call);
  // Phases of log hooks that this stream's filter may have; all bits while that is not known.
  uint32_t log_phases() const { return config_->judged->logger_phases(); }
  Worker& worker() { return worker_; }
  const FilterConfig& config() const { return *config_; }
  StreamMount& mount() override { return mount_; }

  // ---- the worker's run; none of Envoy's hooks is on the stack of this stream ----
  void take_turn() override;
  void on_deadline(Nanos now) override;
  Nanos deadline() const override;
  void on_channel_lost() override;
  bool waits_again() const override;
  const Channel* channel() const override { return host_.channel(); }
  std::unique_ptr<Waker> make_waker() override { return mount_.make_waker(); }

  // Frames from the host. False: the frame breaks a rule and the host is to be dropped.
  bool on_answer(const wire::Answer& frame) override;
  bool on_ops(const wire::Ops& frame) override;
  bool on_output(const wire::Output& frame) override;
  bool on_local_reply(const wire::LocalReply& frame) override;
  bool on_reply(const wire::Reply& frame) override;
  bool on_fail(const wire::Fail& frame) override;
  bool on_query(const wire::Query& frame) override;
  bool on_extend(const wire::Extend& frame) override;
  bool on_act(const wire::Act& frame) override;
  bool on_call(const wire::Call& frame) override;

  // ---- for the flows ----
  HostSide& host() override { return host_; }
  const Settings& settings() const override { return config_->settings; }
  const RequestKind& request_kind() const override { return request_kind_; }
  bool is_live() const override { return !ending_.is_dead && !reply_.exists(); }
  MemoryCount& memory() override { return worker_.memory(); }
  bool is_end_awaited(Dir dir) const override { return dir == Dir::kRequest && recreate_wanted_; }
  void defer() override { worker_.defer(host_.id()); }
  void arm(Nanos deadline) override { worker_.arm(deadline); }
  void fail(const Failure& failure) override;
  // Envoy shows a reset's details nowhere, so the log has them; and whatever took bytes away.
  void log_failure(const char* what, const char* code);
  void fail_later(Dir dir, const Failure& failure) override;

 private:
  // Waiting for a host, or for its verdict.
  struct HostWait {
    Nanos since = 0;
    Nanos until = 0;
  };
  enum class Start : uint8_t { kReady, kWait, kFailed };
  struct Ending {
    uint8_t reason = 0;    // wire::EndReason that we caused
    bool is_dead = false;  // destroyed by Envoy
  };
  struct PendingFailure {
    Dir dir;  // whose
    Failure failure;
  };

  Start try_start(Dir dir);
  Start wait_for_host(Dir dir, Nanos limit);
  OnHeaders begin_flow(Flow& f);
  void begin_waiting();
  void ask(Flow& f);
  Hold hold() const;
  bool goes_again() const;
  void begin_again();
  void keep_original(HeaderType type);
  void restore_maps(const Flow& f);
  bool wants_headers(Dir dir) const;
  bool is_misplaced() const;
  bool is_late(Nanos now) const { return request_.is_late(now) || response_.is_late(now); }
  bool any_headers() const { return request_.has_headers() || response_.has_headers(); }

  // A failure waits for its turn: what the host says meanwhile must not make a success of it.
  bool is_failing() const { return failing_.has_value(); }
  void carry_out_failure();
  void fail_by_mode(Flow& f, const Failure& failure);
  void pass_on(Flow& f);
  void leave_host();
  void reset(const char* code);
  void cut_reply(const char* code);
  void begin_reply(std::vector<HeaderLine>& lines, bool end);
  void end_flows();
  uint8_t end_reason() const;
  void flush_reply();
  void recreate();
  void send_calls();
  template <class Hear>
  void hear_call(Hear hear);

  Worker& worker_;
  const std::shared_ptr<const FilterConfig> config_;
  StreamMount& mount_;
  HostSide host_;
  LogEvents logs_;
  RequestKind request_kind_;
  Reply reply_;
  Flow request_;
  Flow response_;
  HostWait wait_;
  std::optional<PendingFailure> failing_;  // to be carried out outside hooks
  std::unique_ptr<Calls> calls_;
  std::unique_ptr<OriginalMaps> originals_;  // before the filter's first write to them
  bool recreate_wanted_ = false;             // once the request's end has come in
  Ending ending_;
};

}  // namespace tsf::core
