#include "core/worker.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "core/portion.h"
#include "core/text.h"
#include "core/worker_stream.h"

namespace tsf::core {
namespace {
constexpr int kFramesARun = 1024;
constexpr size_t kBytesARun = 4 << 20;
constexpr int kFramesOfOthers = 256;  // by the link thread, for which a first stream waits
constexpr size_t kBytesOfOthers = 1 << 20;
constexpr int kFramesARelease = 32;  // the host gets its room back while we go on
}  // namespace

StreamId Worker::add(WorkerStream& stream) {
  auto waker = anchor_ == nullptr ? stream.make_waker() : nullptr;
  const StreamId id = streams_.add(stream);
  if (waker) {
    anchor_ = &stream;
    custody_.take(std::move(waker));
  }
  return id;
}

void Worker::remove(StreamId id) {
  const Scope scope(*this);
  const bool is_anchor = streams_.find(id) == anchor_;
  streams_.remove(id);
  // It may have been the last one of a channel that takes no new ones.
  if (has_left_channel()) custody_.ask_for_run();
  if (!is_anchor) return;
  anchor_ = streams_.any();
  if (anchor_ != nullptr) {
    custody_.take(anchor_->make_waker());
  } else {
    custody_.lose_waker();
  }
}

bool Worker::has_left_channel() const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [&](const auto& channel) { return channel != current_ && channel->is_left(); });
}

void Worker::leave() {
  if (streams_.empty() && custody_.leave()) link_.run_left();
}

void Worker::adopt_channel() {
  for (auto& channel : next_channel_.take()) {
    current_ = std::move(channel);
    if (current_) channels_.push_back(current_);
  }
}

void Worker::set_channel(std::shared_ptr<Channel> channel) {
  // relaxed: a number of its own; a stream that comes in this moment is before it or behind it.
  serving_.store(channel ? channel->verdicts().generation() : 0, std::memory_order_relaxed);
  next_channel_.put(std::move(channel));
  wake();
}

bool Worker::passes_unseen(const JudgedConfig& config) const {
  const GenerationId serving = serving_.load(std::memory_order_relaxed);  // relaxed: see set_channel
  return serving != 0 && serving == config.hookless_in();
}

void Worker::wake() {
  custody_.wake([this] { return run_without_streams(); });
}

void Worker::defer(StreamId id) {
  deferred_.push_back(id);
  custody_.ask_for_run();
}

void Worker::arm(Nanos deadline) {
  const Nanos next = deadline_.own();
  if (next != 0 && next <= deadline) return;
  deadline_.set(deadline);
  link_.deadline_moved(deadline);
}

void Worker::publish(Channel& channel) {
  channel.publish();
  if (stall_armed_) return;
  stall_armed_ = true;
  const Nanos now = now_ns();
  channel.watch_reader(now);
  arm(now + Channel::look_every(link_.stall_limit()));
}

void Worker::check_stalls(Nanos now) {
  stall_armed_ = false;
  for (const auto& channel : channels_) {
    Nanos again = 0;
    if (channel->lost()) continue;
    if (channel->stalled(now, link_.stall_limit(), again)) {
      channel->stop("the host has stopped reading (host_stall_timeout)");
      link_.channel_condemned();
    } else if (again != 0) {
      stall_armed_ = true;
      arm(again);
    }
  }
}

// A fault in one stream is not another's: it waits for its own end, its deadline or its client's.
template <class Do>
void Worker::bear(Do act) {
  try {
    act();
  } catch (const std::exception& e) {
    process_.log(LogLevel::kCritical, std::string("ts_filter: fault in a stream's turn: ") + e.what());
  }
}

void Worker::check_deadlines() {
  const Nanos next = deadline_.own();
  if (next == 0) return;
  const Nanos now = now_ns();
  if (now < next) return;
  deadline_.set(0);
  check_stalls(now);
  streams_.each([&](WorkerStream& stream, StreamId id) {
    bear([&] { stream.on_deadline(now); });
    // What that did may have destroyed the stream.
    if (streams_.find(id) == nullptr) return;
    if (const Nanos deadline = stream.deadline(); deadline != 0) arm(deadline);
  });
}

void Worker::give_turns(std::vector<StreamId>& list) {
  std::vector<StreamId> turns;
  turns.swap(list);
  for (const StreamId id : turns)
    if (WorkerStream* stream = streams_.find(id)) bear([&] { stream->take_turn(); });
}

