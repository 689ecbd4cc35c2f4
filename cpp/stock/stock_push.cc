// What goes to Envoy: held headers, output, ends. Never inside a hook.
#include <string>
#include <utility>
#include <vector>

#include "stock/edge.h"
#include "stock/stock_flow.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

// ---- when ----

bool StockFlow::can_pump() const {
  return dir_ == Dir::kResponse && headers_came() && !ended_ && stream_.pump_entry() != nullptr;
}

bool StockFlow::can_wait_for_end() const { return can_pump() && stream_.core().response_watermarks() == 0; }

core::OutputRoom StockFlow::room() const {
  using core::OutputRoom;
  if (diverted_ != nullptr) return diverted_->collects() ? OutputRoom::kCollected : OutputRoom::kPaced;
  const bool is_granted = stream_.flag().is_granted(dir_);
  const bool end_is_near =
      ended_ || before_.are_waited_for() || (chain() != nullptr && chain()->end_is_held_before(*this, dir_));
  if (end_is_near || behind_.injector().is_waited_for() || (!is_granted && !can_pump())) return OutputRoom::kCollected;
  return can_pump() || is_client_slow() ? OutputRoom::kPaced : OutputRoom::kBatched;
}

// A continue takes effect and harms nobody. May send an empty frame to get one.
bool StockFlow::may_push() {
  if (stream_.core().is_over() || stream_.is_in_hook()) {
    stream_.core().defer();
    return false;
  }
  check_theft();
  if (waits_for_end()) return false;
  const bool others_before = chain() != nullptr && chain()->owner_before(*this, dir_) != nullptr;
  // Somebody before us holds bytes, and perhaps the end with them: it comes to us when it goes on.
  if (!ended_ && !others_before && buffer().is_held_before()) return false;
  if (stream_.arm(*this)) return true;
  // What the host cannot take yet must not keep the peer from bringing the hook that grants one.
  const bool waits = events().owes_output() || state_ == State::kLeaving;
  if (waits && buffer().is_ours() && !ended_ && !stream_.core().is_over()) keep_input();
  return false;
}

// Envoy also counts the shared buffer, where unread input of ours, or of another of ours, may lie.
bool StockFlow::is_client_slow() const {
  if (dir_ == Dir::kRequest) return false;
  const bool is_unread = chain() != nullptr ? chain()->has_owner(dir_) : buffer().is_ours();
  return stream_.core().response_watermarks() > (is_unread ? 1 : 0);
}

// Output may go on now as far as this direction's own rules say.
bool StockFlow::is_free() {
  if (is_client_slow()) return false;
  return can_pump() || !events().owes_output() || is_dear();
}

// So much output waits that it goes on although it had better not: memory is dearer then than the continue.
bool StockFlow::is_dear() {
  const size_t leaving = state_ == State::kLeaving ? lead_.size() + input_.kept().size() : 0;
  return events().waiting_output() + leaving >= stream_.core().settings().max_pending_output / 2;
}

// Somebody behind us may put it into the chain when the end is in.
bool StockFlow::waits_for_quiet() {
  if (!behind_.injector().is_waited_for() || is_dear()) return false;
  if (behind_.injector().quiet_at() != 0) stream_.core().arm(behind_.injector().quiet_at());
  return true;
}

// An edge keeps this direction exact, so that headers need not wait for that.
bool StockFlow::has_edge() const {
  return has_gate() || (can_pump() && chain() != nullptr && chain()->edge(Chain::Role::kUpstreamEdge) != nullptr);
}

void StockFlow::start_moment() {
  // Of a small one all is about to be here, and its length can go with the headers.
  if (has_edge() && !before_.is_small() && !loses_bytes_to_trailers()) return;
  // One of ours before us has had its moment: no small message is on its way.
  if (chain() != nullptr && chain()->has_filter_before(*this, dir_)) return;
  moment_.start(loses_bytes_to_trailers() && before_.ext_proc().may_be_behind() ? Moment::kLong : Moment::kLength);
}

// Trailers that the host is to see must not be cut off. On 1.38 no edge can help: ext_proc that gets its headers'
// answer gives trailers on before the bytes that it has at its server, and those are lost then.
bool StockFlow::may_lose_trailers() const { return !ended_ && (!has_gate() || loses_bytes_to_trailers()); }
bool StockFlow::loses_bytes_to_trailers() const { return stream_.flag().is_shared() && events().hears_trailers(); }

