// The doorbell, and what a hostile peer that shares its file can do to it.
#include "shm/doorbell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
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

// A completion of AIO that tells this eventfd. False: this kernel, or this container, has none.
bool complete_aio(int fd) {
  aio_context_t context = 0;
  if (::syscall(SYS_io_setup, 1, &context) != 0) return false;
  UniqueFd file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  char byte = 0;
  iocb order{};
  order.aio_lio_opcode = IOCB_CMD_PWRITE;
  order.aio_fildes = static_cast<std::uint32_t>(file.get());
  order.aio_buf = reinterpret_cast<std::uint64_t>(&byte);
  order.aio_nbytes = 1;
  order.aio_flags = IOCB_FLAG_RESFD;
  order.aio_resfd = static_cast<std::uint32_t>(fd);
  iocb* orders[] = {&order};
  const bool done = ::syscall(SYS_io_submit, context, 1, orders) == 1;
  ::syscall(SYS_io_destroy, context);
  return done;
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

// The counter at its very limit, where only the kernel itself can bring it: here by a completion of AIO. Then even a
// write of zero waits, which is why Envoy writes to no eventfd.
TEST(HostileDoorbell, AnEventfdAtItsLimitMakesEvenAWriteOfZeroWait) {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC));
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - 1;
  ASSERT_EQ(::write(fd.get(), &most, sizeof most), 8);
  if (!complete_aio(fd.get())) GTEST_SKIP() << "no AIO here";
  std::atomic<bool> written = false;
  std::thread writer([&] {
    ring_doorbell(fd.get());
    written = true;
  });
  std::this_thread::sleep_for(100ms);
  EXPECT_FALSE(written);
  eventfd_t counter = 0;
  EXPECT_EQ(::eventfd_read(fd.get(), &counter), 0);  // lets the writer go
  writer.join();
}

// Envoy's own end: what a host does to the eventfd that both share does not hold up who only watches it.
TEST(HostileDoorbell, TheWatcherOfAnEventfdAtItsLimitComesBack) {
  const Doorbell doorbell = listening();
  take_nonblock_away(doorbell.fd());
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - 2;
  ASSERT_EQ(::write(doorbell.fd(), &most, sizeof most), 8);
  (void)complete_aio(doorbell.fd());
  EXPECT_TRUE(returns([&doorbell] {
    doorbell.drain();
    doorbell.drain();
  }));
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

bool hears(const HostDoorbell& doorbell, int timeout_ms = 0) {
  pollfd wait{doorbell.host_fd(), POLLIN, 0};
  return ::poll(&wait, 1, timeout_ms) == 1;
}

TEST(HostDoorbell, ARingWakesAndHearingTakesNoteOfAllRingsSoFar) {
  const auto doorbell = HostDoorbell::create();
  EXPECT_FALSE(hears(*doorbell));
  doorbell->ring();
  doorbell->ring();
  EXPECT_TRUE(hears(*doorbell));
  EXPECT_TRUE(hear_socket(doorbell->host_fd()));
  EXPECT_FALSE(hears(*doorbell));
  EXPECT_TRUE(hear_socket(doorbell->host_fd()));  // nothing now
  doorbell->ring();
  EXPECT_TRUE(hears(*doorbell));
}

TEST(HostDoorbell, TheHostHearsThatNobodyWillRing) {
  auto doorbell = HostDoorbell::create();
  const UniqueFd host = doorbell->take_host_end();
  EXPECT_TRUE(hear_socket(host.get()));
  doorbell.reset();
  EXPECT_FALSE(hear_socket(host.get()));
}

TEST(HostileHostDoorbell, ARingComesBackWhenThePeerNeverHearsAndHasTakenNonblockAway) {
  const auto doorbell = HostDoorbell::create();
  take_nonblock_away(doorbell->host_fd());
  take_nonblock_away(doorbell->fd());
  EXPECT_TRUE(returns([&doorbell] {
    for (int i = 0; i < 20'000; i++) doorbell->ring();
  }));
  EXPECT_TRUE(hears(*doorbell));
  // What was rung for is not lost once it hears again.
  while (hears(*doorbell)) hear_socket(doorbell->host_fd());
  doorbell->ring();
  EXPECT_TRUE(hears(*doorbell));
}

TEST(HostileHostDoorbell, ThePeerCanPutNothingIntoOurEnd) {
  const auto doorbell = HostDoorbell::create();
  const char bytes[16] = {};
  EXPECT_EQ(::send(doorbell->host_fd(), bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST(HostileHostDoorbell, ARingIsSilentWhenThePeerHasShutOrClosedItsEnd) {
  auto doorbell = HostDoorbell::create();
  ASSERT_EQ(::shutdown(doorbell->host_fd(), SHUT_RDWR), 0);
  doorbell->ring();
  (void)doorbell->take_host_end();
  doorbell->ring();
}

TEST(Doorbell, AFailedRingIsSilent) {
  ring_doorbell(-1);
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ring_doorbell(null.get());
  ring_socket(-1);
  ring_socket(null.get());
  Doorbell none{UniqueFd()};
  EXPECT_FALSE(none.listen());
}

}  // namespace
}  // namespace tsf::shm::test
