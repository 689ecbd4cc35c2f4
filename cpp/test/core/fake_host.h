// A whole host with a thread of its own, on a real socket: it greets, judges everything, serves every channel, and does
// whatever hosts do (drains beside their successors, new generations, ends) as a random number has it.
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

// What one connection of a host serves.
class FakeService {
 public:
  // For others to read at any time.
  struct Counts {
    std::atomic<uint64_t> answers{0};
    std::atomic<uint64_t> drains{0};
    std::atomic<uint64_t> generations{0};
    std::atomic<uint64_t> channels_done{0};
  };
  FakeService(std::unique_ptr<HostSocket> socket, std::mt19937_64& random, Counts& counts)
      : socket_(std::move(socket)), random_(random), counts_(counts) {}

  bool connected() const { return socket_->connected(); }
  size_t channels() const { return served_.size(); }
  void hang_up() { socket_->hang_up(); }

  void turn() {
    for (const SocketMessage& message : socket_->read()) on_message(message);
    // Its own doorbells it does not listen to: it looks at everything, all the time.
    for (auto& [id, channel] : served_) serve(channel);
  }
  void misbehave() {
    // One that drains has streams to end: it outlives the pause after which the module comes to its successor.
    if (is_drained_ && pick(20) != 0) return;
    switch (pick(60)) {
      case 0: return begin_generation();
      case 1: return hang_up();
      case 2: return pick(2) ? drain() : void();
      case 3: return is_drained_ ? hang_up() : void();
      // Its time is up.
      case 4: return is_drained_ ? end_one() : void();
      default: return;
    }
  }
  void drain() {
    if (std::exchange(is_drained_, true)) return;
    ++counts_.drains;
    socket_->drain();
  }

 private:
  struct Served {
    std::unique_ptr<ScriptedHost> end;
    shm::UniqueFd host_bell;
    shm::UniqueFd worker_bell;
    uint32_t generation = 0;
  };

  uint64_t pick(uint64_t n) { return random_() % n; }

  void on_message(const SocketMessage& message) {
    switch (message.kind) {
      case wire::ControlKind_Hello: return socket_->welcome();
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
        socket_->channel_done(id);
        ++counts_.channels_done;
        return;
      }
      default: return;
    }
  }
  // Each generation declares another number of attributes.
  void judge(uint32_t config, uint32_t generation) {
    socket_->verdict(config, generation, true, std::vector<uint32_t>(generation % 5));
  }
  void open(SocketMessage& message) {
    const auto& offer = message.as<wire::Channel>();
    if (message.fds.size() != 4) return;
    Served& channel = served_[offer.id()];
    channel.end = ScriptedHost::attach(message.fds[0].get(), message.fds[1].get());
    channel.host_bell = std::move(message.fds[2]);
    channel.worker_bell = std::move(message.fds[3]);
    channel.generation = offer.generation();
    socket_->channel_ready(offer.id());
  }
  void end_one() {
    if (served_.empty()) return;
    const uint32_t id = served_.begin()->first;
    served_.erase(served_.begin());
    socket_->channel_done(id, true);
  }

  void serve(Served& channel) {
    for (const Heard& frame : channel.end->read()) {
      if (frame.kind != wire::FrameKind_Headers || !frame.has(wire::HeadersFlag_Start)) continue;
      ++counts_.answers;
      if (pick(3) == 0) {
        channel.end->local_reply(frame.id(), 403, {}, "no");
      } else {
        channel.end->answer(frame.id(), HeaderType::kRequest, wire::BodyMode_Pass);
      }
      if (pick(4) == 0) channel.end->log(2, "a line");
    }
    if (channel.end->take_must_ring()) shm::ring_doorbell(channel.worker_bell.get());
  }
  void begin_generation() {
    if (is_drained_ || generation_ - oldest_ >= 3 || served_.size() > 20) return;
    ++generation_;
    ++counts_.generations;
    socket_->generation(generation_);
    for (const uint32_t config : configs_) judge(config, generation_);
    if (pick(3) == 0) return;
    for (; oldest_ < generation_; ++oldest_) socket_->drain(oldest_);
  }

  std::unique_ptr<HostSocket> socket_;
  std::mt19937_64& random_;
  Counts& counts_;
  std::map<uint32_t, Served> served_;
  std::vector<uint32_t> configs_;
  uint32_t generation_ = 0;
  uint32_t oldest_ = 0;  // that is not drained
  bool is_drained_ = false;
};

// Connections that drain live on beside the one that follows them, as those of hosts do that were replaced.
class FakeHost {
 public:
  FakeHost(const std::string& path, uint64_t seed) : socket_(path), random_(seed), thread_([this] { run(); }) {}
  ~FakeHost() {
    stopping_ = true;
    thread_.join();
  }

  // For others to read at any time.
  FakeService::Counts counts;
  std::atomic<uint64_t> connections{0};
  std::atomic<uint64_t> overlaps{0};  // connections that came while others drained
  std::atomic<size_t> channels_served{0};
  // It only serves: no drains, generations or ends.
  std::atomic<bool> is_calm{false};
  // It is to end its connections; then this is false again.
  std::atomic<bool> restart{false};

 private:
  void run() {
    while (!stopping_) {
      if (socket_.accept()) begin();
      size_t channels = 0;
      const bool ends = restart.exchange(false);
      for (const auto& service : services_) {
        service->turn();
        if (ends) service->hang_up();
        if (service->connected() && !is_calm) service->misbehave();
        channels += service->connected() ? service->channels() : 0;
      }
      std::erase_if(services_, [](const auto& service) { return !service->connected(); });
      channels_served = channels;
      ::usleep(300);
    }
  }
  void begin() {
    if (!services_.empty()) ++overlaps;
    services_.push_back(std::make_unique<FakeService>(socket_.split(), random_, counts));
    ++connections;
  }

  HostSocket socket_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<FakeService>> services_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tsf::core::test
