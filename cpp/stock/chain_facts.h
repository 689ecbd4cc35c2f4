// What the streams of one configured filter have found out about the chain that it stands in, for the streams that come
// after. Any worker. Every access is relaxed: each is a fact by itself, no data follows it, and a stream that comes a
// moment too early knows as little as the first one.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/mount.h"

namespace tsf::stock {

class ChainFacts {
 public:
  enum class Side : uint8_t { kClient, kUpstream };
  static Side before(core::Dir dir) { return dir == core::Dir::kRequest ? Side::kClient : Side::kUpstream; }
  static Side behind(core::Dir dir) { return before(core::other(dir)); }

  // All of a message's length is here, so that its end is on its way. Over HTTP/2 a client may be late with that for
  // its own reasons, and wait for an answer meanwhile.
  static constexpr std::chrono::milliseconds kLateEnd{1000};

  enum class Injector : uint8_t { kUnknown, kNone, kBehind };

  // A filter behind it that puts bytes into the chain of its own accord.
  Injector injector() const { return injector_.load(std::memory_order_relaxed); }
  void found_injector() { injector_.store(Injector::kBehind, std::memory_order_relaxed); }
  // Where one was found before, it stays.
  void found_no_injector() {
    Injector unknown = Injector::kUnknown;
    injector_.compare_exchange_strong(unknown, Injector::kNone, std::memory_order_relaxed);
  }

  // A filter nearer to that peer takes bodies out of the chain and puts them in again. It was seen by what it did to
  // one direction, and may do the same to the other.
  bool has_taker(Side side) const { return takers_[static_cast<size_t>(side)].load(std::memory_order_relaxed); }
  void found_taker(Side side) { takers_[static_cast<size_t>(side)].store(true, std::memory_order_relaxed); }

  // Where an ext_proc of the usual name stands, and whether it takes bodies of that direction: once it has, it may.
  std::optional<Side> ext_proc() const {
    const ExtProc at = ext_proc_.load(std::memory_order_relaxed);
    if (at == ExtProc::kUnknown) return std::nullopt;
    return at == ExtProc::kClientSide ? Side::kClient : Side::kUpstream;
  }
  void found_ext_proc(Side side) {
    ext_proc_.store(side == Side::kClient ? ExtProc::kClientSide : ExtProc::kUpstreamSide, std::memory_order_relaxed);
  }
  enum class Takes : uint8_t { kUnknown, kNo, kYes };
  Takes takes_body(core::Dir dir) const {
    return takes_body_[static_cast<size_t>(dir)].load(std::memory_order_relaxed);
  }
  void found_takes_body(core::Dir dir, bool takes) {
    std::atomic<Takes>& known = takes_body_[static_cast<size_t>(dir)];
    Takes unknown = Takes::kUnknown;
    if (takes) known.store(Takes::kYes, std::memory_order_relaxed);
    if (!takes) known.compare_exchange_strong(unknown, Takes::kNo, std::memory_order_relaxed);
  }

  // Envoy writes its own `server` header into responses that have passed all filters. Until a response of this
  // configuration has shown it, what others of the process have shown is believed.
  bool server_header_is_written() const {
    const Sign sign = server_header_.load(std::memory_order_relaxed);
    return sign == Sign::kSeen || (sign == Sign::kUnknown && seen_in_process().load(std::memory_order_relaxed));
  }
  void saw_server_header() {
    server_header_.store(Sign::kSeen, std::memory_order_relaxed);
    seen_in_process().store(true, std::memory_order_relaxed);
  }
  // A response is over, and it was not written.
  void missed_server_header() {
    Sign unknown = Sign::kUnknown;
    server_header_.compare_exchange_strong(unknown, Sign::kMissed, std::memory_order_relaxed);
  }

 private:
  enum class Sign : uint8_t { kUnknown, kMissed, kSeen };
  enum class ExtProc : uint8_t { kUnknown, kClientSide, kUpstreamSide };

  static std::atomic<bool>& seen_in_process() {
    static std::atomic<bool> seen{false};
    return seen;
  }

  std::array<std::atomic<bool>, 2> takers_{};
  std::array<std::atomic<Takes>, 2> takes_body_{};
  std::atomic<ExtProc> ext_proc_{ExtProc::kUnknown};
  std::atomic<Injector> injector_{Injector::kUnknown};
  std::atomic<Sign> server_header_{Sign::kUnknown};
};

}  // namespace tsf::stock
