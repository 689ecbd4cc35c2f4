#include "core/worker.h"

#include <algorithm>
#include <string>

#include "core/stream.h"
#include "core/text.h"

namespace tsf::core {
namespace {
constexpr int kFramesARun = 1024;    // then other work of the worker gets its turn
constexpr int kFramesARelease = 32;  // the host gets its room back while we go on
}  // namespace

StreamId Worker::add(Stream& stream) {
  uint32_t index;
  if (free_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  slots_[index].stream = &stream;
  if (anchor_ == nullptr) {  // only this thread sets it
    auto waker = stream.make_waker();
    const std::lock_guard lock(mutex_);
    anchor_ = &stream;
    waker_ = std::move(waker);
    if (run_requested_) waker_->wake();
  }
  return {index, slots_[index].generation};
}

void Worker::remove(Stream& stream, StreamId id) {
  Slot& slot = slots_[id.slot];
  slot.stream = nullptr;
  ++slot.generation;
  free_.push_back(id.slot);
  if (anchor_ != &stream) return;
  Stream* next = nullptr;
  for (const Slot& candidate : slots_) {
    if (candidate.stream == nullptr) continue;
    next = candidate.stream;
    break;
  }
  auto waker = next == nullptr ? nullptr : next->make_waker();
  std::unique_ptr<Waker> old;
  {
    const std::lock_guard lock(mutex_);
    anchor_ = next;
    old = std::exchange(waker_, std::move(waker));
    // A run that was requested of the dead stream never comes.
    if (run_requested_ && waker_) waker_->wake();
  }
}

Stream* Worker::find(uint32_t slot, uint32_t generation) const {
  if (slot >= slots_.size() || slots_[slot].generation != generation) return nullptr;
  return slots_[slot].stream;
}

void Worker::adopt_channel() {
  const std::lock_guard lock(mutex_);
  channel_changed_.store(false, std::memory_order_relaxed);  // relaxed: under the mutex that guards the channel
  current_ = next_channel_;
  if (current_) channels_.push_back(current_);
}

void Worker::set_channel(std::shared_ptr<Channel> channel) {
  {
    const std::lock_guard lock(mutex_);
    next_channel_ = std::move(channel);
    channel_changed_.store(true, std::memory_order_release);  // release: publishes next_channel_
  }
  wake();
}

void Worker::request_run() {
  const std::lock_guard lock(mutex_);
  if (run_requested_ || !waker_) return;
  run_requested_ = true;
  waker_->wake();
}

void Worker::wake() {
  const std::lock_guard lock(mutex_);
  if (anchor_ != nullptr) {
    if (run_requested_) return;
    run_requested_ = true;
    waker_->wake();
    return;
  }
  // No stream: nobody else uses the channels until the mutex is free.
  run_requested_ = false;
  if (channel_changed_.exchange(false, std::memory_order_relaxed)) {  // relaxed: under the mutex
    current_ = next_channel_;
    if (current_) channels_.push_back(current_);
  }
  for (const auto& channel : channels_) drain_without_streams(*channel);
  const Nanos now = now_ns();
  set_next_deadline(0);
  stall_armed_ = false;
  for (const auto& channel : channels_) check_stall(*channel, now);
  std::erase_if(channels_, [this](const auto& channel) { return channel->lost() || channel != current_; });
  if (current_ && current_->lost()) current_.reset();
}

void Worker::defer(StreamId id) {
  deferred_.push_back(id);
  request_run();
}

void Worker::set_next_deadline(Nanos deadline) {
  next_deadline_.store(deadline, std::memory_order_seq_cst);  // seq_cst: before the link's look at who sleeps
}

void Worker::arm(Nanos deadline) {
  const Nanos next = next_deadline_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
  if (next != 0 && next <= deadline) return;
  set_next_deadline(deadline);
  link_.deadline_moved(deadline);
}

void Worker::publish(Channel& channel) {
  channel.publish();
  if (stall_armed_) return;
  stall_armed_ = true;
  const Nanos now = now_ns();
  channel.watch_reader(now);
  arm(now + link_.stall_limit());
}

void Worker::check_stall(Channel& channel, Nanos now) {
  Nanos again = 0;
  if (channel.lost()) return;
  if (channel.stalled(now, link_.stall_limit(), again)) {
    channel.condemn("the host has stopped reading (host_stall_timeout)");
    link_.channel_condemned();
  } else if (again != 0) {
    stall_armed_ = true;
    arm(again);
  }
}

void Worker::check_deadlines() {
  const Nanos next = next_deadline_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
  if (next == 0) return;
  const Nanos now = now_ns();
  if (now < next) return;
  set_next_deadline(0);
  stall_armed_ = false;
  for (const auto& channel : channels_) check_stall(*channel, now);
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].stream != nullptr) slots_[i].stream->on_deadline(now);
    // What on_deadline did may have destroyed the stream.
    if (slots_[i].stream == nullptr) continue;
    if (const Nanos deadline = slots_[i].stream->deadline(); deadline != 0) arm(deadline);
  }
}

void Worker::give_turns(std::vector<StreamId>& list) {
  std::vector<StreamId> turns;
  turns.swap(list);
  for (const StreamId id : turns)
    if (Stream* stream = find(id)) stream->take_turn();
}

