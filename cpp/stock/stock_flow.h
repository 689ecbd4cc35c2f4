// One direction of one filter on stock Envoy: core's FlowMount over Envoy's hooks, its shared buffer and its continue.
//
//   with us ──core holds──► held ──core lets everything by──► leaving ──continue──► passing
//      │                      │                                  │                   │ trailers are for core
//      │                      │                                  └─────► ending ◄────┘
//      │                      └──end given to Envoy, or by hand──► finished ◄──┘
//      └──no hook concerns it──► passing
//   any ──a reply is in its place──► dropped
//
// Envoy lets a filter continue once per run of Stops (continue_flag.h) and gives everything in the shared buffer to the
// filters behind it when it does, with the end once that has come in. So output waits until the host has digested its
// input, raw input is kept out of the buffer while somebody could flush it, and the end is the last continue.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "core/byte_queue.h"
#include "core/mount.h"
#include "core/worker.h"
#include "stock/chain.h"
#include "stock/envoy.h"
#include "stock/far_end.h"
#include "stock/filters_before.h"
#include "stock/filters_behind.h"
#include "stock/held_input.h"
#include "stock/incomplete_mark.h"
#include "stock/moment.h"

namespace tsf::stock {

class StockStream;

class StockFlow final : public core::FlowMount, public Neighbour {
 public:
  StockFlow(StockStream& stream, Envoy& envoy, ChainFacts& facts, core::MemoryCount& memory, Dir dir);

  // ---- Envoy's hooks ----
  HeadersStatus on_headers(bool end);
  BodyStatus on_body(bool end);
  TrailersStatus on_trailers();

  // ---- core::FlowMount ----
  Input input(std::vector<core::Bytes>& pieces) override;
  void take(size_t length) override;
  void put_back(core::ByteQueue& bytes) override { input_.put_back(bytes); }
  void let_headers_go() override;
  bool headers_gone() const override { return behind_.watch().are_gone(); }
  core::Injected inject(core::ByteQueue& bytes) override;
  core::Injected finish(core::ByteQueue& bytes) override;
  void pass(core::ByteQueue& bytes, bool until_trailers) override;
  void drop() override;
  void give_back() override;
  void on_advanced() override { look_at_far_end(); }
  void on_turn() override;
  int64_t deadline() const override;
  core::OutputRoom room() const override;

  // ---- Neighbour ----
  bool is_open() const override {
    return state_ == State::kHeld || state_ == State::kLeaving || state_ == State::kEnding;
  }
  bool has_headers_here() const override { return !behind_.watch().are_gone() && state_ != State::kDropped; }
  bool has_seen_end() const override { return ended_; }
  core::Nanos end_is_held_until() override;
  bool is_full() const override;
  bool leaves_input() const override { return buffer().is_ours(); }
  std::string park() override { return buffer().take_ours(); }
  void unpark(const std::string& bytes) override;
  void keep_input() override { input_.keep_shared(); }
  void wake() override;
  bool waits_for_trailers() const override;
  void on_edge_reached() override { behind_.watch().told(); }
  uint64_t growth() const override { return far_end_.growth(); }
  void on_taken_back(size_t bytes) override { behind_.buffering().took_back(bytes); }
  void on_buffer_moved() override { behind_.look(buffer(), passed_gate()); }
  void on_end_in_stream() override { take_kept_back(); }
  void on_injected_behind() override;
  void on_upstream_edge_gone() override { envoy_.read_response_trailers_from(nullptr); }
  void on_let_go_behind() override;
  bool takes_more() const override { return !is_full(); }
  bool collects() const override { return false; }
  void accept(core::ByteQueue& bytes, core::InputEnd end) override;
  void divert_to(Neighbour& next, uint64_t bytes) override;

  // ---- for the stream and its edges ----
  Dir dir() const { return dir_; }
  bool in_hook() const { return in_hook_; }
  // Envoy's end is in, and it has not been given on.
  bool owes_end() const { return ended_ && is_open(); }
  bool headers_came() const { return state_ != State::kWithUs; }
  bool can_pump() const override;
  bool can_wait_for_end() const override;
  void pass_on(std::string_view bytes) override;
  void hold_far_end(uint64_t passed, core::InputEnd end) override;
  // An empty frame for us has not come: somebody before us has stopped it.
  void on_pump_stopped();
  // Around what goes to those behind us.
  struct Parked {
    Neighbour* owner = nullptr;
    std::string bytes;
  };
  Parked park_before();
  void unpark_before(const Parked& parked);
  // Of a request: its answer is here.
  void check_answered();
  // Envoy has completed the stream. True: somebody ended our message before us.
  bool on_complete();
  void forget();

