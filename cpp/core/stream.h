// One HTTP stream: two flows through the states of docs/lifecycle.md. Worker thread only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/byte_queue.h"
#include "core/calls.h"
#include "core/chain.h"
#include "core/channel.h"
#include "core/filter_config.h"
#include "core/mount.h"
#include "core/worker.h"

namespace tsf::core {

enum class HeadersStatus : int { kContinue = 0, kStopIteration = 1 };
enum class BodyStatus : int { kContinue = 0, kStopIterationAndWatermark = 2, kStopIterationNoBuffer = 3 };
enum class TrailersStatus : int { kContinue = 0, kStopIteration = 1 };

// A failure of ours: what the client hears when nothing was sent, or the reset's details.
struct Failure {
  uint32_t http = 0;  // 0: no reply, reset
  int grpc = 0;
  const char* code = nullptr;  // response code details, and the body when there is no other
  const char* body = nullptr;
  bool in_any_mode = false;  // failure_mode does not let it pass: bytes are lost already
};

inline constexpr Failure kRequestTooLarge{413, 8, "ts_filter_body_too_large", "Payload Too Large", true};
inline constexpr Failure kOutputLimit{0, 8, "TSF_OUTPUT_LIMIT", nullptr, true};

class Stream {
 public:
  Stream(Worker& worker, std::shared_ptr<const FilterConfig> config, StreamMount& mount);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // ---- Envoy's hooks ----
  void on_new();
  HeadersStatus on_headers(Dir dir, bool end);
  BodyStatus on_body(Dir dir, bool end);
  TrailersStatus on_trailers(Dir dir);
  void on_above_watermark() { ++above_watermark_; }
  void on_below_watermark();
  // An access log event. The start's may come before the first of the other hooks, the end's between on_complete and
  // on_destroy.
  void on_log(wire::LogKind kind, const LogSource& source);
  void on_complete();
  void on_destroy();
  // Of calls that the filter makes; the number is Envoy's.
  void on_call_headers(uint64_t call, std::span<const HeaderLine> headers, bool end);
  void on_call_data(uint64_t call, std::span<const Bytes> chunks, bool end);
  void on_call_trailers(uint64_t call, std::span<const HeaderLine> trailers);
  void on_call_reset(uint64_t call);
  // Grows with each stream made on this worker.
  uint64_t born() const { return born_; }
  Worker& worker() { return worker_; }

  // ---- the worker's run; none of Envoy's hooks is on the stack of this stream ----
  void take_turn();
  void on_deadline(Nanos now);
  Nanos deadline() const;
  void on_channel_lost();
  const Channel* channel() const { return channel_.get(); }
  std::unique_ptr<Waker> make_waker() { return mount_.make_waker(); }

  // Frames from the host. False: the frame breaks a rule and the host is to be dropped.
  bool on_answer(const wire::Answer& frame);
  bool on_ops(const wire::Ops& frame);
  bool on_output(const wire::Output& frame);
  bool on_local_reply(const wire::LocalReply& frame);
  bool on_reply(const wire::Reply& frame);
  bool on_fail(const wire::Fail& frame);
  bool on_query(const wire::Query& frame);
  bool on_extend(const wire::Extend& frame);
  bool on_act(const wire::Act& frame);
  bool on_call(const wire::Call& frame);

 private:
  enum class State : uint8_t { kIdle, kAsked, kStream, kWhole, kEnding, kBypass, kPass, kDone, kReplied };

  struct Flow {
    explicit Flow(Dir d) : dir(d) {}
    const Dir dir;
    State state = State::kIdle;
    bool headers_seen = false;
    bool headers_only = false;     // the headers ended the stream
    bool headers_pending = false;  // a Headers frame is still to be written
    bool headers_sent = false;     // gone on to the next filter
    bool hold = false;             // headers wait for output (StreamHold)
    bool hosted = false;           // the host sees the body, so it sees and answers the trailers too
    bool input_ended = false;
    bool end_told = false;
    bool trailers_seen = false;
    bool trailers_told = false;
    bool trailers_answered = false;
    bool stopped = false;  // the latest hook returned Stop and nothing was continued since
    bool in_hook = false;
    bool unread = false;  // Envoy's buffer holds input of ours, and of nobody else
    bool fresh = false;   // the next Data frame carries Fresh
    bool push_wanted = false;
    bool whole = false;           // WHOLE from the first byte on, and no output yet
    bool output_done = false;     // but for what the trailers hook adds
    bool release_wanted = false;  // PASS was decided, the continue is still to come
    bool too_large = false;       // over max_body_bytes; the host is asked to say so
    size_t copy_floor = 0;        // least output for a push past the router's copy
    uint64_t emitted = 0;         // bytes that went on to the next filter by our continues
    uint32_t header_cursor = 0;   // lines of the pending map already written
    size_t beyond = 0;            // bytes that filters behind us had in Envoy's buffer after our last continue
    uint64_t outstanding = 0;     // input bytes at the host, not acknowledged
    ByteQueue held;               // input in module memory
    ByteQueue out;                // output in module memory
    ByteQueue original;           // the whole body as it came, for failure_mode open
    Nanos deadline = 0;
    Nanos push_by = 0;  // a push that waits for more output goes then
    bool overdue() const { return push_by != 0 && now_ns() >= push_by; }
  };

