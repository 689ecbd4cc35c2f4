// A filter behind us that takes what it is given and puts it into the chain later, of its own accord (ext_proc in its
// streamed modes). When it does so after a request's end has come in, Envoy takes the request for an open one again,
// and no filter can give its end on any more. So where such a one may be behind us, output of a request waits until its
// end is in: then there is nothing of ours that it could put back. A request that does not tell its length may be one
// of an exchange: its output goes on when nothing more has come for a while.
//
//   unknown ──a push has come to the next of ours at once───────────────────► none
//   unknown, none ──a push has gone and come nowhere, or bytes came by no push──► behind
//
// An edge behind us sees it. Without one it is known by its notes (ext_proc.h), and by what the other direction has
// shown (filters_before.h): what is behind us in the one is before us in the other.
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

class Injector {
 public:
  Injector(ChainFacts& facts, const ExtProc& ext_proc, Dir dir) : facts_(facts), ext_proc_(ext_proc), dir_(dir) {}

  // There is an edge that sees it.
  void watch() { is_watched_ = true; }
  // The message begins. `length`: of its body, where it tells one.
  void start(std::optional<uint64_t> length) {
    length_ = length;
    on_input(0);
  }
  bool may_be_behind() const {
    if (is_watched_) return facts_.injector() != ChainFacts::Injector::kNone || ext_proc_.is_behind();
    return ext_proc_.may_be_behind() || facts_.has_taker(ChainFacts::behind(dir_));
  }
  void found() {
    if (is_watched_) facts_.found_injector();
  }
  // What has gone on from us has met nobody who takes it.
  void found_none() {
    if (is_watched_) facts_.found_no_injector();
  }

  // So many bytes of the body have come.
  void on_input(uint64_t seen) {
    if (!may_be_behind()) return;
    const core::Nanos now = core::now_ns();
    if (!body_began_) first_at_ = now;
    body_began_ = seen > 0;
    if (!is_behind() && ext_proc_.may_be_behind()) {
      // It may be one that takes headers only: a stream that never pauses is late once, not to its end.
      until_ = first_at_ + core::nanos(kQuietBesideOne);
    } else if (seen < length_.value_or(0)) {
      until_ = kUntilAllIsHere;
    } else {
      until_ = now + core::nanos(length_ ? ChainFacts::kLateEnd : is_behind() ? kQuietBesideOne : kQuiet);
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
  // Where there may be one, and where there is.
  static constexpr std::chrono::milliseconds kQuiet{20};
  static constexpr std::chrono::milliseconds kQuietBesideOne{250};
  static constexpr core::Nanos kUntilAllIsHere = std::numeric_limits<core::Nanos>::max();

  bool is_behind() const {
    return ext_proc_.is_behind() || (is_watched_ && facts_.injector() == ChainFacts::Injector::kBehind);
  }

  ChainFacts& facts_;
  const ExtProc& ext_proc_;
  const Dir dir_;
  bool is_watched_ = false;
  std::optional<uint64_t> length_;
  bool body_began_ = false;
  core::Nanos first_at_ = 0;  // the first of it came; the latest, as long as there is none
  core::Nanos until_ = 0;
};

}  // namespace tsf::stock
