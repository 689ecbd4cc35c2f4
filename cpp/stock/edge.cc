#include "stock/edge.h"

#include <utility>

namespace tsf::stock {

// ---- one direction ----

// A filter of ours before us is not through: the end that has come is somebody else's work.
bool EdgeFlow::gates() {
  Neighbour* before = edge_.chain().open_before(*this, dir_);
  if (before == nullptr) return false;
  is_holding_ = true;
  before->divert_to(*this, bytes_);
  return true;
}

// Only behind a request that is complete: else the router resets the upstream stream when it hears of the end, which is
// too late once the codec has freed it.
bool EdgeFlow::holds_far_end(core::InputEnd end) {
  if (!edge_.is_request_over()) return false;
  Neighbour* response = edge_.chain().first_open_response(end);
  if (response == nullptr || !response->can_wait_for_end()) return false;

  // The bytes that came with the end go on; only the end is held. They may show that the client is slow.
  const std::string bytes =
      end == core::InputEnd::kIn ? edge_.envoy().take_body(dir_, BodySource::kReceived) : std::string();
  if (!bytes.empty()) response->pass_on(bytes);
  return offer_far_end(end);
}

// To the first of ours that has not let the response by.
bool EdgeFlow::offer_far_end(core::InputEnd end) {
  Neighbour* response = edge_.chain().first_open_response(end);
  if (response == nullptr || !response->can_wait_for_end()) return false;
  is_holding_ = true;
  response->hold_far_end(bytes_ + edge_.chain().growth_before(*response, dir_), end);
  return true;
}

void EdgeFlow::see_end() {
  has_seen_end_ = true;
  edge_.chain().note_end(dir_);
}

bool EdgeFlow::on_headers(bool end) {
  ++hooks_;
  if (!edge_.is_upstream()) {
    if (edge_.chain().gate(dir_) == &edge_) edge_.chain().tell_edge_reached(dir_);
    if (end && gates()) return true;
  }
  if (end) see_end();
  return false;
}

bool EdgeFlow::on_body(bool end, uint64_t bytes) {
  ++hooks_;
  bytes_ += bytes;
  if (!end && !edge_.is_upstream()) edge_.chain().note_body(*this, dir_, edge_.envoy(), bytes);
  if (end && (edge_.is_upstream() ? dir_ == Dir::kResponse && holds_far_end(core::InputEnd::kIn) : gates()))
    return true;
  if (end) see_end();
  passed_ += bytes;
  return false;
}

bool EdgeFlow::on_trailers() {
  ++hooks_;
  if (edge_.is_upstream() ? dir_ == Dir::kResponse && holds_far_end(core::InputEnd::kInBeforeTrailers) : gates())
    return true;
  see_end();
  return false;
}

// The rest of the message that we hold: all of it, in one continue.
void EdgeFlow::accept(core::ByteQueue& bytes, core::InputEnd) {
  bytes.each([&](std::string_view piece) { edge_.envoy().append_body(dir_, BodySource::kBuffered, piece); });
  bytes.clear();
  is_holding_ = false;
  see_end();
  edge_.do_continue(dir_);
}

void EdgeFlow::let_end_go() {
  if (!std::exchange(is_holding_, false)) return;
  see_end();
  edge_.do_continue(dir_);
}

// ---- the entry ----

void EdgeFilter::on_new(const void* config) {
  Chain::Entry entry;
  entry.config = config;
  entry.flows = {&request_, &response_};
  entry.edge = this;
  chain_ = &Chain::join(envoy_, entry);
}

HeadersStatus EdgeFilter::on_headers(Dir dir, bool end) {
  const bool stop = flow(dir).on_headers(end);
  flag_.on_hook(dir, stop);
  return stop ? HeadersStatus::kStopIteration : HeadersStatus::kContinue;
}

BodyStatus EdgeFilter::on_body(Dir dir, bool end) {
  if (pumps_itself_) {
    flag_.on_hook(dir, true);
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (is_void(dir)) {
    envoy_.drain_body(dir, BodySource::kReceived, envoy_.body_size(dir, BodySource::kReceived));
    return BodyStatus::kStopIterationNoBuffer;
  }
  if (!is_upstream()) chain_->put_aside_before(dir, envoy_);
  const bool stop = flow(dir).on_body(end, envoy_.body_size(dir, BodySource::kReceived));
  flag_.on_hook(dir, stop);
  if (!stop) return BodyStatus::kContinue;
  // What came with the end stays before the rest.
  return envoy_.body_size(dir, BodySource::kReceived) > 0 ? BodyStatus::kStopIterationAndWatermark
                                                          : BodyStatus::kStopIterationNoBuffer;
}

TrailersStatus EdgeFilter::on_trailers(Dir dir) {
  if (is_void(dir)) return TrailersStatus::kStopIteration;
  const bool stop = flow(dir).on_trailers();
  flag_.on_hook(dir, stop);
  return stop ? TrailersStatus::kStopIteration : TrailersStatus::kContinue;
}

void EdgeFilter::on_above_watermark() { chain_->let_far_end_go(); }

void EdgeFilter::on_destroy() {
  if (gone_ != nullptr) *gone_ = true;
  if (chain_ != nullptr) std::exchange(chain_, nullptr)->leave(request_);
}

template <class Move>
bool EdgeFilter::outlives(Move move) {
  bool gone = false;
  bool* const outer = std::exchange(gone_, &gone);
  move();
  if (gone) {
    if (outer != nullptr) *outer = true;
    return false;
  }
  gone_ = outer;
  return true;
}

void EdgeFilter::do_continue(Dir dir) {
  if (flag_.is_lost(dir) && response_.hooks() > 0 && !response_.has_seen_end()) {
    // 1.38: a Stop of the response grants it again.
    pumps_itself_ = true;
    if (!outlives([&] { envoy_.inject_response({}); })) return;
    pumps_itself_ = false;
  }
  flag_.on_continue(dir);
  if (outlives([&] { envoy_.continue_flow(dir); })) flag_.after_continue();
}

}  // namespace tsf::stock