  // Envoy answers 502 to who touches the other direction's buffered body in a hook.
  bool in_hook() const { return request_.in_hook || response_.in_hook; }
  Flow& flow(Dir dir) { return dir == Dir::kRequest ? request_ : response_; }

  // stream.cc: beginning, failing, ending
  enum class Start : uint8_t { kReady, kWait, kFailed };
  Start try_start();
  enum class Host : uint8_t { kAbsent, kUnjudged, kRefused, kReady };
  Host look_for_host();
  void begin();
  void forget_host();
  Start wait_for_host(std::chrono::milliseconds limit);
  bool begin_flow(Flow& f);
  void ask(Flow& f);
  void start_timer(Flow& f) {
    f.deadline = now_ns() + message_timeout();
    worker_.arm(f.deadline);
  }
  void time_whole_body(Flow& f);
  void time_trailers(Flow& f);
  bool any_headers() const { return request_.headers_seen || response_.headers_seen; }
  bool wants_headers(Dir dir) const;
  bool wants_trailers(const Flow& f) const;
  bool waits_for_host(const Flow& f) const;
  bool is_untouched(const Flow& f) const;
  bool is_own_reply(Dir dir) const;
  bool upload_is_void(Dir dir) const;
  void fail(const Failure& failure);
  void reset(const char* code);
  void fail_later(const Failure& failure);
  void fail_by_mode(Flow& f, const Failure& failure);
  void let_pass(Flow& f);
  void end_flows();
  void tell_end(uint8_t reason);
  FailureMode failure_mode() const;
  Nanos message_timeout() const;
  bool is_grpc() const;
  bool is_upgrade() const;
  uint8_t end_reason() const;
  bool shared_flag() const { return worker_.process().shared_continue_flag(); }

  // stream_send.cc: to the host
  void send_waiting();
  bool send_waiting(Flow& f);
  bool send_headers(uint32_t& cursor, HeaderType type, uint8_t flags);
  bool send_envoy_body(Flow& f, BodySource source);
  bool send_held(Flow& f, uint64_t limit);
  bool send_data(Flow& f, std::string_view bytes, bool last);
  void body_too_large(Flow& f);
  bool hold_body(Flow& f, BodySource source);
  void pack_attributes(std::string& out, const LogSource* source) const;
  bool send_log_headers(size_t attributes);
  void send_log_run(wire::LogKind kind, std::string_view attributes);
  void wait_for_room();

  // stream_push.cc: to Envoy
  void advance(Flow& f);
  bool complete(const Flow& f) const;
  void finish(Flow& f);
  void push(Flow& f);
  bool worth_passing_copy(Flow& f);
  void push_soon(Flow& f);
  void release(Flow& f);
  void end_bypass(Flow& f);
  void absorb_input(Flow& f);
  bool can_continue(Flow& f);
  bool request_needs_flag() const;
  bool unpause(Flow& f);
  bool router_reached();
  void await_router();
  void cross_limit_again(Flow& f, size_t kept);
  bool is_routers_copy(const Flow& f);
  void put_copy_back(Flow& f, const std::string& copy, bool shown);
  void continue_with(Flow& f, std::initializer_list<ByteQueue*> bytes);
  void do_continue(Flow& f);
  void put_back(Flow& f, ByteQueue& bytes);
  void discard_unread(Flow& f);
  void check_end(Flow& f);
  void flush_reply();
  void flush_reply_in_one();
  void give_credit(uint64_t bytes);
  // Our own encode hooks know it from the upstream's response.
  template <class Send>
  void send_own(Send send) {
    sending_reply_ = true;
    send();
    sending_reply_ = false;
  }
  void settle(Flow& f, bool stop);

