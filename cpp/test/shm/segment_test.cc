// The memory files: what the kernel lets each side do, and what the other side accepts.
#include "shm/segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "shm/layout.h"
#include "shm/ring.h"

namespace tsf::shm::test {
namespace {

constexpr std::uint32_t kCapacity = kMinCapacity;
constexpr std::size_t kSize = kDataOffset + kCapacity;

Segment made(Result<Segment> result) {
  EXPECT_TRUE(result) << result.error;
  return std::move(*result);
}

// A memory file as a stranger might make it.
UniqueFd memory(std::size_t size, int seals, bool header = true) {
  UniqueFd fd(::memfd_create("stranger", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  const std::uint32_t words[] = {kMagic, kVersion, static_cast<std::uint32_t>(size - kDataOffset)};
  if (header) {
    EXPECT_EQ(::pwrite(fd.get(), words, sizeof words, 0), static_cast<ssize_t>(sizeof words));
  }
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

TEST(Segment, BothSidesExchangeFramesThroughTheFourMappings) {
  Segment outbound = made(Segment::create_outbound(kCapacity)), inbound = made(Segment::create_inbound(kCapacity));
  Segment host_outbound = made(Segment::open_outbound(outbound.fd())),
          host_inbound = made(Segment::open_inbound(inbound.fd()));
  outbound.close_fd();
  inbound.close_fd();
  auto envoy = Endpoint::attach(outbound.writable(), inbound.bytes());
  auto host = Endpoint::attach(host_inbound.writable(), host_outbound.bytes());
  ASSERT_TRUE(envoy && host);
  for (auto [from, to] : {std::pair{&*envoy, &*host}, std::pair{&*host, &*envoy}}) {
    const auto room = from->claim(3, 4);
    ASSERT_EQ(room.size(), 4u);
    std::memcpy(room.data(), "ping", 4);
    from->commit(4);
    (void)from->publish();
    Frame frame;
    ASSERT_EQ(to->peek(frame), Read::kFrame);
    EXPECT_EQ(std::memcmp(frame.payload.data(), "ping", 4), 0);
  }
}

TEST(Segment, ReadOnlySidesHaveNoWritableBytes) {
  Segment outbound = made(Segment::create_outbound(kCapacity)), inbound = made(Segment::create_inbound(kCapacity));
  EXPECT_EQ(outbound.writable().size(), kSize);
  EXPECT_TRUE(inbound.writable().empty());
  EXPECT_TRUE(made(Segment::open_outbound(outbound.fd())).writable().empty());
  EXPECT_EQ(made(Segment::open_inbound(inbound.fd())).writable().size(), kSize);
}

TEST(Segment, NobodyElseCanWriteAnOutboundFile) {
  Segment outbound = made(Segment::create_outbound(kCapacity));
  const std::string path = "/proc/self/fd/" + std::to_string(outbound.fd());
  UniqueFd again(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  for (const int fd : {outbound.fd(), again.get()}) {
    EXPECT_EQ(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_EQ(errno, EPERM);
    void* read_only = ::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_NE(read_only, MAP_FAILED);
    EXPECT_NE(::mprotect(read_only, kSize, PROT_READ | PROT_WRITE), 0);
    ::munmap(read_only, kSize);
    EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
    EXPECT_NE(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  }
}

TEST(Segment, AWriteThroughAReadOnlySideKillsTheWriter) {
  Segment outbound = made(Segment::create_outbound(kCapacity));
  Segment host = made(Segment::open_outbound(outbound.fd()));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer would turn it into an exit
    *reinterpret_cast<volatile char*>(const_cast<std::byte*>(host.bytes().data())) = 1;
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(Segment, NobodyCanResizeOrUnsealEitherFile) {
  for (const bool out : {true, false}) {
    Segment segment = made(out ? Segment::create_outbound(kCapacity) : Segment::create_inbound(kCapacity));
    EXPECT_NE(::ftruncate(segment.fd(), 0), 0);
    EXPECT_NE(::ftruncate(segment.fd(), kSize * 2), 0);
    EXPECT_NE(::fcntl(segment.fd(), F_ADD_SEALS, F_SEAL_WRITE), 0);  // SEAL: the set is final
  }
}

TEST(Segment, AHolePunchedInTheInboundFileReadsAsZeros) {
  Segment inbound = made(Segment::create_inbound(kCapacity));
  EXPECT_EQ(::fallocate(inbound.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kSize), 0);
  EXPECT_EQ(inbound.bytes()[0], std::byte{0});  // no SIGBUS in Envoy
}

TEST(Segment, CapacitiesOtherThanPowersOfTwoInRangeAreRefused) {
  for (const std::uint32_t capacity :
       {0u, 1u, 4096u, kMinCapacity - 8, kMinCapacity / 2, kMinCapacity * 3, kMaxCapacity * 2}) {
    EXPECT_FALSE(Segment::create_outbound(capacity)) << capacity;
    EXPECT_FALSE(Segment::create_inbound(capacity)) << capacity;
  }
}

TEST(Segment, OpenRefusesWhatIsNotASealedFileOfThisLayout) {
  const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
  EXPECT_TRUE(Segment::open_outbound(memory(kSize, all).get()));
  EXPECT_FALSE(Segment::open_outbound(memory(kSize, F_SEAL_SHRINK | F_SEAL_GROW).get()));
  EXPECT_FALSE(Segment::open_outbound(memory(kSize, F_SEAL_GROW | F_SEAL_FUTURE_WRITE).get()));
  EXPECT_TRUE(Segment::open_inbound(memory(kSize, F_SEAL_SHRINK | F_SEAL_GROW).get()));
  EXPECT_FALSE(Segment::open_inbound(memory(kSize, F_SEAL_SHRINK).get()));
  EXPECT_FALSE(Segment::open_inbound(memory(kSize, all).get()));  // cannot be written
  EXPECT_FALSE(Segment::open_outbound(memory(kSize, all, false).get()));
  EXPECT_FALSE(Segment::open_outbound(memory(kSize - 1, all).get()));
  EXPECT_FALSE(Segment::open_outbound(memory(kDataOffset + 4096, all).get()));
  int pipes[2];
  ASSERT_EQ(::pipe2(pipes, O_CLOEXEC), 0);
  UniqueFd reader(pipes[0]), writer(pipes[1]);
  const auto refused = Segment::open_outbound(reader.get());
  EXPECT_FALSE(refused);
  EXPECT_NE(refused.error.find("not a sealed memory file"), std::string::npos);
  EXPECT_FALSE(Segment::open_outbound(-1));
}

}  // namespace
}  // namespace tsf::shm::test
