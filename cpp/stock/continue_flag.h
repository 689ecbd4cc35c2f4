// Envoy's "continued" flag of one filter: a continue takes effect only while it is clear.
//
//   granted ──continue, or a hook that answers Continue──► spent
//   spent   ──a hook that answers Stop────────────────────► granted
//
// So a run of Stops grants ONE continue, however many frames it was. From 1.39 on each direction has a flag. Envoy 1.38
// has one for both: there a continue of one direction also spends the other's, and a Stop of one grants both.
#pragma once

#include <array>
#include <cstddef>

#include "core/mount.h"

namespace tsf::stock {

class ContinueFlag {
 public:
  explicit ContinueFlag(bool shared) : shared_(shared) {}

  bool is_shared() const { return shared_; }
  // The latest hook of that direction stopped, and nothing was continued since.
  bool is_stopped(core::Dir dir) const { return stopped_[index(dir)]; }
  bool is_granted(core::Dir dir) const { return is_stopped(dir) && !(shared_ && spent_); }
  // Stopped, but the other direction has spent the grant (1.38).
  bool is_lost(core::Dir dir) const { return is_stopped(dir) && shared_ && spent_; }

  void on_hook(core::Dir dir, bool stops) {
    stopped_[index(dir)] = stops;
    spent_ = !stops;
  }
  void on_continue(core::Dir dir) { stopped_[index(dir)] = false; }
  // Envoy sets its flag after the call, whatever happened in it.
  void after_continue() { spent_ = true; }

 private:
  static size_t index(core::Dir dir) { return static_cast<size_t>(dir); }

  const bool shared_;
  bool spent_ = false;
  std::array<bool, 2> stopped_{};
};

}  // namespace tsf::stock