void Worker::run() {
  const Scope scope(*this);
  custody_.begin_run();
  adopt_channel();
  // By index: a run can adopt a channel.
  for (size_t i = 0; i < channels_.size(); ++i) {
    const auto channel = channels_[i];
    if (!channel->lost()) drain(channel);
  }
  give_turns(deferred_);
  give_turns(waiting_);
  check_deadlines();
  // Last: any of the above can find that a host is lost.
  for (size_t i = 0; i < channels_.size(); ++i) {
    const auto channel = channels_[i];
    if (channel->is_over()) {
      channel->mark_lost();
      lose(channel);
    } else {
      channel->pay();
      channel->publish();
    }
  }
  drop_channels();
}

// Of those that new streams do not use, the host has the last word: it may still run last hooks.
void Worker::drop_channels() {
  for (const auto& channel : channels_)
    if (channel != current_ && !channel->is_over() && channel->finish()) link_.channel_finished();
  std::erase_if(channels_, [](const auto& channel) { return channel->is_over(); });
  if (current_ && current_->is_over()) current_.reset();
}

void Worker::lose(const std::shared_ptr<Channel>& channel) {
  if (current_ == channel) current_.reset();
  count_replays(*channel);
  streams_.each([&](WorkerStream& stream, StreamId) {
    if (stream.channel() == channel.get()) bear([&] { stream.on_channel_lost(); });
  });
}

// Before its streams decide where they go: the host may have died of what was sent to it again.
void Worker::count_replays(const Channel& lost) {
  bool has_replays = false;
  streams_.each(
      [&](WorkerStream& stream, StreamId) { has_replays |= stream.channel() == &lost && stream.waits_again(); });
  if (!has_replays || !shared_.replays.lost_again(now_ns())) return;
  process_.log(LogLevel::kError,
               "ts_filter: hosts are lost again and again with requests that were sent to them once more: no request "
               "of this worker is replayed for " +
                   std::to_string(Replays::kPause.count() / 1000) + "s (TSF_REPLAYS_STOPPED)");
}

void Worker::drain(const std::shared_ptr<Channel>& channel) {
  channel->wake();
  Portion portion(kFramesARun, kBytesARun);
  for (int frames = 0;;) {
    Channel::Inbound frame{};
    const auto read = channel->read(frame);
    if (read == Channel::Read::kMalformed || (read == Channel::Read::kFrame && !may_dispatch(*channel, frame, true)))
      return condemn(*channel, "malformed", frame.kind);
    if (channel->lost()) return link_.channel_condemned();
    if (read == Channel::Read::kFrame) {
      if (++frames % kFramesARelease == 0) channel->release();
      if (portion.has_room(frame.payload.size())) continue;
      channel->release();
      channel->publish();
      return custody_.ask_for_run();
    }
    channel->release();
    give_turns(channel->waiters());
    channel->pay();
    channel->publish();
    if (channel->sleep()) return;
  }
}

void Worker::condemn(Channel& channel, std::string_view what, uint32_t kind) {
  channel.condemn(std::string(what) + " frame from the host (kind " + std::to_string(kind) + ")");
  link_.channel_condemned();
}

// False: it is malformed. What a frame makes us throw, which may be the end of memory, costs its host and nobody else.
bool Worker::may_dispatch(Channel& channel, const Channel::Inbound& frame, bool has_streams) {
  try {
    return has_streams ? dispatch(channel, frame) : dispatch_without_stream(frame);
  } catch (const std::exception& e) {
    process_.log(LogLevel::kCritical, std::string("ts_filter: fault in a frame of the host: ") + e.what());
    condemn(channel, "unbearable", frame.kind);
    return true;
  }
}

bool Worker::dispatch(const Channel& channel, const Channel::Inbound& frame) {
  const auto to_stream = [&]<class T>(bool (WorkerStream::*handler)(const T&)) {
    const T* table = verified<T>(frame.payload);
    if (table == nullptr) return false;
    WorkerStream* stream = streams_.find({table->stream(), table->generation()});
    // A late answer is dropped, and so is what another host, or one that was let go, says of this stream.
    return stream == nullptr || stream->channel() != &channel || (stream->*handler)(*table);
  };
  switch (frame.kind) {
    case wire::FrameKind_Answer: return to_stream(&WorkerStream::on_answer);
    case wire::FrameKind_Output: return to_stream(&WorkerStream::on_output);
    case wire::FrameKind_LocalReply: return to_stream(&WorkerStream::on_local_reply);
    case wire::FrameKind_Reply: return to_stream(&WorkerStream::on_reply);
    case wire::FrameKind_Fail: return to_stream(&WorkerStream::on_fail);
    case wire::FrameKind_Ops: return to_stream(&WorkerStream::on_ops);
    case wire::FrameKind_Query: return to_stream(&WorkerStream::on_query);
    case wire::FrameKind_Extend: return to_stream(&WorkerStream::on_extend);
    case wire::FrameKind_Act: {
      const auto* act = verified<wire::Act>(frame.payload);
      if (act == nullptr) return false;
      WorkerStream* stream = streams_.find({act->stream(), act->generation()});
      if (stream == nullptr) return late_act(*act);
      return stream->channel() != &channel || stream->on_act(*act);
    }
    case wire::FrameKind_Call: return to_stream(&WorkerStream::on_call);
    case wire::FrameKind_Log: return log_from_host(frame);
    default: return true;  // a newer host's frame
  }
}

