// One direction of a stream: what Envoy gives to the host and what comes back (flow_states.h has the states). Written
// as if the mount could inject data at any time; where it cannot, the mount says so and output waits here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/byte_queue.h"
#include "core/failure.h"
#include "core/flow_states.h"
#include "core/framing.h"
#include "core/host_side.h"
#include "core/mount.h"

namespace tsf::core {

// What a flow needs of its stream.
class FlowOwner {
 public:
  virtual ~FlowOwner() = default;
  virtual StreamMount& mount() = 0;
  virtual HostSide& host() = 0;
  virtual const Settings& settings() const = 0;
  virtual const RequestKind& request_kind() const = 0;
  // The filter's answers still count: Envoy has the stream and nobody has replied.
  virtual bool is_live() const = 0;
  virtual MemoryCount& memory() = 0;
  // Something is to be done once all input of this direction is here.
  virtual bool is_end_awaited(Dir dir) const = 0;
  // A turn, outside Envoy's hooks.
  virtual void defer() = 0;
  virtual void arm(Nanos deadline) = 0;
  // At once; only in a turn.
  virtual void fail(const Failure& failure) = 0;
  virtual void fail_later(Dir dir, const Failure& failure) = 0;
};

class Flow final : public FlowEvents {
 public:
  Flow(Dir dir, FlowOwner& owner, FlowMount& mount);

  Dir dir() const { return dir_; }
  FlowState state() const { return state_; }
  FlowMount& mount() { return mount_; }
  const FlowMount& mount() const { return mount_; }

  // ---- from the mount ----
  void on_input(InputEnd end) override;
  bool on_trailers() override;
  void on_ready() override { advance(); }
  void on_headers_go() override { framing_.go(); }
  bool owes_output() const override;
  size_t waiting_output() const override { return output_.waiting.size(); }
  bool is_open() const override;
  bool hears_trailers() const override;
  void on_cut() override { owner_.fail_later(dir_, kCutByChain); }

  // ---- from the stream ----
  // The headers have come; `end`: nothing follows them.
  void headers_came(bool end);
  // No hook concerns them: they have gone.
  void skip() { move(FlowEvent::kSkip); }
  // They wait for a host; ask() when there is one.
  void hold() { move(FlowEvent::kAsk); }
  // `context`: the request's headers go before them, for information.
  void ask(bool context);
  void let_pass();
  // Its host is lost: it waits for the next one, which gets all of it. What has a time to be answered in keeps it,
  // where waiting for a host may not take longer than that.
  void begin_again();
  void reply();
  void clear();

  bool has_headers() const { return input_.headers != Headers::kNone; }
  bool headers_gone() const { return mount_.headers_gone(); }
  bool input_ended() const { return input_.end != InputEnd::kOpen; }
  bool is_headers_only() const { return input_.headers_only; }
  bool has_trailers() const { return input_.trailers != Trailers::kNone; }
  // An answer of the host is still to come.
  bool waits_for_host() const;
  // Nothing of it has been changed: it can go on as it came.
  bool is_untouched() const;
  bool is_oversize() const { return oversize_; }
  // Of one that waits for the host: nothing of it was answered that cannot be asked again.
  bool can_begin_again() const;
  // Of one that does not: nothing of it will be the host's business any more.
  bool is_through() const;
  // A host has had its say on it.
  bool was_answered() const;
  bool was_replayed() const { return again_ == Again::kReplayed; }
  Nanos deadline() const { return deadline_; }
  void extend_deadline(Nanos by, Nanos most);
  bool is_late(Nanos now) const { return deadline_ != 0 && now >= deadline_; }
  // True when it has passed; it is then none.
  bool take_deadline(Nanos now);
  Framing& framing() { return framing_; }
  void host_lost() { input_.trailers = has_trailers() ? Trailers::kAnswered : input_.trailers; }

  // ---- from the host; false: no correct host sends it ----
  bool on_answer(uint8_t mode);
  bool takes_answer() const { return state_ == FlowState::kAsked && input_.headers == Headers::kTold; }
  void on_trailers_answer();
  bool takes_trailers_answer() const { return input_.trailers == Trailers::kTold; }
  bool takes_ops(bool trailers) const;
  bool on_output(const wire::Output& frame);

  // Both ways as far as it goes.
  void advance();
  // To the host. False: the ring has no room.
  bool send();

 private:
  enum class Headers : uint8_t { kNone, kUnsent, kTold, kLetGo };
  enum class Trailers : uint8_t { kNone, kHere, kTold, kAnswered };
  enum class Again : uint8_t { kNever, kUntaken, kReplayed };

  struct Input {
    Headers headers = Headers::kNone;
    InputEnd end = InputEnd::kOpen;
    Trailers trailers = Trailers::kNone;
    bool headers_only = false;  // the headers ended the message
    bool context = false;       // the request's headers are to be told first
    bool hosted = false;        // the host sees the body, so it sees and answers the trailers too
    bool end_told = false;
    uint32_t cursor = 0;       // lines of the pending map already written
    uint64_t outstanding = 0;  // bytes at the host, not acknowledged
  };
  struct Output {
    explicit Output(MemoryCount& memory) : waiting(memory) {}
    ByteQueue waiting;
    bool digested = true;     // of what the host has acknowledged nothing more comes
    bool is_cut = false;      // at the host lies more, which comes as soon as there is room
    bool complete = false;    // but for what the trailers hook adds
    uint64_t uncredited = 0;  // bytes that the host has not been credited for
  };

  void move(FlowEvent event);
  // Without `upgrades: true` what is no body flows past.
  bool is_tunnel() const { return framing_.is_tunnel() && !owner_.settings().upgrades; }
  // With it each side may wait for the other's headers before it says more.
  bool is_endless() const { return framing_.is_tunnel() && owner_.settings().upgrades; }
  bool wants_trailers() const;

  bool send_headers();
  bool may_send_body() const;
  bool send_body();
  bool send_gathered();
  bool gather();
  void body_too_large();
  bool send_end();
  bool is_body_told();
  bool send_data(std::string_view bytes, bool last);
  void take_input(size_t length);
  void drain_input();
  uint64_t window() const { return owner_.settings().stream_window; }

  void give();
  void finish_letting_go();
  void go_by(FlowEvent event, bool until_trailers);
  void drain_body();
  bool absorb_input();
  void let_headers_go();
  // All that the headers promise is here, and nothing shows yet that it is all.
  bool waits_for_end() const { return framing_.is_full() && state_ != FlowState::kEnding; }
  // Headers that are held may go with the length of a message that is all made.
  bool waits_for_rest() const;
  bool settle_end();
  std::optional<uint64_t> rest_of_input();
  bool is_complete() const;
  void give_credit();
  bool take_output(std::string_view bytes);
  void take_flags(uint8_t flags);

  void start_timer();
  bool times_held_headers() const;
  void time_gathered();
  void time_trailers();

  const Dir dir_;
  FlowOwner& owner_;
  FlowMount& mount_;
  Framing framing_;
  FlowState state_ = FlowState::kIdle;
  Input input_;
  Output output_;
  ByteQueue gathered_;
  ByteQueue original_;  // the gathered body as it came, for failure_mode open and replay
  bool hold_ = false;   // headers wait for output (StreamHold)
  bool whole_ = false;  // gathered from its first byte on, and no output yet
  bool oversize_ = false;
  Nanos deadline_ = 0;
  Again again_ = Again::kNever;  // whether another host has had it
};

}  // namespace tsf::core
