// What wakes the other side, and what no peer can turn into a trap. There are two, because Envoy may never wait:
//
//   the host wakes Envoy   an eventfd (Doorbell). Envoy watches it in an epoll set, edge triggered, and never reads or
//                          writes it, so that nothing a peer does to the open file which both share can hold it up.
//   Envoy wakes the host   a pair of sockets (HostDoorbell). Envoy sends a byte with MSG_DONTWAIT: a flag of the call,
//                          which no peer can take away, and each end is an open file of its own.
//
// Why no eventfd that way: both ends share its O_NONBLOCK and its counter, and a host that clears the one and brings
// the other to its very limit (as the kernel's own users of an eventfd can, a completion of AIO for instance) makes
// even a write of zero wait, for ever; eventfd knows no call that cannot. Why no pipe: its reader holds a lock while it
// copies, into memory that its owner may make wait for as long as he likes, and the writer waits for that lock.
//
// Envoy's end of the pair is shut for reading: a host can put nothing into it, no descriptors either, whose end might
// be what waits. Its queue is as small as Linux allows, so that rings which nobody hears cost a few hundred bytes.
//
// The eventfd's counter starts at 1, nobody reads it, and a ring is a write of ZERO, for which an edge-triggered epoll
// reports one event for every ring since it was last asked. A hostile host can swallow its own rings (read the counter
// down to 0) or ring too often. The first stalls the streams that it serves, which time out; the second costs it a
// system call for each of our wake-ups.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

#include "shm/fd.h"

namespace tsf::shm {

/// Rings the eventfd `fd`, for a host. A failure (EBADF, EINVAL: the peer handed over something else) is not reported:
/// the peer has then deafened itself.
inline void ring_doorbell(int fd) {
  constexpr std::uint64_t kNothing = 0;
  // A call that fails wakes nobody, as said above; there is nothing to retry, eventfd writes are not interruptible
  // unless they block.
  [[maybe_unused]] const auto written = ::write(fd, &kNothing, sizeof kNothing);
}

/// Rings the other end of the socket `fd`, for Envoy. Never blocks. A queue that is full (EAGAIN) holds rings that were
/// not heard yet: whoever hears them sees what this one is about, too. All other failures mean that nobody is there.
inline void ring_socket(int fd) {
  constexpr char kRing = 1;
  [[maybe_unused]] const auto sent = ::send(fd, &kRing, sizeof kRing, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// At the other end: takes note of the rings so far. False: nobody will ring any more.
inline bool hear_socket(int fd) {
  char rings[64];
  const auto heard = ::recv(fd, rings, sizeof rings, MSG_DONTWAIT);
  return heard > 0 || (heard < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

inline bool is_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

/// Wakes the host: Envoy's end, and the host's until it has travelled there.
class HostDoorbell {
 public:
  static std::optional<HostDoorbell> create() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return std::nullopt;
    HostDoorbell made{UniqueFd(ends[0]), UniqueFd(ends[1])};
    const int least = 0;  // Linux rounds it up
    if (::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least) != 0 || ::shutdown(ends[0], SHUT_RD) != 0)
      return std::nullopt;
    return made;
  }

  /// Never blocks, see ring_socket.
  void ring() const { ring_socket(ours_.get()); }
  int fd() const { return ours_.get(); }
  /// The end that the host waits at.
  int host_fd() const { return hosts_.get(); }
  UniqueFd take_host_end() { return std::move(hosts_); }
  [[nodiscard]] int release() { return ours_.release(); }

 private:
  HostDoorbell(UniqueFd ours, UniqueFd hosts) : ours_(std::move(ours)), hosts_(std::move(hosts)) {}

  UniqueFd ours_;
  UniqueFd hosts_;
};

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

/// Wakes Envoy. `fd()` is the eventfd, the one that travels to the host; whoever holds it rings.
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