// From the last log hook of a stream that is gone, or on its way while the stream went: metrics are all that can still
// be told to Envoy.
bool Worker::late_act(const wire::Act& act) {
  const auto config = link_.config_of(act.config());
  if (!config) return true;
  if (act.kind() == wire::ActKind_SetMetadata) say_lost({act.stream(), act.generation()}, *config, "dynamic metadata");
  if (act.kind() == wire::ActKind_SetFilterState) say_lost({act.stream(), act.generation()}, *config, "filter state");
  if (act.kind() != wire::ActKind_Metric) return true;
  const auto metric = take_metric(act, config->text().metrics, process_);
  if (metric && metric->value) config->record(metric->op, metric->index, metric->labels, *metric->value);
  return metric.has_value();
}

// One line a stream. The host has not known yet, or it would have told the filter.
void Worker::say_lost(StreamId stream, const JudgedConfig& config, std::string_view what) {
  thread_local StreamId last{UINT32_MAX, 0};
  thread_local LineLimit limit;
  if (std::exchange(last, stream) == stream || !limit.allows(now_ns())) return;
  process_.log(
      LogLevel::kWarn,
      "ts_filter: filter " + config.text().name + ": " + std::string(what) +
          " that was set when its stream had gone is lost; write it before the yield or the await behind which "
          "its client, or its upstream, may have gone");
}

bool Worker::log_from_host(const Channel::Inbound& frame) {
  const auto* table = verified<wire::Log>(frame.payload);
  if (table == nullptr || table->level() > static_cast<uint8_t>(LogLevel::kCritical)) return false;
  const auto text = view_of(table->block()).substr(0, HostLogLimit::kLongestLine);
  if (!shared_.host_log.allows(now_ns(), text.size())) return true;
  if (const size_t lost = shared_.host_log.take_lost(); lost > 0)
    process_.log(LogLevel::kWarn, "ts_filter: " + std::to_string(lost) +
                                      " lines of the host's log were left out here: it writes too many a second");
  process_.log(static_cast<LogLevel>(table->level()), "ts_filter: " + printable(text));
  return true;
}

// All others are for streams that are gone.
bool Worker::dispatch_without_stream(const Channel::Inbound& frame) {
  if (frame.kind == wire::FrameKind_Log) return log_from_host(frame);
  if (frame.kind != wire::FrameKind_Act) return true;
  const auto* act = verified<wire::Act>(frame.payload);
  return act != nullptr && late_act(*act);
}

// True: there is more to do.
bool Worker::run_without_streams() {
  adopt_channel();
  bool more = false;
  for (const auto& channel : channels_) more |= drain_without_streams(*channel);
  deadline_.set(0);
  check_stalls(now_ns());
  drop_channels();
  if (more) link_.run_left();
  return more;
}

// True: there is more to read.
bool Worker::drain_without_streams(Channel& channel) {
  channel.wake();
  Portion portion(kFramesOfOthers, kBytesOfOthers);
  while (!channel.lost()) {
    Channel::Inbound frame{};
    const auto read = channel.read(frame);
    if (read == Channel::Read::kMalformed || (read == Channel::Read::kFrame && !may_dispatch(channel, frame, false))) {
      condemn(channel, "malformed", frame.kind);
      return false;
    }
    // Whoever opens the worker's next stream waits for us.
    if (read == Channel::Read::kFrame && !custody_.is_taken_soon() && portion.has_room(frame.payload.size())) continue;
    channel.release();
    channel.pay();
    channel.publish();
    if (read == Channel::Read::kFrame) return true;
    if (channel.sleep()) return false;
  }
  return false;
}

}  // namespace tsf::core
