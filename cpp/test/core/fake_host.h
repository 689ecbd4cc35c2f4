// A whole host with a thread of its own, on a real socket: it greets, judges everything, serves every channel, and does
// whatever hosts do (drains, new generations, ends) as a random number has it.
#pragma once

#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "shm/doorbell.h"
#include "test/core/host_socket.h"
#include "test/core/scripted_host.h"

namespace tsf::core::test {

class FakeHost {
 public:
  FakeHost(const std::string& path, uint64_t seed) : socket_(path), random_(seed), thread_([this] { run(); }) {}
  ~FakeHost() {
    stopping_ = true;
    thread_.join();
  }

  // For others to read at any time.
  std::atomic<uint64_t> connections{0};
  std::atomic<uint64_t> answers{0};
  std::atomic<uint64_t> drains{0};
  std::atomic<uint64_t> generations{0};
  std::atomic<uint64_t> channels_done{0};
  std::atomic<size_t> channels_served{0};
  // It only serves: no drains, generations or ends.
  std::atomic<bool> is_calm{false};
  // It is to end this connection; then this is false again.
  std::atomic<bool> restart{false};

 private:
  struct Served {
    std::unique_ptr<ScriptedHost> end;
    shm::UniqueFd host_bell;
    shm::UniqueFd worker_bell;
    uint32_t generation = 0;
  };

  uint64_t pick(uint64_t n) { return random_() % n; }

  void run() {
    while (!stopping_) {
      if (socket_.accept()) begin();
      for (const SocketMessage& message : socket_.read()) on_message(message);
      if (!socket_.connected()) served_.clear();
      // Its own doorbells it does not listen to: it looks at everything, all the time.
      for (auto& [id, channel] : served_) serve(channel);
      channels_served = served_.size();
      if (restart.exchange(false)) socket_.hang_up();
      if (socket_.connected() && !is_calm) misbehave();
      ::usleep(300);
    }
  }
  void begin() {
    served_.clear();
    configs_.clear();
    generation_ = oldest_ = 0;
    is_drained_ = false;
    ++connections;
  }
  void on_message(const SocketMessage& message) {
    switch (message.kind) {
      case wire::ControlKind_Hello: return socket_.welcome();
      case wire::ControlKind_FilterConfig: {
        const uint32_t id = message.as<wire::FilterConfig>().id();
        configs_.push_back(id);
        for (uint32_t generation = oldest_; generation <= generation_; ++generation) judge(id, generation);
        return;
      }
      case wire::ControlKind_ForgetConfig: std::erase(configs_, message.as<wire::ForgetConfig>().id()); return;
      case wire::ControlKind_Channel: return open(const_cast<SocketMessage&>(message));
      case wire::ControlKind_ChannelDone: {
        const uint32_t id = message.as<wire::ChannelDone>().id();
        const auto found = served_.find(id);
        if (found == served_.end()) return;
        serve(found->second);
        served_.erase(found);
        socket_.channel_done(id);
        ++channels_done;
        return;
      }
      default: return;
    }
  }
  // Each generation declares another number of attributes.
  void judge(uint32_t config, uint32_t generation) {
    socket_.verdict(config, generation, true, std::vector<uint32_t>(generation % 5));
  }
  void open(SocketMessage& message) {
    const auto& offer = message.as<wire::Channel>();
    if (message.fds.size() != 4) return;
    Served& channel = served_[offer.id()];
    channel.end = ScriptedHost::attach(message.fds[0].get(), message.fds[1].get());
    channel.host_bell = std::move(message.fds[2]);
    channel.worker_bell = std::move(message.fds[3]);
    channel.generation = offer.generation();
    socket_.channel_ready(offer.id());
  }

  void serve(Served& channel) {
    for (const Heard& frame : channel.end->read()) {
      if (frame.kind != wire::FrameKind_Headers || !frame.has(wire::HeadersFlag_Start)) continue;
      ++answers;
      if (pick(3) == 0) {
        channel.end->local_reply(frame.id(), 403, {}, "no");
      } else {
        channel.end->answer(frame.id(), HeaderType::kRequest, wire::BodyMode_Pass);
      }
      if (pick(4) == 0) channel.end->log(2, "a line");
    }
    if (channel.end->take_must_ring()) shm::ring_doorbell(channel.worker_bell.get());
  }

  void misbehave() {
    switch (pick(60)) {
      case 0: return begin_generation();
      case 1: return socket_.hang_up();
      case 2:
        if (is_drained_ || pick(2)) return;
        is_drained_ = true;
        ++drains;
        return socket_.drain();
      case 3:
        if (is_drained_) return socket_.hang_up();
        return;
      default: return;
    }
  }
  void begin_generation() {
    if (is_drained_ || generation_ - oldest_ >= 3 || served_.size() > 20) return;
    ++generation_;
    ++generations;
    socket_.generation(generation_);
    for (const uint32_t config : configs_) judge(config, generation_);
    if (pick(3) == 0) return;
    for (; oldest_ < generation_; ++oldest_) socket_.drain(oldest_);
  }

  HostSocket socket_;
  std::mt19937_64 random_;
  std::map<uint32_t, Served> served_;
  std::vector<uint32_t> configs_;
  uint32_t generation_ = 0;
  uint32_t oldest_ = 0;  // that is not drained
  bool is_drained_ = false;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tsf::core::test