 private:
  enum class State : uint8_t { kWithUs, kHeld, kLeaving, kPassing, kEnding, kFinished, kDropped };

  // stock_flow.cc: hooks
  bool gates(bool end);
  bool hold_headers(bool end);
  bool needs_to_know_ext_proc() const;
  BodyStatus on_pump_frame();
  BodyStatus body_status(bool end);
  BodyStatus hold_body(bool end);
  bool takes_others_along();
  bool may_wait_for_end() const;
  void see_end();
  bool has_ended_without_us() const;
  bool went_on_marked();
  ExtProc::Gone has_gone_by() const;

  // stock_input.cc: input
  BodyStatus store();
  bool may_leave();
  bool keeps_for_headers() const;
  size_t shown_again(bool was_ours);
  bool take_pushed_over(size_t again);
  void note_behind();
  void check_cut();
  void check_theft();
  bool has_lost_bytes(uint64_t seen_behind) const;
  bool knows_what_is_before() const;
  bool waits_for_end();
  void keep_added();
  void take_kept_back();
  void tell_room(bool was_full);

  // stock_push.cc: when, and what core wishes
  void go_on_to(State next);
  bool is_client_slow() const;
  bool is_free();
  bool is_dear();
  bool waits_for_quiet();
  bool may_push();
  bool has_edge() const;
  void start_moment();
  bool may_lose_trailers() const;
  bool loses_bytes_to_trailers() const;
  void time_moment();
  void send_bare_headers();
  bool is_end_held_for_good() const;
  bool keeps_behind() const;
  void leave();
  void leave_by_frame();
  void clear_trailers();
  bool hand_over(core::ByteQueue& bytes, bool last);

  // stock_far_end.cc: an end that is held back at the router
  core::Injected finish_before_far_end(core::ByteQueue& bytes);
  void look_at_far_end();
  bool tell_far_end();
  bool forget_far_end();
  bool let_far_end_go();

  // stock_continue.cc: one push
  bool push_by_frame(core::ByteQueue& bytes);
  bool send_frame(core::ByteQueue& bytes);
  bool continue_before_frame(bool at_once);
  void keep_input_behind();
  void look_behind();
  bool fits_while_end_is_held(size_t bytes) const;
  void push(std::initializer_list<core::ByteQueue*> queues, bool last);
  void put_aside(Aside& aside, std::initializer_list<core::ByteQueue*> pushed, bool at_once);
  void put_aside_back(Aside& aside, bool is_routers, size_t shown);
  void repeat_end();
  void note_end_lost();
  void let_go();
  void do_continue();

  core::FlowEvents& events();
  const core::FlowEvents& events() const;
  Chain* chain() const;
  const EdgeFilter* gate() const;
  bool has_gate() const { return gate() != nullptr; }
  // Body bytes that it has seen.
  std::optional<uint64_t> passed_gate() const;
  SharedBuffer& buffer() { return input_.buffer(); }
  const SharedBuffer& buffer() const { return input_.buffer(); }

  StockStream& stream_;
  Envoy& envoy_;
  const Dir dir_;
  State state_ = State::kWithUs;
  HeldInput input_;
  FiltersBefore before_;
  FiltersBehind behind_;
  IncompleteMark mark_;
  Moment moment_;
  FarEnd far_end_;
  core::ByteQueue lead_;              // output that goes before everything that is let by
  core::ByteQueue* frame_ = nullptr;  // output that goes with the empty frame on the stack
  Neighbour* diverted_ = nullptr;     // takes the rest of our message by hand
  bool in_hook_ = false;
  bool ended_ = false;    // Envoy has shown us the end
  bool by_hand_ = false;  // the rest of the message comes by accept()
  bool headers_may_go_ = false;
  bool until_trailers_ = false;
};

}  // namespace tsf::stock
