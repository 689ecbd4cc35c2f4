// Our filters in one HTTP stream. Envoy has ONE buffer per direction for all filters of a stream: whatever any filter
// leaves there, a later filter's continue would send on, and an earlier filter's push would show to it again. So the
// siblings agree who owns it (docs/lifecycle.md, "Several of ours in a chain"). Worker thread only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/mount.h"
#include "exchange_generated.h"

namespace tsf::core {

class Stream;

class Chain {
 public:
  // The chain of this stream's siblings; makes it for the first of them.
  static Chain& join(StreamMount& mount, Stream& stream);
  // Null: its streams are gone, or it is none of this worker's.
  static Chain* find(uint64_t id);
  // The chain is gone when its last stream has left.
  static void leave(Chain& chain, Stream& stream);

  // Access loggers of ours are configured. relaxed: a stream that is made meanwhile may be found by a new one or not.
  static bool has_logger() { return live_loggers_.load(std::memory_order_relaxed) > 0; }
  static void count_logger(int delta) { live_loggers_.fetch_add(delta, std::memory_order_relaxed); }
  // Envoy gives a log event of this HTTP stream to its access loggers.
  void log(wire::LogKind kind, const LogSource& source);

  // In the order of the filters in Envoy's chain.
  const std::vector<Stream*>& streams() const { return streams_; }

  // Bytes that lay in Envoy's buffer before the push that is now on the stack: not for whom they do not belong to.
  size_t pushed_over(Dir dir) const { return pushed_over_[static_cast<size_t>(dir)]; }
  void set_pushed_over(Dir dir, size_t bytes) { pushed_over_[static_cast<size_t>(dir)] = bytes; }

 private:
  inline static std::atomic<int> live_loggers_{0};

  uint64_t id_ = 0;
  std::vector<Stream*> streams_;
  size_t pushed_over_[2] = {0, 0};
};

}  // namespace tsf::core
