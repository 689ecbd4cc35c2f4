// What goes to Envoy: held headers, output, ends. Never inside a hook.
#include <utility>

#include "stock/edge.h"
#include "stock/stock_flow.h"
#include "stock/stock_stream.h"

namespace tsf::stock {
namespace {
// So much output goes on although the host owes more of it: memory is dearer then than the continue.
constexpr uint64_t demanding(const core::Settings& settings) { return settings.max_pending_output / 2; }
}  // namespace

// ---- when ----

bool StockFlow::can_pump() const {
  return dir_ == Dir::kResponse && headers_came() && !ended_ && stream_.pump_entry() != nullptr;
}

bool StockFlow::can_wait_for_end() const { return can_pump() && stream_.core().response_watermarks() == 0; }

core::OutputRoom StockFlow::room() const {
  using core::OutputRoom;
  if (diverted_ != nullptr) return diverted_->collects() ? OutputRoom::kCollected : OutputRoom::kPaced;
  const bool is_granted = stream_.flag().is_granted(dir_);
  if (ended_ || (!is_granted && !can_pump())) return OutputRoom::kCollected;
  return can_pump() || is_client_slow() ? OutputRoom::kPaced : OutputRoom::kBatched;
}

// A continue takes effect and harms nobody. May send an empty frame to get one.
bool StockFlow::may_push() {
  if (stream_.core().is_over() || stream_.is_in_hook()) {
    stream_.core().defer();
    return false;
  }
  check_theft();
  if (chain() != nullptr && chain()->end_is_held_before(*this, dir_)) return false;
  const bool others_before = chain() != nullptr && chain()->owner_before(*this, dir_) != nullptr;
  // Somebody before us holds bytes, and perhaps the end with them: it comes to us when it goes on.
  if (!ended_ && !others_before && buffer_.is_held_before()) return false;
  if (stream_.arm(*this)) return true;
  // What the host cannot take yet must not keep the peer from bringing the hook that grants one.
  const bool waits = events().owes_output() || phase_ == Phase::kLeaving;
  if (waits && buffer_.is_ours() && !ended_ && !stream_.core().is_over()) keep_input();
  return false;
}

// Envoy also counts the shared buffer, where our own unread input may lie.
bool StockFlow::is_client_slow() const {
  return dir_ == Dir::kResponse && stream_.core().response_watermarks() > (buffer_.is_ours() ? 1 : 0);
}

// Output may go on now as far as this direction's own rules say.
bool StockFlow::is_free() {
  if (is_client_slow()) return false;
  if (can_pump()) return true;
  return !events().owes_output() || events().waiting_output() >= demanding(stream_.core().settings());
}

void StockFlow::start_moment() {
  const bool end_can_be_held = can_pump() && chain() != nullptr && chain()->edge(Chain::Role::kUpstreamEdge) != nullptr;
  if (gate_ahead() || end_can_be_held) return;
  // One of ours before us has had its moment: no small message is on its way.
  if (chain() == nullptr || !chain()->has_filter_before(*this, dir_)) moment_.start();
}

// From now on its end is waited for.
void StockFlow::time_moment() {
  if (moment_.is_running()) stream_.core().arm(moment_.until());
}

void StockFlow::let_headers_go() {
  headers_may_go_ = true;
  if (watch_.are_gone()) return;
  if (moment_.is_running() && !ended_) stream_.say_what_edges_bring();
  time_moment();
  stream_.core().defer();
}

int64_t StockFlow::deadline() const {
  const core::Nanos lost = dir_ == Dir::kRequest ? stream_.lost_continue_deadline() : 0;
  const core::Nanos moment = !ended_ && (headers_may_go_ || until_trailers_) ? moment_.until() : 0;
  return moment == 0 || (lost != 0 && lost < moment) ? lost : moment;
}

void StockFlow::on_turn() {
  if (dir_ == Dir::kRequest) stream_.check_lost_continue(buffer_.size());
  if (stream_.core().is_over()) return;
  // A deadline that has passed and stays would wake the worker again and again.
  (void)moment_.is_over(kept_.size());
  // A client on HTTP/2 refuses a body that is shorter than its length; one on HTTP/1 has to be told by a close.
  if (dir_ == Dir::kResponse && mark_.is_news()) envoy_.end_connection_with_stream();
  if (phase_ == Phase::kLeaving) return leave();
  if (phase_ != Phase::kHeld) return;
  look_at_far_end();
  release_headers();
}

// Bare headers: nothing is there to go with them.
void StockFlow::release_headers() {
  if (phase_ != Phase::kHeld || !headers_may_go_ || watch_.are_gone() || ended_) return;
  if (events().waiting_output() > 0 || !moment_.is_over(kept_.size())) return;
  if (is_free() && may_push()) push({}, false);
}

// ---- core's wishes ----

core::Injected StockFlow::inject(core::ByteQueue& bytes) {
  using core::Injected;
  if (phase_ != Phase::kHeld) return Injected::kLater;
  if (diverted_ != nullptr) return hand_over(bytes, false) ? Injected::kAccepted : Injected::kLater;
  if (ended_) return Injected::kLater;  // one continue is left, it is for the end
  if (!watch_.are_gone() && !moment_.is_over(kept_.size())) return Injected::kLater;
  if (!is_free()) return Injected::kLater;
  if (dir_ == Dir::kRequest && watch_.are_gone() && envoy_.has_upstream() &&
      !buffering_.is_worth(buffer_.foreign(), bytes.size()))
    return Injected::kLater;
  // While the end is held back no continue of ours may be on the stack when Envoy brings it after all: a Stop of ours
  // would be overwritten.
  const bool by_frame = far_end_.is_told() || keeps_behind();
  if (can_pump() && by_frame) return push_by_frame(bytes) ? Injected::kAccepted : Injected::kLater;
  // Before bytes go into the shared buffer: they may cross its limit, and Envoy's router then pauses an upstream stream
  // that is over for its codec and has been freed.
  if (release_far_end() || !may_push()) return Injected::kLater;
  push({&bytes}, false);
  return Injected::kAccepted;
}

// A filter of Envoy's behind us keeps bytes in the shared buffer.
bool StockFlow::keeps_behind() const {
  return watch_.are_gone() && !(chain() != nullptr && chain()->has_owner(dir_)) && buffer_.foreign() > 0;
}

core::Injected StockFlow::finish(core::ByteQueue& bytes) {
  using core::Injected;
  if (phase_ != Phase::kHeld && phase_ != Phase::kEnding) return Injected::kLater;
  if (diverted_ != nullptr) return hand_over(bytes, true) ? Injected::kAccepted : Injected::kLater;
  if (far_end_.is_told()) return finish_before_far_end(bytes);
  if (!ended_ || !may_push()) return Injected::kLater;
  if (mark_.is_set() && watch_.are_through()) {
    events().on_cut();
    return Injected::kLater;
  }
  mark_.clear();
  if (buffer_.is_ours()) keep_input();
  phase_ = Phase::kFinished;
  push({&lead_, &kept_, &bytes}, true);
  return Injected::kAccepted;
}

void StockFlow::pass(core::ByteQueue& bytes, bool until_trailers) {
  lead_.take(bytes);
  phase_ = Phase::kLeaving;
  until_trailers_ = until_trailers && !ended_ && !gate_ahead();
  if (until_trailers_) time_moment();
  leave();
}

// Everything that is here goes on, in order, and then whatever comes.
void StockFlow::leave() {
  if (by_hand_) return;  // the rest of the message is still to come
  if (diverted_ != nullptr) {
    if (!ended_) return;
    if (hand_over(kept_, true)) (void)release_far_end();
    return;
  }
  if (until_trailers_ && !ended_ && !moment_.is_over(kept_.size())) return;
  (void)release_far_end();  // before bytes go into the shared buffer, as in inject()
  if (stream_.core().is_over()) return;
  if (!may_push()) {
    if (chain() != nullptr) chain()->wake_before(*this, dir_);
    return;
  }
  if (buffer_.is_ours() && !(lead_.empty() && kept_.empty())) keep_input();
  phase_ = Phase::kPassing;
  if (buffer_.is_ours()) {
    buffer_.give();
    do_continue();
  } else {
    if (ended_) mark_.clear();
    push({&lead_, &kept_}, ended_);
  }
  if (!stream_.core().is_over()) (void)release_far_end();
}

void StockFlow::drop() {
  if (phase_ == Phase::kDropped) return;
  phase_ = Phase::kDropped;
  // What Envoy holds of a message that is replaced would go out before the reply.
  if (buffer_.is_ours() && !stream_.is_in_hook()) (void)buffer_.take_ours();
  forget();
  moment_ = {};
}

void StockFlow::give_back() {
  kept_.each([&](std::string_view piece) { envoy_.append_body(dir_, BodySource::kBuffered, piece); });
  kept_.clear();
}

// ---- by hand ----

bool StockFlow::hand_over(core::ByteQueue& bytes, bool last) {
  if (stream_.is_in_hook() || (!last && !diverted_->takes_more())) return false;
  core::ByteQueue all(stream_.core().memory());
  all.take(lead_);
  if (&bytes != &kept_) all.take(kept_);
  all.take(bytes);
  const bool trailers = last && stream_.core().flow(dir_).has_trailers();
  if (last) phase_ = Phase::kFinished;
  diverted_->accept(all, !last      ? core::InputEnd::kOpen
                         : trailers ? core::InputEnd::kInBeforeTrailers
                                    : core::InputEnd::kIn);
  return true;
}

// ---- an end that is held back at the router ----

void StockFlow::pass_on(std::string_view bytes) { stream_.pump_entry()->inject_response(bytes); }

void StockFlow::hold_far_end(uint64_t passed, core::InputEnd end) {
  far_end_.hold(passed, end);
  if (!tell_far_end()) wake();
}

bool StockFlow::tell_far_end() {
  if (phase_ != Phase::kHeld || !far_end_.all_has_come()) return false;
  far_end_.told();
  const bool trailers = far_end_.end() == core::InputEnd::kInBeforeTrailers;
  if (trailers) envoy_.read_response_trailers_from(&chain()->edge(Chain::Role::kUpstreamEdge)->envoy());
  events().on_input(far_end_.end());
  if (trailers) events().on_trailers();
  wake();
  return true;
}

void StockFlow::look_at_far_end() {
  if (!far_end_.is_held() || tell_far_end()) return;
  // A filter in between keeps bytes until it sees the end, or makes others of them.
  if (stream_.is_in_hook() || events().owes_output() || !kept_.empty()) return;
  if (events().waiting_output() == 0 || buffer_.is_held_before()) (void)release_far_end();
}

core::Injected StockFlow::finish_before_far_end(core::ByteQueue& bytes) {
  if (!bytes.empty() && inject(bytes) == core::Injected::kLater) return core::Injected::kLater;
  if (stream_.core().is_over()) return core::Injected::kAccepted;
  phase_ = Phase::kFinished;
  (void)release_far_end();
  return core::Injected::kAccepted;
}

// True: the end was held back.
bool StockFlow::forget_far_end() {
  if (!far_end_.is_back()) return false;
  far_end_.release();
  envoy_.read_response_trailers_from(nullptr);
  return true;
}

// True: the end was held back, and has come now.
bool StockFlow::release_far_end() {
  if (!forget_far_end()) return false;
  chain()->let_far_end_go();
  return true;
}

// ---- one push ----

// With a frame of its own, so that a filter behind us which keeps bytes in the shared buffer is shown new ones only.
bool StockFlow::push_by_frame(core::ByteQueue& bytes) {
  // All of it is here, so nobody is to be paused; and who is behind us may stop the headers, or what comes with them.
  if (buffer_.is_ours()) keep_input();
  if (stream_.flag().is_stopped(dir_)) {
    const std::string aside = envoy_.take_body(dir_, BodySource::kBuffered);
    do_continue();
    if (stream_.core().is_over()) return true;
    if (!aside.empty()) envoy_.append_body(dir_, BodySource::kBuffered, aside);
  }
  frame_ = &bytes;
  (void)stream_.pump(*this);
  frame_ = nullptr;
  if (stream_.core().is_over()) return true;
  // Else there may be bytes of one before us.
  if (bytes.empty()) note_buffer();
  // A filter before us has stopped the frame. It comes when that one goes on, and perhaps only with the end.
  if (!bytes.empty()) (void)release_far_end();
  return bytes.empty();
}

// Appends the bytes to the shared buffer and lets Envoy go on with them, and with nothing else.
void StockFlow::push(std::initializer_list<core::ByteQueue*> queues, bool last) {
  Neighbour* const owner = chain() != nullptr ? chain()->owner_before(*this, dir_) : nullptr;
  const std::string owners = owner != nullptr ? owner->park() : std::string();
  if (Neighbour* behind = chain() != nullptr ? chain()->owner_behind(*this, dir_) : nullptr) behind->keep_input();
  if (buffer_.ours() <= stream_.core().settings().stream_window && buffer_.is_ours()) keep_input();
  const std::string ours = buffer_.is_ours() ? buffer_.take_ours() : std::string();
  const size_t behind = buffer_.size();
  const bool is_routers = behind > 0 && dir_ == Dir::kRequest && watch_.are_gone() &&
                          !buffering_.is_gathered_behind() && envoy_.has_upstream();
  // A filter that holds the headers gathers the body, or lets all of it go at once: it may look at all of it. One that
  // has let them go has seen what it keeps.
  const bool show_again =
      behind > 0 && !is_routers && (last || buffering_.is_gathered_behind() || !watch_.are_through());
  const std::string aside = behind > 0 && !show_again ? envoy_.take_body(dir_, BodySource::kBuffered) : std::string();
  if (chain() != nullptr) chain()->set_pushed_over(dir_, show_again ? behind : 0);
  const uint64_t emitted_before = buffering_.emitted();
  for (core::ByteQueue* queue : queues) {
    while (!queue->empty() && !stream_.core().is_over()) {
      const auto piece = queue->front();
      buffering_.on_output(piece.size());
      buffer_.append(piece);
      queue->pop(piece.size());
    }
  }
  if (last) buffering_.before_end(emitted_before, behind);
  const bool meets_gatherers = dir_ == Dir::kRequest && !watch_.are_gone() && !last;
  if (meets_gatherers) buffering_.before_headers();
  do_continue();
  if (stream_.core().is_over()) return;
  if (meets_gatherers) buffering_.after_headers();
  if (chain() != nullptr) chain()->set_pushed_over(dir_, 0);
  if (!aside.empty()) put_aside_back(aside, is_routers, buffering_.emitted() > emitted_before);
  if (owner != nullptr) owner->unpark(owners);
  if (!ours.empty() && !stream_.core().is_over()) unpark(ours);
}

// Before what was kept of the push. `shown`: the filters behind were given bytes. When the router has kept none of
// them, it has given its copy up; any other filter then has gone on without what it had kept.
void StockFlow::put_aside_back(const std::string& aside, bool is_routers, bool shown) {
  const std::string kept = envoy_.take_body(dir_, BodySource::kBuffered);
  if (shown && kept.empty()) {
    if (!is_routers) events().on_cut();
    return;
  }
  envoy_.append_body(dir_, BodySource::kBuffered, aside);
  if (!kept.empty()) envoy_.append_body(dir_, BodySource::kBuffered, kept);
  note_buffer();
}

void StockFlow::do_continue() {
  // 1.38: Envoy has answered while our bytes were put into its buffer; a continue now would spend the response's flag.
  if (stream_.is_void(dir_)) return;
  const EdgeFilter* const gate = chain() != nullptr ? chain()->gate(dir_) : nullptr;
  const uint64_t frames = gate != nullptr ? gate->frames(dir_) : 0;
  const uint64_t given = (watch_.are_gone() ? 0 : 1) + (buffer_.exists() ? 1 : 0);
  watch_.let_go();
  moment_ = {};
  const size_t behind_before = buffer_.behind();
  const bool was_ended = ended_;
  stream_.do_continue(dir_);
  if (stream_.core().is_over() || phase_ == Phase::kDropped) return;
  if (ended_ && !was_ended) events().on_cut();  // the end came in meanwhile, and our Stop did not count
  if (dir_ == Dir::kRequest && ended_ && behind_before == 0) stream_.expect_to_go_on(buffer_.size());
  path_clear_ = gate != nullptr && given > 0 && gate->frames(dir_) >= frames + given;
  note_buffer();
  if (chain() != nullptr) chain()->tell_buffer_moved(*this, dir_);
  const bool is_routers = dir_ == Dir::kRequest && envoy_.has_upstream();
  if (!ended_ && !is_routers) buffering_.cross_limit_again(buffer_.behind());
}

}  // namespace tsf::stock
