// One of our filters in one HTTP stream of stock Envoy: two flows and what they share, above all Envoy's "continued"
// flag, which 1.38 has only once for both directions.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "core/stream.h"
#include "stock/chain.h"
#include "stock/chain_place.h"
#include "stock/continue_flag.h"
#include "stock/envoy.h"
#include "stock/stock_flow.h"

namespace tsf::stock {

class StockStream {
 public:
  // `shared_flag`: Envoy 1.38.
  StockStream(core::Worker& worker, std::shared_ptr<const core::FilterConfig> config, ChainFacts& facts, Envoy& envoy,
              bool shared_flag);
  StockStream(const StockStream&) = delete;
  StockStream& operator=(const StockStream&) = delete;

  core::Stream& core() { return core_; }
  const core::Stream& core() const { return core_; }
  StockFlow& flow(Dir dir) { return dir == Dir::kRequest ? request_ : response_; }
  Chain* chain() const { return place_.chain(); }
  ContinueFlag& flag() { return flag_; }

  // ---- Envoy's hooks ----
  void on_new();
  HeadersStatus on_headers(Dir dir, bool end);
  BodyStatus on_body(Dir dir, bool end);
  TrailersStatus on_trailers(Dir dir);
  void on_above_watermark();
  // Envoy is about to answer itself, with these details.
  void on_local_reply(std::string_view details);
  // Once in a process: a body is streamed without the companion entries.
  void say_what_edges_bring();
  void on_complete();
  void on_destroy();
  // Its header map goes to a new stream.
  void on_recreate();
  // We reset it.
  void on_reset();
  // By one of ours.
  bool was_reset() const { return was_reset_ || (chain() != nullptr && chain()->was_reset()); }

  // ---- for the flows ----
  void after_hook(Dir dir, bool stops);
  bool is_in_hook() const { return request_.in_hook() || response_.in_hook(); }
  bool in_hook(Dir dir) const { return dir == Dir::kRequest ? request_.in_hook() : response_.in_hook(); }
  // A continue of this direction takes effect; may send an empty frame for that.
  bool arm(StockFlow& flow);
  void do_continue(Dir dir);
  // Sends an empty frame that comes to that flow's hook.
  bool pump(StockFlow& flow);
  // Through which entry empty frames go; null: there is no such way.
  Envoy* pump_entry() const;
  void set_pumped(const Neighbour* flow);
  const Neighbour* pumped() const { return chain() != nullptr ? chain()->pumped() : pumped_; }

  // A message that cannot be held: no hook of the filter sees it.
  bool must_pass_unseen(Dir dir);

  // ---- Envoy 1.38 ----
  // The router has given this upload up, and a Continue of it would disarm the response's last continue.
  bool is_void(Dir dir) const;
  // Several of ours: an empty frame may not get to our own hook, so that nothing grants the request's last continue
  // once it has had its last hook. Until it is through, the flag is kept for it.
  bool request_needs_flag(Dir dir) const;
  // The response has spent what the request's last continue needs, and an empty frame of ours did not get to our own
  // hook: one that comes later, from whoever took it, will do.
  bool request_waits_for_frame() const { return flag_.is_lost(Dir::kRequest) && request_.owes_end(); }
  // The request's last continue leaves so many bytes behind. If they are there after message_timeout, it was lost to a
  // 1xx or METADATA frame.
  void expect_to_go_on(size_t left);
  void check_lost_continue(size_t left);
  core::Nanos lost_continue_deadline() const { return lost_continue_at_; }

 private:
  bool is_codecs_answer() const;
  bool is_nested_answer() const;

  Envoy& envoy_;
  ContinueFlag flag_;
  StockFlow request_;
  StockFlow response_;
  core::Stream core_;
  ChainPlace place_;
  const Neighbour* pumped_ = nullptr;
  bool nested_ = false;       // inside the request's continue
  bool codec_error_ = false;  // Envoy's codec could not read on
  bool was_reset_ = false;
  size_t left_ = 0;  // by the request's last continue
  core::Nanos lost_continue_at_ = 0;
};

}  // namespace tsf::stock
