// The host's end of the socket, over a real one: it reads what a module sends, and sends whatever a test wants it to.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/frame.h"
#include "exchange_generated.h"
#include "shm/fd.h"

namespace tsf::core::test {

// A directory for a socket, and the socket in it, as long as this lives.
class SocketPlace {
 public:
  SocketPlace() {
    char name[] = "/tmp/ts-filter-test-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~SocketPlace() {
    ::unlink(path().c_str());
    ::rmdir(directory_.c_str());
  }
  SocketPlace(const SocketPlace&) = delete;
  SocketPlace& operator=(const SocketPlace&) = delete;
  std::string path() const { return directory_ + "/host.sock"; }

 private:
  std::string directory_;
};

struct SocketMessage {
  uint32_t kind = 0;
  std::string payload;
  std::vector<shm::UniqueFd> fds;  // of a Channel

  template <class T>
  const T& as() const {
    return *flatbuffers::GetRoot<T>(payload.data());
  }
};

class HostSocket {
 public:
  // Listens.
  explicit HostSocket(const std::string& path) : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    ::unlink(path.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    (void)::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    (void)::listen(listener_.get(), 8);
  }

  // Of a connection that there is.
  explicit HostSocket(shm::UniqueFd peer) : peer_(std::move(peer)) {}
  // The connection goes on by itself, and this one listens on.
  std::unique_ptr<HostSocket> split() {
    auto out = std::make_unique<HostSocket>(std::move(peer_));
    out->in_.swap(in_);
    out->fds_.swap(fds_);
    return out;
  }

  bool accept() {
    shm::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
    if (!fd) return false;
    hang_up();
    peer_ = std::move(fd);
    return true;
  }
  void hang_up() {
    peer_.reset();
    in_.clear();
    fds_.clear();
  }
  bool connected() const { return static_cast<bool>(peer_); }
  int listener() const { return listener_.get(); }
  int peer() const { return peer_.get(); }

  // All messages that are there whole. The end of the connection is seen by connected().
  std::vector<SocketMessage> read() {
    while (connected() && receive()) {
    }
    std::vector<SocketMessage> out;
    for (uint32_t header[2]; in_.size() >= sizeof header;) {
      std::memcpy(header, in_.data(), sizeof header);
      if (in_.size() < sizeof header + header[0]) break;
      SocketMessage message{header[1], in_.substr(sizeof header, header[0]), {}};
      in_.erase(0, sizeof header + header[0]);
      constexpr size_t kDescriptors = 4;
      while (message.kind == wire::ControlKind_Channel && message.fds.size() < kDescriptors && !fds_.empty()) {
        message.fds.push_back(std::move(fds_.front()));
        fds_.pop_front();
      }
      out.push_back(std::move(message));
    }
    return out;
  }

  template <class T>
  void send(wire::ControlKind kind, flatbuffers::FlatBufferBuilder& b, flatbuffers::Offset<T> root) {
    b.Finish(root);
    send_raw(kind, {reinterpret_cast<const char*>(b.GetBufferPointer()), b.GetSize()});
  }
  void send_raw(uint32_t kind, std::string_view payload) {
    const uint32_t header[2] = {static_cast<uint32_t>(payload.size()), kind};
    std::string bytes(reinterpret_cast<const char*>(header), sizeof header);
    bytes += payload;
    (void)::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // A message that the module does not know, of so many bytes.
  void noise(size_t bytes) {
    const uint32_t header[2] = {static_cast<uint32_t>(bytes), 999};
    std::string message(reinterpret_cast<const char*>(header), sizeof header);
    message.resize(sizeof header + bytes);
    (void)::send(peer_.get(), message.data(), message.size(), MSG_NOSIGNAL);
  }
  void welcome(uint32_t major = wire::Protocol_Major) {
    flatbuffers::FlatBufferBuilder b;
    const auto version = b.CreateString("test");
    send(wire::ControlKind_Welcome, b, wire::CreateWelcome(b, major, 0, version, 1));
  }
  void verdict(uint32_t config, uint32_t generation = 0, bool accepted = true, std::vector<uint32_t> attributes = {},
               uint32_t phases = UINT32_MAX) {
    flatbuffers::FlatBufferBuilder b;
    const auto message = b.CreateString(accepted ? "" : "no");
    const auto list = b.CreateVector(attributes);
    send(wire::ControlKind_ConfigVerdict, b,
         wire::CreateConfigVerdict(b, config, accepted, message, phases, list, generation));
  }
  void channel_ready(uint32_t channel) {
    flatbuffers::FlatBufferBuilder b;
    send(wire::ControlKind_ChannelReady, b, wire::CreateChannelReady(b, channel));
  }
  void channel_done(uint32_t channel, bool drained = false) {
    flatbuffers::FlatBufferBuilder b;
    send(wire::ControlKind_ChannelDone, b, wire::CreateChannelDone(b, channel, drained));
  }
  void generation(uint32_t number) {
    flatbuffers::FlatBufferBuilder b;
    send(wire::ControlKind_Generation, b, wire::CreateGeneration(b, number));
  }
  void drain(uint32_t generation = UINT32_MAX) {
    flatbuffers::FlatBufferBuilder b;
    send(wire::ControlKind_Drain, b, wire::CreateDrain(b, generation));
  }

 private:
  // False: nothing is there.
  bool receive() {
    char bytes[16384];
    iovec part{bytes, sizeof bytes};
    constexpr size_t kMostFds = 8;
    alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(peer_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (n <= 0) {
      hang_up();
      return false;
    }
    in_.append(bytes, static_cast<size_t>(n));
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_type != SCM_RIGHTS) continue;
      for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
        fds_.emplace_back(fd);
      }
    }
    return true;
  }

  shm::UniqueFd listener_;
  shm::UniqueFd peer_;
  std::string in_;
  std::deque<shm::UniqueFd> fds_;
};

}  // namespace tsf::core::test
