// A response's end that is held back at the router: the flow hears of it inside the module, and Envoy brings it later.
#include <string_view>

#include "stock/edge.h"
#include "stock/stock_flow.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

void StockFlow::pass_on(std::string_view bytes) { stream_.pump_entry()->inject_response(bytes); }

void StockFlow::hold_far_end(uint64_t passed, core::InputEnd end) {
  far_end_.hold(passed, end);
  if (!tell_far_end()) wake();
}

bool StockFlow::tell_far_end() {
  // Who held it has gone with its upstream request: Envoy ends the response, or somebody answers in its place.
  if (!chain()->holds_far_end(dir_)) {
    (void)forget_far_end();
    return false;
  }
  if (state_ != State::kHeld || !far_end_.all_has_come() || buffer().is_held_before()) return false;
  far_end_.told();
  const bool trailers = far_end_.end() == core::InputEnd::kInBeforeTrailers;
  if (!behind_.watch().are_gone()) moment_.start();  // the filter may be through at once, and then its length is known
  if (trailers) envoy_.read_response_trailers_from(&chain()->edge(Chain::Role::kUpstreamEdge)->envoy());
  events().on_input(far_end_.end());
  if (trailers) events().on_trailers();
  wake();
  return true;
}

void StockFlow::look_at_far_end() {
  if (!far_end_.is_held() || tell_far_end()) return;
  // A filter in between keeps bytes until it sees the end, or makes others of them.
  if (stream_.is_in_hook() || events().owes_output() || !input_.kept().empty()) return;
  if (events().waiting_output() == 0 || buffer().is_held_before()) (void)let_far_end_go();
}

core::Injected StockFlow::finish_before_far_end(core::ByteQueue& bytes) {
  moment_ = {};
  if (!bytes.empty() && inject(bytes) == core::Injected::kLater) return core::Injected::kLater;
  if (stream_.core().is_over()) return core::Injected::kAccepted;
  // The bytes have filled a buffer, so that the end came back to us while they went.
  if (ended_) return finish(bytes);
  go_on_to(State::kFinished);
  const bool headers_go_with_end = !behind_.watch().are_gone();
  let_go();
  far_end_.lets_by(behind_.buffering().emitted());
  const core::InputEnd end = far_end_.end();
  (void)forget_far_end();
  // The next of ours is to have as much time.
  if (headers_go_with_end || !chain()->offer_far_end(end)) chain()->let_far_end_go();
  return core::Injected::kAccepted;
}

// True: the end was held back.
bool StockFlow::forget_far_end() {
  if (!far_end_.is_back()) return false;
  far_end_.let_go();
  envoy_.read_response_trailers_from(nullptr);
  return true;
}

// True: the end was held back, and has come now.
bool StockFlow::let_far_end_go() {
  if (!forget_far_end()) return false;
  chain()->let_far_end_go();
  return true;
}

}  // namespace tsf::stock
