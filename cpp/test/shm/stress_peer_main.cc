// The C++ end of test/stress/ring.stress.test.ts. Makes the files and doorbells as Envoy would, hands them over on a
// unix socket as one message [u32 length][u32 kind][payload], and exchanges frames both ways.
//
//   stress_peer SOCKET CAPACITY BYTES SEED START     START: where all four positions begin
//
// Ends with 0 and one line of counts, or with 1 and what went wrong on stderr.
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "shm/segment.h"
#include "test/shm/stress_side.h"

namespace tsf::shm::test {
namespace {

int fail(const std::string& why) {
  std::fprintf(stderr, "stress_peer: %s\n", why.c_str());
  return 1;
}

UniqueFd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  return fd;
}

bool hand_over(int socket, std::array<int, 4> fds) {
  std::array<std::uint32_t, 2> header{0, 1};
  iovec bytes{header.data(), sizeof header};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(part), fds.data(), sizeof fds);
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof header);
}

int run(const std::string& path, std::uint32_t capacity, std::uint64_t bytes, std::uint32_t seed, std::uint32_t start) {
  auto outbound = Segment::create_outbound(capacity), inbound = Segment::create_inbound(capacity);
  if (!outbound || !inbound) return fail(outbound.error + inbound.error);
  auto* words = reinterpret_cast<FileHeader*>(outbound->writable().data());
  words->tail = words->head = start;
  // The host writes its own words, so the other end of the start comes from there: before we attach.
  auto host_bell = HostDoorbell::create();
  auto own_bell = Doorbell::create();
  if (!host_bell || !own_bell || !own_bell->listen()) return fail("no doorbells");
  const UniqueFd socket = connect_to(path);
  if (!socket) return fail("cannot connect to " + path);
  if (!hand_over(socket.get(), {outbound->fd(), inbound->fd(), host_bell->host_fd(), own_bell->fd()})) {
    return fail("cannot hand the descriptors over");
  }
  // One message of eight bytes: the host has set its words.
  std::array<char, 8> ready{};
  if (::recv(socket.get(), ready.data(), ready.size(), MSG_WAITALL) != static_cast<ssize_t>(ready.size())) {
    return fail("the host did not get ready");
  }
  auto endpoint = Endpoint::attach(outbound->writable(), inbound->bytes());
  if (!endpoint) return fail("cannot attach");
  StressSide side(*endpoint, EnvoyBells{*own_bell, *host_bell}, seed, seed + 1, bytes);
  if (const std::string wrong = side.run(); !wrong.empty()) return fail(wrong);
  // What we sent must also be read: the host closes the socket when it has everything.
  if (::recv(socket.get(), ready.data(), ready.size(), MSG_WAITALL) != 0) return fail("the host said something else");
  std::printf("{\"frames\":%llu,\"sleeps\":%llu,\"rings\":%llu}\n", static_cast<unsigned long long>(side.frames_in),
              static_cast<unsigned long long>(side.sleeps), static_cast<unsigned long long>(side.rings));
  return 0;
}

}  // namespace
}  // namespace tsf::shm::test

int main(int argc, char** argv) {
  if (argc != 6) return tsf::shm::test::fail("SOCKET CAPACITY BYTES SEED START");
  const auto number = [argv](int i) { return std::strtoull(argv[i], nullptr, 10); };
  return tsf::shm::test::run(argv[1], static_cast<std::uint32_t>(number(2)), number(3),
                             static_cast<std::uint32_t>(number(4)), static_cast<std::uint32_t>(number(5)));
}
