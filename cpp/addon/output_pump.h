// What stands between a process and its stdout or stderr, so that whoever reads those can hold nobody up. The
// descriptor becomes a pipe that a thread of its own always reads; another thread writes on to what the descriptor was
// before, and is the only one that ever waits for its reader. Between the two lie at most kMost bytes: what comes when
// they are full is lost, whole lines at a time, and counted. Knows no Node.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "shm/fd.h"

namespace tsf::addon {

class OutputPump {
 public:
  static constexpr size_t kMost = 1 << 20;

  /// Of the descriptors 1 and 2 of this process, for the rest of its life; a second call does nothing. False, with
  /// errno: the system gives no pipe or no thread.
  static bool start_both();

  /// At the process's end: as flush_both, and what was lost of the one is told by the other.
  static void finish();

  /// Waits until what was written has gone on, but not for a reader that does not read: a moment without progress ends
  /// it, and a second does in any case. Takes no lock, for a signal's handler calls it.
  static void flush_both();

 private:
  struct Ends {
    shm::UniqueFd pipe;
    shm::UniqueFd write_end;
    shm::UniqueFd real;
  };

  OutputPump(int fd, Ends ends)
      : fd_(fd), pipe_(std::move(ends.pipe)), real_(std::move(ends.real)), write_end_(std::move(ends.write_end)) {}

  static std::unique_ptr<OutputPump> make(int fd);
  /// Its threads, and the pipe in the descriptor's place.
  bool run();
  void read_on();
  void write_on();

  // The reader's, with mutex_ held.
  void take(std::string_view bytes);
  void take_piece(std::string_view piece, bool ends_line);
  void lose_line();

  // The writer's.
  bool write_all(std::string_view bytes);
  void broken(int error);
  void tell_lost();

  /// Both texts end where the number follows.
  void notify(const std::string& text, uint64_t lost);
  std::string line_of(const std::string& text, uint64_t lost) const;
  void tell_elsewhere();
  bool is_drained() const;
  std::string name() const;

  const int fd_;
  const shm::UniqueFd pipe_;
  const shm::UniqueFd real_;
  /// Until it is in the descriptor's place.
  shm::UniqueFd write_end_;
  /// Where it is told that this one cannot be written.
  OutputPump* other_ = nullptr;

  std::mutex mutex_;
  std::condition_variable more_;
  std::string queue_;
  /// Lines of our own, for when a line has ended.
  std::string notice_;
  /// The line of which a beginning has come and no end.
  struct Line {
    enum class Is { kNone, kQueued, kWithWriter, kLost } is = Is::kNone;
    size_t begin = 0;  // in the queue, of kQueued
  };
  Line line_;

  // The writer's alone: what is wrong with the real one, whether a line was begun there, and when a loss was last told.
  int error_ = 0;
  bool is_torn_ = false;
  int64_t told_at_ms_ = 0;

  struct Counts {
    // Lines: lost and not told; in the hands of the writer. Relaxed: numbers for people.
    std::atomic<uint64_t> untold{0};
    std::atomic<uint64_t> under_way{0};
    // Bytes. For flush_both, which looks at the pipe, at is_taking, at taken and at gone in this order: sequentially
    // consistent, so that bytes which have left the one place are seen in the next.
    std::atomic<bool> is_taking{false};
    std::atomic<uint64_t> taken{0};
    std::atomic<uint64_t> gone{0};
  };
  Counts counts_;
};

}  // namespace tsf::addon
