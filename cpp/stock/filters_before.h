// Whether somebody before one of ours holds the message's end, where no edge at the peer's side tells. A filter that
// takes a body out of the chain and puts it in again later (ext_proc in its streamed modes) has the end while Envoy
// takes the message as ended for all filters: a continue by us would give it on, before what that filter still has.
//
// Envoy shows trailers to all filters as soon as they are in. Of a request 1.40 tells how much of the body has come, so
// that one with a length is known to be complete or not. For the others nothing is sure: where such a filter is seen
// (ext_proc.h), or was seen by what it did, a continue waits until nothing has come for a while. So does output that
// was made of no input, for the message may be an empty one.
//
// Worker thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/worker.h"
#include "stock/chain_facts.h"
#include "stock/envoy.h"
#include "stock/ext_proc.h"

namespace tsf::stock {

class FiltersBefore {
 public:
  FiltersBefore(Envoy& envoy, ChainFacts& facts, Dir dir)
      : envoy_(envoy), facts_(facts), dir_(dir), ext_proc_(envoy, facts, dir) {}

  ExtProc& ext_proc() { return ext_proc_; }

  // That the message's headers came with, read once: headers that have gone may tell another one.
  std::optional<uint64_t> message_length();
  // It is short by its length: its end is near.
  bool is_small() { return message_length().value_or(kSmallBytes) < kSmallBytes; }

  // A body hook. The clock is read only where it counts.
  void on_input() {
    if (has_taker()) input_at_ = core::now_ns();
  }
  // In a body hook of a request: with this piece so many bytes have come to us.
  void look(uint64_t seen);
  // Bytes of the body.
  struct Progress {
    uint64_t seen = 0;     // that have come to us
    uint64_t gone = 0;     // of ours, that have gone on
    uint64_t waiting = 0;  // of ours, that are to go now
  };
  // The end has not come to us. So long one of them has it, or may have it; null: none.
  core::Nanos hold_end_until(const Progress& body);
  // It was so: the message has ended for others without coming to us.
  void found_taker() { facts_.found_taker(ChainFacts::before(dir_)); }
  static constexpr core::Nanos kUntilItComes = std::numeric_limits<core::Nanos>::max();

  // We wait for that.
  void wait_until(core::Nanos until) { until_ = until; }
  bool are_waited_for() const { return until_ != 0; }
  // Null: no time is waited for.
  core::Nanos quiet_at() const { return until_ == kUntilItComes ? 0 : until_; }
  // A time that has passed and stays would wake the worker again and again.
  void look_at_time() {
    if (quiet_at() != 0 && core::now_ns() >= until_) until_ = 0;
  }

 private:
  // More than such a filter takes for a piece, as a rule.
  static constexpr std::chrono::milliseconds kQuiet{50};
  // Beside its own latency, of an ext_proc that is seen.
  static constexpr std::chrono::milliseconds kQuietOfExtProc{100};
  // More than Envoy gives it for that, unless told otherwise (ext_proc's `message_timeout` is 200 ms).
  static constexpr std::chrono::milliseconds kQuietForBytes{250};

  // A message with such a length is no exchange: nobody waits for a part of it.
  static constexpr uint64_t kSmallBytes = 100'000;

  bool has_taker() const { return facts_.has_taker(ChainFacts::before(dir_)) || ext_proc_.may_be_before(); }
  core::Nanos until_quiet(std::chrono::milliseconds time);

  Envoy& envoy_;
  ChainFacts& facts_;
  const Dir dir_;
  ExtProc ext_proc_;
  bool has_read_length_ = false;
  std::optional<uint64_t> length_;
  core::Nanos input_at_ = 0;
  core::Nanos until_ = 0;
};

}  // namespace tsf::stock
