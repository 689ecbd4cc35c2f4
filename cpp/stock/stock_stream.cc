#include "stock/stock_stream.h"

#include <atomic>
#include <utility>

#include "core/failure.h"
#include "stock/edge.h"

namespace tsf::stock {

StockStream::StockStream(core::Worker& worker, std::shared_ptr<const core::FilterConfig> config, ChainFacts& facts,
                         Envoy& envoy, bool shared_flag)
    : envoy_(envoy),
      flag_(shared_flag),
      request_(*this, envoy, facts, worker.memory(), Dir::kRequest),
      response_(*this, envoy, facts, worker.memory(), Dir::kResponse),
      core_(worker, std::move(config), {envoy, request_, response_}) {}

// ---- Envoy's hooks ----

void StockStream::on_new() {
  Chain::Entry entry;
  entry.config = &core_.config();
  entry.flows = {&request_, &response_};
  entry.listener = &core_;
  place_.take(envoy_, entry, core_.log_phases());
}

HeadersStatus StockStream::on_headers(Dir dir, bool end) {
  const core::Worker::Scope scope(core_.worker());
  return flow(dir).on_headers(end);
}

BodyStatus StockStream::on_body(Dir dir, bool end) {
  const core::Worker::Scope scope(core_.worker());
  return flow(dir).on_body(end);
}

TrailersStatus StockStream::on_trailers(Dir dir) {
  const core::Worker::Scope scope(core_.worker());
  return flow(dir).on_trailers();
}

void StockStream::on_above_watermark() {
  const core::Worker::Scope scope(core_.worker());
  core_.on_above_watermark();
  if (chain() != nullptr) chain()->let_far_end_go();
}

void StockStream::on_local_reply(std::string_view details) {
  constexpr std::string_view kOfCodec = "http1.";
  if (details.starts_with(kOfCodec)) codec_error_ = true;
}

void StockStream::on_complete() {
  const core::Worker::Scope scope(core_.worker());
  const bool request_was_cut = request_.on_complete();
  const bool response_was_cut = response_.on_complete();
  if (request_was_cut || response_was_cut) core_.log_failure("cut", core::kCutByChain.code);
  if (response_was_cut) {
    // A client on HTTP/2 refuses a body that is shorter than its length; one on HTTP/1 waits for the rest. A stream
    // that Envoy is completing cannot bear to be closed at once: the connection ends after `drain_timeout`.
    if (envoy_.is_over_http1()) envoy_.drain_connection();
  }
  core_.on_complete();
}

void StockStream::on_destroy() {
  const core::Worker::Scope scope(core_.worker());
  core_.on_destroy();
  request_.forget();
  response_.forget();
  place_.leave();
}

void StockStream::on_recreate() { place_.give_up_key(); }

void StockStream::on_reset() {
  was_reset_ = true;
  if (chain() != nullptr) chain()->note_reset();
}

void StockStream::say_what_edges_bring() {
  static std::atomic<bool> said{false};
  if (said.exchange(true, std::memory_order_relaxed)) return;  // relaxed: only who says it first
  core_.worker().process().log(
      core::LogLevel::kInfo,
      "ts_filter: filter " + core_.config().name +
          " streams bodies without ts_filter_edge beside it: its headers wait a moment for the end of a small message, "
          "late output of a response waits for its next frame, and a filter that pauses beside it can make a message "
          "end with ts_filter_cut_by_chain; `ts-filter-host print-config` prints the entries that mend this (said "
          "once)");
}

// ---- the flag ----

void StockStream::after_hook(Dir dir, bool stops) {
  flag_.on_hook(dir, stops);
  // On 1.38 the other direction may have waited for it, or may get an empty frame through now.
  const Dir o = core::other(dir);
  if (flag_.is_shared() && flag_.is_stopped(o) && flow(o).is_open()) core_.defer();
}

void StockStream::do_continue(Dir dir) {
  flag_.on_continue(dir);
  const bool was_nested = nested_;
  if (dir == Dir::kRequest) nested_ = true;
  envoy_.continue_flow(dir);
  nested_ = was_nested;
  flag_.after_continue();
}

bool StockStream::arm(StockFlow& flow) {
  if (is_void(flow.dir()) || request_needs_flag(flow.dir())) return false;
  if (flag_.is_granted(flow.dir())) return true;
  if (flow.can_pump()) {
    if (!pump(flow)) return false;
    if (!flag_.is_granted(flow.dir())) flow.on_pump_stopped();
    return flag_.is_granted(flow.dir());
  }
  // 1.38: a Stop of the response grants the request's continue, too.
  return flag_.is_lost(flow.dir()) && response_.can_pump() && pump(response_) && flag_.is_granted(flow.dir());
}

// ---- empty frames ----

// From 1.39 on Envoy passes an entry over that has sent a frame of a response: it has to be one that has nothing else
// to do.
Envoy* StockStream::pump_entry() const {
  if (core_.has_replied() || envoy_.is_upstream()) return nullptr;
  if (flag_.is_shared()) return &envoy_;
  EdgeFilter* edge = chain() != nullptr ? chain()->edge(Chain::Role::kLastEdge) : nullptr;
  return edge != nullptr ? &edge->envoy() : nullptr;
}

void StockStream::set_pumped(const Neighbour* flow) {
  pumped_ = flow;
  if (chain() != nullptr) chain()->set_pumped(flow);
}

bool StockStream::pump(StockFlow& flow) {
  const auto parked = flow.park_before();
  set_pumped(&flow);
  pump_entry()->inject_response({});
  set_pumped(nullptr);
  flow.unpark_before(parked);
  return !core_.is_over();
}

// ---- what cannot be held ----

bool StockStream::must_pass_unseen(Dir dir) {
  if (dir == Dir::kRequest) return false;
  // Behind the router a response cannot be held at its end: the codec's stream is gone by then, and the router pauses
  // it all the same when the client becomes slow, which crashes Envoy.
  if (envoy_.is_upstream() || is_codecs_answer()) return true;
  if (!is_nested_answer()) return false;
  static std::atomic<bool> said{false};
  if (!said.exchange(true, std::memory_order_relaxed))  // relaxed: only who says it first
    core_.worker().process().log(
        core::LogLevel::kWarn,
        "ts_filter: this Envoy version cannot hold back a response that Envoy makes itself while a request continues; "
        "such responses pass the encode hooks by (said once)");
  return true;
}

// Envoy's HTTP/1 codec answers what it cannot read, and Envoy closes the connection in the same call, with all that is
// held. Where the headers could not be read there is no map of them, for there is no request; their timeout is told
// apart from that on no version, and has no request either.
bool StockStream::is_codecs_answer() const {
  if (codec_error_) return true;
  return !request_.headers_came() && !envoy_.header(core::HeaderType::kRequest, ":method");
}

// 1.38, inside our own continue: a Stop would be overwritten, and the answer would hang.
bool StockStream::is_nested_answer() const { return nested_ && flag_.is_shared(); }

// ---- Envoy 1.38 ----

bool StockStream::is_void(Dir dir) const { return flag_.is_shared() && dir == Dir::kRequest && response_.owes_end(); }

bool StockStream::request_needs_flag(Dir dir) const {
  return flag_.is_shared() && dir == Dir::kResponse && chain() != nullptr && chain()->has_siblings() &&
         !response_.has_seen_end() && request_.owes_end();
}

void StockStream::expect_to_go_on(size_t left) {
  if (!flag_.is_shared() || left == 0 || response_.headers_came() || envoy_.has_upstream()) return;
  left_ = left;
  lost_continue_at_ = core::now_ns() + core_.host().message_timeout();
  core_.arm(lost_continue_at_);
}

void StockStream::check_lost_continue(size_t left) {
  if (lost_continue_at_ == 0 || core::now_ns() < lost_continue_at_) return;
  lost_continue_at_ = 0;
  if (left == left_ && !response_.headers_came()) core_.fail(core::kContinueLost);
}

}  // namespace tsf::stock
