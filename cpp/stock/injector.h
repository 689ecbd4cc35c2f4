// A filter behind us that takes what it is given and puts it into the chain later, of its own accord (ext_proc in its
// streamed modes). When it does so after a request's end has come in, Envoy takes the request for an open one again,
// and no filter can give its end on any more. So where such a one may be behind us, output of a request waits until its
// end is in: then there is nothing of ours that it could put back. A request that does not tell its length may be one
// of an exchange: its output goes on when nothing more has come for a while.
//
//   unknown ──a push has come to the next of ours at once───────────────────► none
//   unknown, none ──a push has gone and come nowhere, or bytes came by no push──► behind
//
// An edge behind us sees it. Without one only what the other direction has shown is known (filters_before.h): what is
// behind us in the one is before us in the other.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/worker.h"
#include "stock/chain_facts.h"
#include "stock/envoy.h"

namespace tsf::stock {

class Injector {
 public:
  Injector(ChainFacts& facts, Dir dir) : facts_(facts), dir_(dir) {}

  // There is an edge that sees it.
  void watch() { is_watched_ = true; }
  // The message begins. `length`: of its body, where it tells one.
  void start(std::optional<uint64_t> length) {
    length_ = length;
    on_input(0);
  }
  bool may_be_behind() const {
    return is_watched_ ? facts_.injector() != ChainFacts::Injector::kNone : facts_.has_taker(ChainFacts::behind(dir_));
  }
  void found() {
    if (is_watched_) facts_.found_injector();
  }
  void found_none() {
    if (is_watched_) facts_.found_no_injector();
  }

  // So many bytes of the body have come.
  void on_input(uint64_t seen) {
    if (!may_be_behind()) return;
    if (seen < length_.value_or(0)) {
      until_ = kUntilAllIsHere;
    } else {
      until_ = core::now_ns() + core::nanos(length_ ? ChainFacts::kLateEnd : kQuiet);
    }
  }
  // Null: no time is waited for.
  core::Nanos quiet_at() const { return until_ == kUntilAllIsHere ? 0 : until_; }
  // Output is to wait.
  bool is_waited_for() const {
    return may_be_behind() && (until_ == kUntilAllIsHere || (until_ != 0 && core::now_ns() < until_));
  }
  // A time that has passed and stays would wake the worker again and again.
  void look_at_time() {
    if (!is_waited_for()) until_ = 0;
  }

 private:
  static constexpr std::chrono::milliseconds kQuiet{20};
  static constexpr core::Nanos kUntilAllIsHere = std::numeric_limits<core::Nanos>::max();

  ChainFacts& facts_;
  const Dir dir_;
  bool is_watched_ = false;
  std::optional<uint64_t> length_;
  core::Nanos until_ = 0;
};

}  // namespace tsf::stock
