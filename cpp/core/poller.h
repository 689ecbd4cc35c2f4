// What the link thread waits for: its own bell, sockets, and the doorbells of workers' channels.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "core/clock.h"
#include "shm/doorbell.h"
#include "shm/fd.h"

namespace tsf::core {

class Poller {
 public:
  Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    control(EPOLL_CTL_ADD, bell_.get(), EPOLLIN, kBell);
  }

  // Any thread: wait() returns soon.
  void ring() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(bell_.get(), &one, sizeof one);
  }

  // ---- link thread ----
  // `number`: of its connection.
  void add_socket(int fd, uint32_t number) { control(EPOLL_CTL_ADD, fd, EPOLLIN, kFirstSocket + number); }
  void watch_writes(int fd, uint32_t number, bool yes) {
    control(EPOLL_CTL_MOD, fd, yes ? EPOLLIN | EPOLLOUT : EPOLLIN, kFirstSocket + number);
  }
  bool add_doorbell(int fd, uint32_t worker) { return shm::watch_doorbell(epoll_.get(), fd, kFirstWorker + worker); }
  // Before it is closed: the host's copy keeps the file alive.
  void remove_doorbell(int fd) { shm::unwatch_doorbell(epoll_.get(), fd); }

  // Waits until that time at the longest; tells `events` of each thing that has happened: on_bell(), on_socket(number)
  // and on_doorbell(worker). `until` may be kNever.
  template <class Events>
  void wait(Nanos until, Events& events) {
    constexpr int kMost = 32;
    epoll_event ready[kMost];
    const int n = ::epoll_wait(epoll_.get(), ready, kMost, timeout(until));
    for (int i = 0; i < n; ++i) {
      const uint64_t tag = ready[i].data.u64;
      if (tag == kBell) {
        uint64_t count;
        [[maybe_unused]] const ssize_t read = ::read(bell_.get(), &count, sizeof count);
        events.on_bell();
      } else if (tag >= kFirstSocket) {
        events.on_socket(static_cast<uint32_t>(tag - kFirstSocket));
      } else {
        events.on_doorbell(static_cast<uint32_t>(tag - kFirstWorker));
      }
    }
  }

 private:
  static constexpr uint64_t kBell = 0;
  static constexpr uint64_t kFirstWorker = 1;
  static constexpr uint64_t kFirstSocket = uint64_t{1} << 32;

  void control(int operation, int fd, uint32_t for_what, uint64_t tag) {
    epoll_event event{};
    event.events = for_what;
    event.data.u64 = tag;
    ::epoll_ctl(epoll_.get(), operation, fd, &event);
  }
  static int timeout(Nanos until) {
    constexpr Nanos kMilli = 1'000'000;
    constexpr Nanos kMinute = 60'000;
    if (until == kNever) return -1;
    return static_cast<int>(std::clamp<Nanos>((until - now_ns() + kMilli - 1) / kMilli, 0, kMinute));
  }

  shm::UniqueFd epoll_;
  shm::UniqueFd bell_;
};

}  // namespace tsf::core
