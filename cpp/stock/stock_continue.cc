// One push: what goes to Envoy, and what lies in the shared buffer meanwhile.
#include <string>
#include <utility>

#include "stock/edge.h"
#include "stock/stock_flow.h"
#include "stock/stock_stream.h"

namespace tsf::stock {

// Unread input of one before us would stop what we send, or go with it.
StockFlow::Parked StockFlow::park_before() {
  Neighbour* const owner = chain() != nullptr ? chain()->owner_before(*this, dir_) : nullptr;
  return {owner, owner != nullptr ? owner->park() : std::string()};
}

void StockFlow::unpark_before(const Parked& parked) {
  if (parked.owner != nullptr && !stream_.core().is_over()) parked.owner->unpark(parked.bytes);
}

// With a frame of its own, so that a filter behind us which keeps bytes in the shared buffer is shown new ones only.
bool StockFlow::push_by_frame(core::ByteQueue& bytes) {
  const Parked parked = park_before();
  const bool has_gone = send_frame(bytes);
  unpark_before(parked);
  return has_gone;
}

bool StockFlow::send_frame(core::ByteQueue& bytes) {
  // All of it is here, so nobody is to be paused; and who is behind us may stop the headers, or what comes with them.
  if (buffer().is_ours()) keep_input();
  // It would take its unread input, which is put aside here, for gone.
  keep_input_behind();
  const size_t behind = buffer().size();
  const size_t length = bytes.size();
  const bool at_once = behind_.keep_at_once(buffer(), behind);
  Aside aside;
  if (stream_.flag().is_stopped(dir_)) {
    // The frame goes by way of the shared buffer and takes along what lies there. A continue before it would not, but
    // shows an empty piece.
    if (behind_.watch().are_gone() && at_once && fits_while_end_is_held(behind + length)) {
      put_aside(aside, {&bytes}, true);
    } else if (!continue_before_frame(at_once)) {
      return true;
    }
  }
  frame_ = &bytes;
  if (chain() != nullptr) chain()->set_framed(dir_, true);
  (void)stream_.pump(*this);
  if (chain() != nullptr) chain()->set_framed(dir_, false);
  frame_ = nullptr;
  put_aside_back(aside, false, length - bytes.size());
  if (stream_.core().is_over()) return true;
  if (!bytes.empty()) {
    // A filter before us has stopped the frame. It comes when that one goes on, and perhaps only with the end. Else
    // there may be bytes of one before us. The end may be held back for one of those.
    if (!let_far_end_go() && is_end_held_for_good()) {
      chain()->let_far_end_go();
      wake();
    }
    return false;
  }
  behind_.buffering().on_output(length);
  behind_.note_push(buffer(), passed_gate(), behind, length, at_once);
  take_kept_back();
  return true;
}

// False: the stream is over.
bool StockFlow::continue_before_frame(bool at_once) {
  Aside aside;
  // One that kept it may have waited for no more than another piece.
  put_aside(aside, {}, at_once || (chain() != nullptr && chain()->are_headers_at_next(*this, dir_)));
  do_continue();
  if (chain() != nullptr) chain()->set_aside(dir_, nullptr);
  if (stream_.core().is_over()) return false;
  if (aside.kept.empty()) return true;
  envoy_.append_body(dir_, BodySource::kBuffered, aside.kept);
  look_behind();
  behind_.note_push(buffer(), passed_gate(), aside.kept.size(), 0, at_once);
  return true;
}

void StockFlow::keep_input_behind() {
  if (Neighbour* behind = chain() != nullptr ? chain()->owner_behind(*this, dir_) : nullptr) behind->keep_input();
}

// What lies in the shared buffer is of those behind us: for us, and for all before us.
void StockFlow::look_behind() {
  behind_.look(buffer(), passed_gate());
  if (chain() != nullptr) chain()->tell_buffer_moved(*this, dir_);
}

// While the response's end is held back the shared buffer may not cross its limit, as in inject().
bool StockFlow::fits_while_end_is_held(size_t bytes) const {
  return !is_end_held_for_good() || envoy_.buffer_limit() == 0 || bytes <= envoy_.buffer_limit();
}

// Appends the bytes to the shared buffer and lets Envoy go on with them, and with nothing else.
void StockFlow::push(std::initializer_list<core::ByteQueue*> queues, bool last) {
  const Parked parked = park_before();
  keep_input_behind();
  if (buffer().ours() <= stream_.core().settings().stream_window && buffer().is_ours()) keep_input();
  const std::string ours = buffer().is_ours() ? buffer().take_ours() : std::string();
  const size_t behind = buffer().size();
  const bool at_once = behind_.keep_at_once(buffer(), behind);
  const bool is_routers = behind_.is_routers_copy(behind, passed_gate());
  // A filter that holds the headers gathers the body, or lets all of it go at once: it may look at all of it. One that
  // has let them go has seen what it keeps.
  const bool is_seen =
      behind_.watch().are_through() && !behind_.buffering().is_gathered_behind() && (!last || (at_once && has_gate()));
  const bool show_again = behind > 0 && !is_routers && !is_seen;
  Aside aside;
  if (behind > 0 && !show_again) put_aside(aside, queues, at_once);
  if (chain() != nullptr) chain()->set_pushed_over(dir_, show_again ? behind : 0);
  const uint64_t emitted_before = behind_.buffering().emitted();
  for (core::ByteQueue* queue : queues) {
    while (!queue->empty() && !stream_.core().is_over()) {
      const auto piece = queue->front();
      behind_.buffering().on_output(piece.size());
      buffer().append(piece);
      queue->pop(piece.size());
    }
  }
  if (last) {
    behind_.buffering().before_end(emitted_before, behind);
    repeat_end();
  }
  const bool meets_gatherers = dir_ == Dir::kRequest && !behind_.watch().are_gone() && !last;
  if (meets_gatherers) behind_.buffering().before_headers();
  do_continue();
  const auto length = static_cast<size_t>(behind_.buffering().emitted() - emitted_before);
  put_aside_back(aside, is_routers, length);
  if (stream_.core().is_over()) return;
  if (meets_gatherers) behind_.buffering().after_headers();
  if (chain() != nullptr) chain()->set_pushed_over(dir_, 0);
  behind_.note_push(buffer(), passed_gate(), behind, length, at_once);
  take_kept_back();
  unpark_before(parked);
  if (!ours.empty() && !stream_.core().is_over()) unpark(ours);
}

// `at_once`: whoever keeps it is between us and the next of ours, which may then put it back.
void StockFlow::put_aside(Aside& aside, std::initializer_list<core::ByteQueue*> pushed, bool at_once) {
  aside.kept = envoy_.take_body(dir_, BodySource::kBuffered);
  if (aside.kept.empty() || !at_once || chain() == nullptr) return;
  for (const core::ByteQueue* queue : pushed) queue->each([&](std::string_view piece) { aside.pushed.append(piece); });
  chain()->set_aside(dir_, &aside);
}

// Before what was kept of the push, of which the filters behind were shown so many bytes. Where nothing was kept, the
// router has given its copy up, which it does for more than its limit at once; anybody else has gone on without what it
// had kept.
void StockFlow::put_aside_back(Aside& aside, bool is_routers, size_t shown) {
  if (chain() != nullptr) chain()->set_aside(dir_, nullptr);
  if (aside.kept.empty() || stream_.core().is_over()) return;
  // What the next of ours has left of the push would be behind what was put aside, and it is before it.
  keep_input_behind();
  const std::string kept = envoy_.take_body(dir_, BodySource::kBuffered);
  // One of ours behind us has taken the push; whoever keeps bytes is behind that one.
  const bool is_taken = aside.pushed.empty() && chain() != nullptr && chain()->has_filter_behind(*this, dir_);
  if (shown > 0 && kept.empty() && !is_taken) {
    const bool is_over_limit = envoy_.buffer_limit() > 0 && shown > envoy_.buffer_limit();
    if (!is_routers || !(has_gate() || is_over_limit)) events().on_cut();
    return;
  }
  envoy_.append_body(dir_, BodySource::kBuffered, aside.kept);
  if (!kept.empty()) envoy_.append_body(dir_, BodySource::kBuffered, kept);
  look_behind();
}

// A filter behind us that puts bytes into the chain of its own accord (ext_proc) makes Envoy forget that the end is in:
// our continue would give none on.
void StockFlow::repeat_end() {
  if (dir_ != Dir::kResponse || !behind_.watch().are_gone()) return;
  if (Envoy* const entry = stream_.pump_entry()) entry->repeat_response_end();
}

void StockFlow::on_injected_behind() {
  if (dir_ == Dir::kResponse && stream_.pump_entry() != nullptr) return;
  behind_.injector().found();
  if (ended_) note_end_lost();
}

void StockFlow::on_let_go_behind() {
  if (!before_.ext_proc().look_behind()) behind_.injector().found_none();
}

// With trailers the message ends by them; without, nobody can give its end on any more.
void StockFlow::note_end_lost() {
  if (!stream_.core().flow(dir_).has_trailers()) events().on_cut();
}

// The headers go with what comes now.
void StockFlow::let_go() {
  if (!behind_.watch().are_gone()) events().on_headers_go();
  behind_.watch().let_go();
  moment_ = {};
}

void StockFlow::do_continue() {
  // 1.38: Envoy has answered while our bytes were put into its buffer; a continue now would spend the response's flag.
  if (stream_.is_void(dir_)) return;
  const uint64_t hooks = has_gate() ? gate()->hooks(dir_) : 0;
  const uint64_t given = (behind_.watch().are_gone() ? 0 : 1) + (buffer().exists() ? 1 : 0);
  let_go();
  const size_t behind_before = buffer().behind();
  const bool was_ended = ended_;
  const size_t length = buffer().size();
  if (chain() != nullptr) chain()->begin_push(dir_);
  stream_.do_continue(dir_);
  const bool has_come = chain() != nullptr && chain()->end_push(dir_);
  if (stream_.core().is_over() || state_ == State::kDropped) return;
  if (ended_ && !was_ended) events().on_cut();  // the end came in meanwhile, and our Stop did not count
  if (dir_ == Dir::kRequest && ended_ && behind_before == 0) stream_.expect_to_go_on(buffer().size());
  behind_.note_frames(given, has_gate() ? gate()->hooks(dir_) - hooks : 0);
  look_behind();
  if (length > 0 && has_come) on_let_go_behind();
  // Nobody in between keeps anything, the end neither.
  if (was_ended && length > 0 && has_come && buffer().size() == 0 && !chain()->has_next_seen_end(*this, dir_))
    note_end_lost();
  if (length > 0 && !has_come && buffer().size() == 0) behind_.injector().found();
  if (!ended_ && !(dir_ == Dir::kRequest && envoy_.has_upstream()))
    behind_.buffering().cross_limit_again(buffer().behind());
}

}  // namespace tsf::stock
