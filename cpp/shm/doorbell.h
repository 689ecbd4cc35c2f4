// An eventfd that wakes the other side and that no peer can turn into a trap.
//
// Both ends share one open file description, so a hostile peer can clear O_NONBLOCK and fill the counter at any
// moment: also between a poll() and a write(). A write of 1 could then block a worker for ever, and eventfd knows no
// per-call way out (pwritev2 with RWF_NOWAIT: EOPNOTSUPP; it cannot be opened a second time either: ENXIO).
//
// So the counter carries nothing. It starts at 1, nobody reads it, and a ring is a write of ZERO:
//  * adding zero never overflows, so the write never blocks, whatever the flags and the counter are;
//  * it still wakes the waiters, and an edge-triggered epoll reports one event for every ring since it was last asked,
//    because the counter, never read, stays above zero.
// The price is that the waiting side must be edge triggered. It costs no more: one epoll_wait instead of one read.
//
// What a hostile peer can still do is swallow its own rings (read the counter down to 0) or ring too often. The first
// stalls the streams that it serves, which time out; the second costs it a system call for each of our wake-ups.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "shm/fd.h"

namespace tsf::shm {

/// Rings the eventfd `fd`. Never blocks. A failure (EBADF, EINVAL: the peer handed over something else) is not
/// reported: the peer has then deafened itself.
inline void ring_doorbell(int fd) {
  constexpr std::uint64_t kNothing = 0;
  // A call that fails wakes nobody, as said above; there is nothing to retry, eventfd writes are not interruptible
  // unless they block.
  [[maybe_unused]] const auto written = ::write(fd, &kNothing, sizeof kNothing);
}

/// Puts the eventfd `event_fd` into the epoll set `epoll_fd`, edge triggered as a doorbell must be.
/// For a thread that waits for many doorbells in an epoll of its own and then needs no drain() and no wait_fd().
/// Such a thread must unwatch before it closes `event_fd`: the peer's copy keeps the file, and so the entry, alive.
inline bool watch_doorbell(int epoll_fd, int event_fd, std::uint64_t data) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = data;
  return ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) == 0;
}

inline void unwatch_doorbell(int epoll_fd, int event_fd) { ::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, event_fd, nullptr); }

/// One doorbell. `fd()` is the eventfd, the one that travels to the peer; whoever holds it rings.
/// The side that waits asks for listen() and then polls `wait_fd()` (level triggered, as with any poller).
class Doorbell {
 public:
  /// Makes a new one.
  static std::optional<Doorbell> create() {
    UniqueFd fd(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!fd) return std::nullopt;
    return Doorbell(std::move(fd));
  }

  /// Takes one that came from the peer.
  explicit Doorbell(UniqueFd fd) : event_(std::move(fd)) {}

  int fd() const { return event_.get(); }
  /// Gives the eventfd away.
  [[nodiscard]] int release() { return event_.release(); }

  /// Never blocks, see ring_doorbell.
  void ring() const { ring_doorbell(event_.get()); }

  /// Makes this the waiting end. False: out of descriptors, or the peer's descriptor is no eventfd-like file.
  /// The first wait reports at once (the counter starts at 1): a free, harmless look at the ring.
  bool listen() {
    UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll || !watch_doorbell(epoll.get(), event_.get(), 0)) return false;
    epoll_ = std::move(epoll);
    return true;
  }

  /// Readable while a ring has not been drained; -1 before listen(). Never sent to the peer.
  int wait_fd() const { return epoll_.get(); }

  /// Takes note of all rings so far; true when there was one. Never blocks.
  bool drain() const {
    epoll_event event{};
    return ::epoll_wait(epoll_.get(), &event, 1, 0) > 0;
  }

 private:
  UniqueFd event_;
  UniqueFd epoll_;
};

}  // namespace tsf::shm