  // stream_chain.cc: with our other filters in this HTTP stream
  bool before(const Stream& sibling, Dir dir) const;
  bool has_siblings() const;
  bool rearm_reaches_us() const;
  bool may_leave(Flow& f);
  bool others_hold(const Flow& f) const;
  bool siblings_keep_up(const Flow& f);
  bool siblings_are_through(const Flow& f) const;
  bool end_is_held_before(const Flow& f) const;
  void wake_siblings(const Flow& f);
  Stream* owner_before(const Flow& f);
  std::string take_body(Dir dir, BodySource source);
  void put_unread_back(Dir dir, const std::string& bytes);
  void take_pushed(Flow& f, size_t foreign);

  // stream_acts.cc: what a filter asks of its stream beside the flows
  bool set_metadata(const wire::Act& frame);
  void recreate();
  std::optional<std::string> answer_of(const wire::Query& frame) const;
  void send_calls();
  template <class Hear>
  void hear_call(Hear hear) {
    if (!calls_) return;
    const Worker::Scope scope(worker_);
    hear();
    send_calls();
  }
  void cancel_calls();

  // stream_apply.cc: from the host
  bool answer_headers(Flow& f, uint8_t mode);
  bool apply_ops(HeaderType type, std::string_view block);
  bool grow_out(Flow& f, std::string_view bytes);
  void send_trailers_of_reply(std::span<const HeaderLine> trailers);

  void grow(ByteQueue& queue, std::string_view bytes) {
    queue.append(bytes);
    worker_.account(static_cast<int64_t>(bytes.size()));
  }
  void shrink(ByteQueue& queue, size_t n) {
    queue.pop(n);
    worker_.account(-static_cast<int64_t>(n));
  }
  void clear(ByteQueue& queue) {
    worker_.account(-static_cast<int64_t>(queue.size()));
    queue.clear();
  }

  Worker& worker_;
  const std::shared_ptr<const FilterConfig> config_;
  std::shared_ptr<const RouteConfig> route_;
  std::shared_ptr<const JudgedConfig> judged_route_;
  StreamMount& mount_;
  std::shared_ptr<Channel> channel_;
  Chain* chain_ = nullptr;  // where there may be siblings
  const uint64_t born_;
  StreamId id_;
  uint32_t phases_ = UINT32_MAX;
  Flow request_{Dir::kRequest};
  Flow response_{Dir::kResponse};
  Failure failure_;       // to be carried out outside hooks
  Nanos wait_since_ = 0;  // waiting for a host since
  Nanos wait_until_ = 0;
  std::unique_ptr<Calls> calls_;
  ByteQueue reply_;                      // a streamed reply that the client does not take yet
  std::optional<std::string> last_log_;  // attributes for onLog, until the stream is destroyed
  uint32_t context_cursor_ = 0;
  int above_watermark_ = 0;
  uint8_t end_reason_ = 0;   // wire::EndReason that we caused
  bool grpc_ = false;        // the request came as gRPC, which is what Envoy goes by
  bool begun_ = false;       // a host was found
  bool start_told_ = false;  // a frame with Start has been written
  bool context_pending_ = false;
  bool recreate_wanted_ = false;  // once the request's end has come in
  bool upgrade_ = false;
  bool replied_ = false;  // a reply was sent, or the stream was reset, by us
  bool streaming_reply_ = false;
  bool reply_ended_ = false;  // the host has given all of it
  bool reply_end_sent_ = false;
  bool reply_in_one_ = false;  // the upstream's response has ended already
  uint64_t reply_credited_ = 0;
  bool sending_reply_ = false;  // inside send_reply_*
  bool router_reached_ = false;
  bool buffer_filter_behind_ = false;
  bool router_awaited_ = false;
  bool nested_ = false;  // inside continue_flow(kRequest)
  bool rearming_ = false;
  bool spent_ = false;        // Envoy 1.38's shared flag
  bool others_hold_ = false;  // 1.38: a filter behind us has kept bytes of the request
  size_t end_probe_ = 0;      // 1.38: bytes in Envoy's buffer right after the request's last continue
  bool dead_ = false;         // destroyed by Envoy
  bool waiting_for_room_ = false;
};

}  // namespace tsf::core
