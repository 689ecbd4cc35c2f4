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

#include "core/worker.h"
#include "stock/chain_facts.h"
#include "stock/envoy.h"

namespace tsf::stock {

class Injector {
 public:
  Injector(ChainFacts& facts, Dir dir) : facts_(facts), dir_(dir) {}

  // The message begins. `is_watched`: there is an edge that sees it.
  void start(bool is_watched) {
    is_watched_ = is_watched;
    on_input();
  }
  bool may_be_behind() const {
    return is_watched_ ? facts_.injector() != ChainFacts::Injector::kNone : facts_.has_taker(ChainFacts::behind(dir_));
  }
  // The request tells its length.
  void wait_for_end() {
    has_length_ = true;
    quiet_at_ = 0;
  }
  void found() {
    if (is_watched_) facts_.found_injector();
  }
  void found_none() {
    if (is_watched_) facts_.found_no_injector();
  }

  void on_input() {
    if (may_be_behind() && !has_length_) quiet_at_ = core::now_ns() + core::nanos(kQuiet);
  }
  // Null: no time is waited for.
  core::Nanos quiet_at() const { return quiet_at_; }
  // Output is to wait.
  bool is_waited_for() const {
    return may_be_behind() && (has_length_ || (quiet_at_ != 0 && core::now_ns() < quiet_at_));
  }
  // A time that has passed and stays would wake the worker again and again.
  void look_at_time() {
    if (!is_waited_for()) quiet_at_ = 0;
  }

 private:
  static constexpr std::chrono::milliseconds kQuiet{20};

  ChainFacts& facts_;
  const Dir dir_;
  bool is_watched_ = false;
  bool has_length_ = false;
  core::Nanos quiet_at_ = 0;
};

}  // namespace tsf::stock
