// The doorbell, and what a hostile peer that shares its file can do to it.
#include "shm/doorbell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <limits>
#include <memory>
#include <thread>

namespace tsf::shm::test {
namespace {

using namespace std::chrono_literals;

Doorbell listening() {
  auto doorbell = Doorbell::create();
  EXPECT_TRUE(doorbell && doorbell->listen());
  EXPECT_TRUE(doorbell->drain());  // the free first look
  return std::move(*doorbell);
}

bool rung(const Doorbell& doorbell, int timeout_ms = 0) {
  pollfd wait{doorbell.wait_fd(), POLLIN, 0};
  return ::poll(&wait, 1, timeout_ms) == 1;
}

// What the peer does with its own copy of the descriptor; both share one file.
void take_nonblock_away(int fd) { ASSERT_EQ(::fcntl(fd, F_SETFL, 0), 0); }
void fill(int fd) {
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - 2;
  ASSERT_EQ(::write(fd, &most, sizeof most), 8);  // 1 + most: nothing above zero fits any more
}

TEST(Doorbell, ARingWakesAndDrainTakesNoteOfAllRingsSoFar) {
  const Doorbell doorbell = listening();
  EXPECT_FALSE(rung(doorbell));
  doorbell.ring();
  doorbell.ring();
  EXPECT_TRUE(rung(doorbell));
  EXPECT_TRUE(doorbell.drain());
  EXPECT_FALSE(rung(doorbell));
  EXPECT_FALSE(doorbell.drain());
  doorbell.ring();
  EXPECT_TRUE(rung(doorbell));
}

TEST(Doorbell, ARingThroughACopyOfTheDescriptorWakes) {
  const Doorbell doorbell = listening();
  const Doorbell peer(UniqueFd(::fcntl(doorbell.fd(), F_DUPFD_CLOEXEC, 0)));
  peer.ring();
  EXPECT_TRUE(rung(doorbell));
}

TEST(Doorbell, ARingFromAnotherThreadEndsAWait) {
  const Doorbell doorbell = listening();
  std::thread other([&] {
    std::this_thread::sleep_for(20ms);
    doorbell.ring();
  });
  EXPECT_TRUE(rung(doorbell, 5000));
  other.join();
}

TEST(Doorbell, AnOrdinaryWriterIsHeardToo) {
  const Doorbell doorbell = listening();
  EXPECT_EQ(::eventfd_write(doorbell.fd(), 1), 0);
  EXPECT_TRUE(doorbell.drain());
}

TEST(Doorbell, AThreadCanWatchManyInAnEpollOfItsOwn) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  auto first = Doorbell::create(), second = Doorbell::create();
  ASSERT_TRUE(watch_doorbell(epoll.get(), first->fd(), 1) && watch_doorbell(epoll.get(), second->fd(), 2));
  epoll_event events[4];
  EXPECT_EQ(::epoll_wait(epoll.get(), events, 4, 0), 2);  // the free first look
  second->ring();
  ASSERT_EQ(::epoll_wait(epoll.get(), events, 4, 0), 1);
  const std::uint64_t which = events[0].data.u64;  // a copy: the struct is packed
  EXPECT_EQ(which, 2u);
  unwatch_doorbell(epoll.get(), second->fd());
  second->ring();
  EXPECT_EQ(::epoll_wait(epoll.get(), events, 4, 0), 0);
}

// Does `act` come back within two seconds? When not, its thread is left behind.
template <typename Act>
bool returns(Act act) {
  auto done = std::make_shared<std::promise<void>>();
  auto future = done->get_future();
  std::thread thread([done, act] {
    act();
    done->set_value();
  });
  const bool in_time = future.wait_for(2s) == std::future_status::ready;
  in_time ? thread.join() : thread.detach();
  return in_time;
}

TEST(HostileDoorbell, ARingComesBackAndWakesWhenThePeerHasFilledABlockingCounter) {
  const Doorbell doorbell = listening();
  take_nonblock_away(doorbell.fd());
  fill(doorbell.fd());
  doorbell.drain();
  const int fd = doorbell.fd();
  EXPECT_TRUE(returns([fd] { ring_doorbell(fd); }));
  EXPECT_TRUE(rung(doorbell));
  EXPECT_TRUE(returns([&doorbell] { doorbell.drain(); }));
}

TEST(HostileDoorbell, AnOrdinaryWriteOfOneWouldHaveBlocked) {
  UniqueFd fd(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  take_nonblock_away(fd.get());
  fill(fd.get());
  std::atomic<bool> written = false;
  std::thread writer([&] {
    ::eventfd_write(fd.get(), 1);
    written = true;
  });
  std::this_thread::sleep_for(100ms);
  EXPECT_FALSE(written);
  eventfd_t counter = 0;
  EXPECT_EQ(::eventfd_read(fd.get(), &counter), 0);  // lets the writer go
  writer.join();
}

TEST(HostileDoorbell, DrainComesBackWhenThePeerHasEmptiedABlockingCounter) {
  const Doorbell doorbell = listening();
  take_nonblock_away(doorbell.fd());
  eventfd_t counter = 0;
  ASSERT_EQ(::eventfd_read(doorbell.fd(), &counter), 0);
  EXPECT_TRUE(returns([&doorbell] {
    doorbell.ring();
    doorbell.drain();
  }));
}

TEST(HostileDoorbell, RingsComeBackWhileAPeerThreadFillsEmptiesAndTogglesTheFlag) {
  const Doorbell doorbell = listening();
  const int fd = doorbell.fd();
  std::atomic<bool> stop = false;
  std::thread hostile([&] {
    while (!stop) {
      ::fcntl(fd, F_SETFL, O_NONBLOCK);  // only so that this thread does not trap itself
      ::eventfd_write(fd, std::numeric_limits<std::uint64_t>::max() - 2);
      ::fcntl(fd, F_SETFL, 0);
      std::this_thread::yield();
      ::fcntl(fd, F_SETFL, O_NONBLOCK);
      eventfd_t counter = 0;
      ::eventfd_read(fd, &counter);
    }
  });
  EXPECT_TRUE(returns([fd] {
    for (int i = 0; i < 20'000; i++) ring_doorbell(fd);
  }));
  stop = true;
  hostile.join();
}

TEST(Doorbell, AFailedRingIsSilent) {
  ring_doorbell(-1);
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ring_doorbell(null.get());
  Doorbell none{UniqueFd()};
  EXPECT_FALSE(none.listen());
}

}  // namespace
}  // namespace tsf::shm::test