// From now on its end is waited for.
void StockFlow::time_moment() {
  if (moment_.is_running()) stream_.core().arm(moment_.until());
}

void StockFlow::let_headers_go() {
  headers_may_go_ = true;
  if (behind_.watch().are_gone()) return;
  if (moment_.is_running() && !ended_ && !has_edge()) stream_.say_what_edges_bring();
  time_moment();
  stream_.core().defer();
}

int64_t StockFlow::deadline() const {
  const core::Nanos lost = dir_ == Dir::kRequest ? stream_.lost_continue_deadline() : 0;
  core::Nanos next = !ended_ && (headers_may_go_ || until_trailers_) ? moment_.until() : 0;
  for (const core::Nanos other : {lost, before_.quiet_at(), behind_.injector().quiet_at()})
    if (other != 0 && (next == 0 || other < next)) next = other;
  return next;
}

void StockFlow::on_turn() {
  if (dir_ == Dir::kRequest) stream_.check_lost_continue(buffer().size());
  if (stream_.core().is_over()) return;
  // A deadline that has passed and stays would wake the worker again and again.
  (void)moment_.is_over(input_.kept().size());
  before_.look_at_time();
  behind_.injector().look_at_time();
  if (state_ == State::kLeaving) return leave();
  if (state_ == State::kDropped) (void)let_far_end_go();
  if (state_ != State::kHeld) return;
  look_at_far_end();
  send_bare_headers();
}

// Bare headers: nothing is there to go with them.
void StockFlow::send_bare_headers() {
  if (state_ != State::kHeld || !headers_may_go_ || behind_.watch().are_gone() || ended_) return;
  if (events().waiting_output() > 0 || !moment_.is_over(input_.kept().size())) return;
  if (is_free() && may_push()) push({}, false);
}

// ---- core's wishes ----

// Input is held no longer.
void StockFlow::go_on_to(State next) {
  const bool was_full = is_full();
  state_ = next;
  tell_room(was_full);
}

core::Injected StockFlow::inject(core::ByteQueue& bytes) {
  using core::Injected;
  if (state_ != State::kHeld) return Injected::kLater;
  if (diverted_ != nullptr) return hand_over(bytes, false) ? Injected::kAccepted : Injected::kLater;
  if (ended_ || !lead_.empty()) return Injected::kLater;  // what is left goes with the end
  if (!behind_.watch().are_gone() && !moment_.is_over(input_.kept().size())) return Injected::kLater;
  if (!is_free() || waits_for_quiet()) return Injected::kLater;
  if (dir_ == Dir::kRequest && behind_.watch().are_gone() && envoy_.has_upstream() &&
      !behind_.buffering().is_worth(buffer().foreign(), bytes.size()))
    return Injected::kLater;
  // While the end is held back no continue of ours may be on the stack when Envoy brings it after all: a Stop of ours
  // would be overwritten.
  const bool by_frame = is_end_held_for_good() || keeps_behind();
  if (can_pump() && by_frame) return push_by_frame(bytes) ? Injected::kAccepted : Injected::kLater;
  // Before bytes go into the shared buffer: they may cross its limit, and Envoy's router then pauses an upstream stream
  // that is over for its codec and has been freed.
  if (let_far_end_go() || !may_push()) return Injected::kLater;
  push({&bytes}, false);
  return Injected::kAccepted;
}

// The response's end is held back at the router until we, or one before us, are through.
bool StockFlow::is_end_held_for_good() const {
  return far_end_.is_told() || (!far_end_.is_back() && chain() != nullptr && chain()->holds_far_end(dir_));
}

// A filter of Envoy's behind us keeps bytes in the shared buffer.
bool StockFlow::keeps_behind() const {
  return behind_.watch().are_gone() && !(chain() != nullptr && chain()->has_owner(dir_)) && buffer().foreign() > 0 &&
         !buffer().is_held_before();
}

core::Injected StockFlow::finish(core::ByteQueue& bytes) {
  using core::Injected;
  if (state_ != State::kHeld && state_ != State::kEnding) return Injected::kLater;
  if (diverted_ != nullptr) return hand_over(bytes, true) ? Injected::kAccepted : Injected::kLater;
  if (far_end_.is_told()) return finish_before_far_end(bytes);
  if (!ended_ || !may_push()) return Injected::kLater;
  if (went_on_marked()) {
    events().on_cut();
    return Injected::kLater;
  }
  mark_.clear();
  if (buffer().is_ours()) keep_input();
  go_on_to(State::kFinished);
  push({&lead_, &input_.kept(), &bytes}, true);
  return Injected::kAccepted;
}

