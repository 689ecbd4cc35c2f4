// One connection to a host: greeting, configs and verdicts, channels of one or several generations of the host's
// filters, and its end. Link thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/control.h"
#include "core/generations.h"
#include "core/line_limit.h"
#include "core/mount.h"
#include "core/poller.h"
#include "core/registry.h"
#include "core/timers.h"

namespace tsf::core {

// What becomes of the connection; link thread.
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  // A host is there that may take streams soon, or one of its channels is made anew.
  virtual void on_expected() = 0;
  virtual void on_welcome() = 0;
  // A worker's channel for new streams has changed; null: there is none.
  virtual void on_channel(uint32_t worker, const std::shared_ptr<Channel>& channel) = 0;
  // The worker has something to read, or a verdict to see.
  virtual void on_news(uint32_t worker) = 0;
  // The host takes no new streams, and never will.
  virtual void on_drained() = 0;
  // The connection has ended. `is_hopeless`: trying again soon changes nothing.
  virtual void on_lost(std::string_view why, bool is_hopeless) = 0;
};

// A host says each thing once: one that says much more wants to keep the link's thread from its timers.
class FloodWatch {
 public:
  // `configs`: how many there are to be judged.
  bool floods(Nanos now, size_t configs) {
    const Nanos second = now / 1'000'000'000;
    if (second != std::exchange(second_, second)) messages_ = 0;
    return ++messages_ > kMost + 4 * configs;
  }

 private:
  static constexpr size_t kMost = 4096;
  Nanos second_ = 0;
  size_t messages_ = 0;
};

class Connection {
 public:
  struct Target {
    std::string socket;
    std::vector<uid_t> allowed_uids;
    uint32_t ring_bytes;
    uint32_t workers;
  };
  // What all connections of a link share.
  struct Shared {
    const Target& target;
    ProcessMount& process;
    Poller& poller;
    ConfigRegistry& configs;
  };
  // `number`: tells it from the others at the poller.
  Connection(const Shared& shared, uint32_t number, ConnectionEvents& events);

  bool open() const { return socket_.open(); }
  // False: nobody is there, `error` says why.
  bool connect(std::string& error);
  void close(std::string_view why, bool is_hopeless = false);

  void on_socket();
  // After whatever woke the thread: the host's time to greet, condemned and finished channels, configs that are new.
  void look(Nanos now);
  // When look() has something to do of its own; kNever where it has not.
  Nanos deadline() const {
    return open() ? std::min(greeting_until_, socket_.wants_write() ? kNever : reopening_.at) : kNever;
  }

 private:
  bool on_message(uint32_t kind, std::string_view payload);
  bool on_welcome(std::string_view payload);
  bool on_refused(std::string_view payload);
  bool on_verdict(std::string_view payload);
  bool on_channel_ready(std::string_view payload);
  bool on_drain(std::string_view payload);
  bool on_generation(std::string_view payload);
  bool on_channel_done(std::string_view payload);
  void begin_generation(uint32_t number);
  enum class Made : uint8_t {
    kYes,
    kNoMeans,  // memory or descriptors: there may be some later
    kBroken,   // the host cannot be told
  };
  Made make_channel(const Generations::Gap& gap);
  void fill_gaps(Nanos now);
  void went_away();
  void drop_stopped();
  void look_for_gaps();
  void reopen_soon();
  void choose_channels();
  void tell_news();
  void send_configs();
  void let_go(Channel& channel);

  const Shared shared_;
  const uint32_t number_;
  ConnectionEvents& events_;

  ControlSocket socket_;
  Nanos greeting_until_ = kNever;  // kNever: it has greeted
  struct Reopening {
    Nanos at = kNever;  // kNever: no channel is missing
    Nanos last = 0;
    Backoff pause;
  } reopening_;
  Generations generations_;
  std::vector<std::shared_ptr<Channel>> chosen_;  // by worker
  ConfigsTold told_;
  std::deque<std::weak_ptr<JudgedConfig>> to_tell_;  // what the socket did not take yet
  struct Limits {
    FloodWatch flood;
    HostLogLimit verdict_lines;
  } limits_;
  bool has_news_ = false;  // since the last look()
  uint32_t last_channel_ = 0;
  bool watches_writes_ = false;
  bool said_no_means_ = false;
};

}  // namespace tsf::core
