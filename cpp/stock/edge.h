// `ts_filter_edge`: a companion entry of our filters at an end of Envoy's chain. It has no host and no config, and
// stands by until one of our filters needs it (docs/chains.md):
//
//  * the last entry before the router tells that request headers have passed all filters. It is the gate of requests,
//    and the entry through which empty frames go into a response
//  * an entry in the router's own chain holds a response's end back until our filter is through with it, or the client
//    becomes slow: Envoy's router would then pause an upstream stream that is over for its codec and has been freed
//  * the first entry is the gate of responses
//
// A gate holds a message that a filter in between has ended early, until the filter of ours that it belongs to has
// given the rest by hand:
//
//   by ──the end comes while one of ours before it is open──► holding ──accept()──► by
#pragma once

#include <array>
#include <cstdint>

#include "core/mount.h"
#include "stock/chain.h"
#include "stock/continue_flag.h"
#include "stock/envoy.h"

namespace tsf::stock {

inline constexpr std::string_view kEdgeName = "ts_filter_edge";

class EdgeFilter;

class EdgeFlow final : public Neighbour {
 public:
  EdgeFlow(EdgeFilter& edge, Dir dir) : edge_(edge), dir_(dir) {}

  bool is_open() const override { return is_holding_; }
  bool is_edge() const override { return true; }
  bool has_headers_here() const override { return false; }
  bool has_seen_end() const override { return has_seen_end_; }
  bool is_full() const override { return false; }
  bool leaves_input() const override { return false; }
  std::string park() override { return {}; }
  void unpark(const std::string&) override {}
  void keep_input() override {}
  void wake() override {}
  bool takes_more() const override { return false; }
  bool collects() const override { return true; }
  void accept(core::ByteQueue& bytes, core::InputEnd end) override;
  void divert_to(Neighbour&, uint64_t) override {}

  // The hooks; true: stop.
  bool on_headers(bool end);
  bool on_body(bool end, uint64_t bytes);
  bool on_trailers();

  bool is_holding() const { return is_holding_; }
  uint64_t hooks() const { return hooks_; }
  uint64_t passed() const { return passed_; }
  // Of the router's end: it holds the response's end back for the first of ours that has not let it by. False: no need.
  bool offer_far_end(core::InputEnd end);
  // The response goes on to its end.
  void let_end_go();

 private:
  bool gates();
  void see_end();
  bool holds_far_end(core::InputEnd end);

  EdgeFilter& edge_;
  const Dir dir_;
  bool is_holding_ = false;
  bool has_seen_end_ = false;
  uint64_t hooks_ = 0;   // hooks that were called
  uint64_t bytes_ = 0;   // body bytes that have come here
  uint64_t passed_ = 0;  // and those that have gone on
};

class EdgeFilter {
 public:
  EdgeFilter(Envoy& envoy, bool shared_flag) : envoy_(envoy), flag_(shared_flag) {}
  EdgeFilter(const EdgeFilter&) = delete;
  EdgeFilter& operator=(const EdgeFilter&) = delete;

  // ---- Envoy's hooks ----
  void on_new(const void* config);
  HeadersStatus on_headers(Dir dir, bool end);
  BodyStatus on_body(Dir dir, bool end);
  TrailersStatus on_trailers(Dir dir);
  void on_above_watermark();
  void on_destroy();

  // ---- for our filters ----
  Envoy& envoy() { return envoy_; }
  // Counts what has come here in that direction.
  uint64_t hooks(Dir dir) const { return flow(dir).hooks(); }
  uint64_t passed(Dir dir) const { return flow(dir).passed(); }
  // The response's end, which is held back at the router, goes on.
  bool holds_end() const { return response_.is_holding(); }
  void let_end_go() { response_.let_end_go(); }
  // To the next of ours; false: to nobody.
  bool offer_end(core::InputEnd end) { return response_.offer_far_end(end); }

  // ---- for its flows ----
  Chain& chain() { return *chain_; }
  bool is_request_over() const { return request_.has_seen_end(); }
  bool is_upstream() const { return chain_->edge(Chain::Role::kUpstreamEdge) == this; }
  void do_continue(Dir dir);

 private:
  EdgeFlow& flow(Dir dir) { return dir == Dir::kRequest ? request_ : response_; }
  const EdgeFlow& flow(Dir dir) const { return dir == Dir::kRequest ? request_ : response_; }
  // 1.38: a Continue would spend what the other direction waits for, and a message that comes after the response's end
  // is void.
  bool is_void(Dir dir) const { return flag_.is_shared() && dir == Dir::kRequest && response_.is_holding(); }

  // False: Envoy has ended the stream in it, and this object with it (1.38, 1.39).
  template <class Move>
  bool outlives(Move move);

  Envoy& envoy_;
  ContinueFlag flag_;
  EdgeFlow request_{*this, Dir::kRequest};
  EdgeFlow response_{*this, Dir::kResponse};
  Chain* chain_ = nullptr;
  bool pumps_itself_ = false;
  bool* gone_ = nullptr;  // of the move that is on the stack
};

}  // namespace tsf::stock