void Worker::run() {
  const Scope scope(*this);
  {
    const std::lock_guard lock(mutex_);
    run_requested_ = false;
  }
  (void)channel();  // a new one, if there is
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
    if (channel->lost()) {
      lose(channel);
    } else {
      channel->pay();
      channel->publish();
    }
  }
  std::erase_if(channels_, [this](const auto& channel) {
    return channel->lost() || (channel != current_ && channel.use_count() == 1);
  });
  if (current_ && current_->lost()) current_.reset();
}

void Worker::lose(const std::shared_ptr<Channel>& channel) {
  if (current_ == channel) current_.reset();
  for (size_t i = 0; i < slots_.size(); ++i)
    if (Stream* stream = slots_[i].stream; stream != nullptr && stream->channel() == channel.get())
      stream->on_channel_lost();
}

void Worker::drain(const std::shared_ptr<Channel>& channel) {
  channel->wake();
  for (int frames = 0;;) {
    Channel::Inbound frame{};
    const auto read = channel->read(frame);
    if (read == Channel::Read::kMalformed || (read == Channel::Read::kFrame && !dispatch(*channel, frame))) {
      channel->condemn("malformed frame from the host (kind " + std::to_string(frame.kind) + ")");
      link_.channel_condemned();
      return;
    }
    if (read == Channel::Read::kFrame) {
      if (++frames % kFramesARelease == 0) channel->release();
      if (frames < kFramesARun) continue;
      channel->release();
      channel->publish();
      request_run();
      return;
    }
    channel->release();
    give_turns(channel->waiters());
    channel->pay();
    channel->publish();
    if (channel->sleep()) return;
  }
}

bool Worker::dispatch(const Channel& channel, const Channel::Inbound& frame) {
  const auto to_stream = [&]<class T>(bool (Stream::*handler)(const T&)) {
    const T* table = verified<T>(frame.payload);
    if (table == nullptr) return false;
    Stream* stream = find(table->stream(), table->generation());
    // A late answer is dropped, and so is what another host, or one that was let go, says of this stream.
    return stream == nullptr || stream->channel() != &channel || (stream->*handler)(*table);
  };
  switch (frame.kind) {
    case wire::FrameKind_Answer: return to_stream(&Stream::on_answer);
    case wire::FrameKind_Output: return to_stream(&Stream::on_output);
    case wire::FrameKind_LocalReply: return to_stream(&Stream::on_local_reply);
    case wire::FrameKind_Reply: return to_stream(&Stream::on_reply);
    case wire::FrameKind_Fail: return to_stream(&Stream::on_fail);
    case wire::FrameKind_Ops: return to_stream(&Stream::on_ops);
    case wire::FrameKind_Query: return to_stream(&Stream::on_query);
    case wire::FrameKind_Extend: return to_stream(&Stream::on_extend);
    case wire::FrameKind_Act: {
      const auto* act = verified<wire::Act>(frame.payload);
      if (act == nullptr) return false;
      Stream* stream = find(act->stream(), act->generation());
      if (stream == nullptr) return late_act(*act);
      return stream->channel() != &channel || stream->on_act(*act);
    }
    case wire::FrameKind_Call: return to_stream(&Stream::on_call);
    case wire::FrameKind_Log: return log_from_host(frame);
    default: return true;  // a newer host's frame
  }
}

// From the last log hook of a stream that is gone: metrics are all that can still be told to Envoy.
bool Worker::late_act(const wire::Act& act) {
  if (act.kind() != wire::ActKind_Metric) return true;
  const auto config = link_.config_of(act.config());
  if (!config) return true;
  const auto metric = take_metric(act, config->text().metrics);
  if (metric) config->record(metric->op, metric->index, metric->labels, metric->value);
  return metric.has_value();
}

bool Worker::log_from_host(const Channel::Inbound& frame) {
  const auto* table = verified<wire::Log>(frame.payload);
  if (table == nullptr || table->level() > static_cast<uint8_t>(LogLevel::kCritical)) return false;
  process_.log(static_cast<LogLevel>(table->level()), "ts_filter: " + printable(view_of(table->block())));
  return true;
}

// All others are for streams that are gone.
bool Worker::dispatch_without_stream(const Channel::Inbound& frame) {
  if (frame.kind == wire::FrameKind_Log) return log_from_host(frame);
  if (frame.kind != wire::FrameKind_Act) return true;
  const auto* act = verified<wire::Act>(frame.payload);
  return act != nullptr && late_act(*act);
}

void Worker::drain_without_streams(Channel& channel) {
  channel.wake();
  while (!channel.lost()) {
    Channel::Inbound frame{};
    const auto read = channel.read(frame);
    if (read == Channel::Read::kMalformed || (read == Channel::Read::kFrame && !dispatch_without_stream(frame))) {
      channel.condemn("malformed frame from the host");
      link_.channel_condemned();
      return;
    }
    if (read == Channel::Read::kFrame) continue;
    channel.release();
    channel.pay();
    channel.publish();
    if (channel.sleep()) return;
  }
}

}  // namespace tsf::core