void StockFlow::pass(core::ByteQueue& bytes, bool until_trailers) {
  lead_.take(bytes);
  go_on_to(State::kLeaving);
  until_trailers_ = until_trailers && may_lose_trailers();
  if (until_trailers_) time_moment();
  leave();
}

// Everything that is here goes on, in order, and then whatever comes.
void StockFlow::leave() {
  if (by_hand_) return;  // the rest of the message is still to come
  if (diverted_ != nullptr) {
    if (!ended_) return;
    if (hand_over(input_.kept(), true)) (void)let_far_end_go();
    return;
  }
  if (until_trailers_ && !ended_ && !moment_.is_over(input_.kept().size())) return;
  // One before us is to give the end on.
  if (!ended_ && chain() != nullptr && chain()->has_filter_before(*this, dir_) && waits_for_quiet()) return;
  // Before bytes go into the shared buffer, as in inject(). Trailers that come with it may be for the host.
  (void)let_far_end_go();
  if (stream_.core().is_over() || state_ != State::kLeaving) return;
  if (!ended_ && can_pump() && is_end_held_for_good() && !(lead_.empty() && input_.kept().empty()))
    return leave_by_frame();
  if (!may_push()) {
    if (chain() != nullptr) chain()->wake_before(*this, dir_);
    return;
  }
  if (buffer().is_ours() && !(lead_.empty() && input_.kept().empty())) keep_input();
  state_ = State::kPassing;
  far_end_.lets_by(behind_.buffering().emitted() + lead_.size() + input_.kept().size() + buffer().ours());
  if (buffer().is_ours()) {
    buffer().give();
    do_continue();
  } else {
    if (ended_) mark_.clear();
    push({&lead_, &input_.kept()}, ended_);
  }
  if (!stream_.core().is_over()) (void)let_far_end_go();
}

// As in inject(): the end is held back for one before us, and would come with a full buffer.
void StockFlow::leave_by_frame() {
  if (stream_.is_in_hook()) return stream_.core().defer();
  if (buffer().is_ours()) keep_input();
  lead_.take(input_.kept());
  if (!push_by_frame(lead_) || stream_.core().is_over() || state_ != State::kLeaving) return;
  // A filter before us has added to the frame.
  if (!input_.kept().empty()) return wake();
  state_ = State::kPassing;
  far_end_.lets_by(behind_.buffering().emitted());
}

// Envoy sends what it has of them behind the reply that is in this message's place.
void StockFlow::clear_trailers() {
  std::vector<core::HeaderLine> lines;
  const auto type = core::trailers_of(dir_);
  if (!envoy_.headers(type, lines)) return;
  std::vector<std::string> names;
  for (const auto& line : lines) names.emplace_back(line.name());
  for (const auto& name : names) envoy_.remove_header(type, name);
}

void StockFlow::drop() {
  if (state_ == State::kDropped) return;
  go_on_to(State::kDropped);
  // What Envoy holds of a message that is replaced would go out before the reply.
  if (buffer().is_ours() && !stream_.is_in_hook()) (void)buffer().take_ours();
  forget();
  moment_ = {};
  clear_trailers();
  // The end of what is replaced comes here, and no further: the reply has its own.
  if (!stream_.is_in_hook()) (void)let_far_end_go();
}

void StockFlow::give_back() {
  input_.kept().each([&](std::string_view piece) { envoy_.append_body(dir_, BodySource::kBuffered, piece); });
  input_.kept().clear();
}

// ---- by hand ----

bool StockFlow::hand_over(core::ByteQueue& bytes, bool last) {
  if (stream_.is_in_hook() || (!last && !diverted_->takes_more())) return false;
  core::ByteQueue all(stream_.core().memory());
  all.take(lead_);
  if (state_ != State::kHeld && &bytes != &input_.kept())
    all.take(input_.kept());  // else it is input that the host has not read
  all.take(bytes);
  const bool trailers = last && stream_.core().flow(dir_).has_trailers();
  if (last) go_on_to(State::kFinished);
  diverted_->accept(all, !last      ? core::InputEnd::kOpen
                         : trailers ? core::InputEnd::kInBeforeTrailers
                                    : core::InputEnd::kIn);
  return true;
}

}  // namespace tsf::stock
