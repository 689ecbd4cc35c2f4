#include "core/control.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace tsf::core {
namespace {
constexpr size_t kHeader = 2 * sizeof(uint32_t);
constexpr size_t kMaxFds = 4;
constexpr int kReadsACall = 4;  // what is left wakes the thread again

// What lies at the path and is no socket. Who listens at one is asked when it is connected to; a link is not followed,
// or it would be somebody else's word where that is.
std::string wrong_file(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || S_ISSOCK(status.st_mode)) return {};
  return std::string(S_ISLNK(status.st_mode) ? "it is a link, which is not followed" : "it is no socket") +
         "; filter_config.socket must be the path that ts-filter-host has as --socket";
}

std::string why_not_connected(int number, const std::string& path) {
  if (number != EACCES) return std::string(std::strerror(number)) + "; start ts-filter-host --socket " + path;
  const std::string me = std::to_string(::getuid());
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0)
    return "uid " + me + ", which is Envoy's, may not search its folder; give it the right to (chmod o+x)";
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", status.st_mode & 0777);
  return "the socket of uid " + std::to_string(status.st_uid) + " has mode " + mode + ", and Envoy runs as uid " + me +
         "; start ts-filter-host with --allowed-uids " + me + " --socket-mode 0666, and add " +
         std::to_string(status.st_uid) + " to filter_config.allowed_uids";
}

}  // namespace

bool ControlSocket::connect(const std::string& path, uid_t& peer, std::string& error) {
  close();
  shm::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd || path.size() >= sizeof address.sun_path) {
    error = !fd ? std::strerror(errno) : "the path is too long";
    return false;
  }
  if (error = wrong_file(path); !error.empty()) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    error = why_not_connected(errno, path);
    return false;
  }
  // A descriptor that nobody has asked for would be closed here, and the end of some waits. Newer kernels let none in.
  constexpr int kPassRights = 83;  // SO_PASSRIGHTS
  constexpr int kNone = 0;
  (void)::setsockopt(fd.get(), SOL_SOCKET, kPassRights, &kNone, sizeof kNone);
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    error = std::strerror(errno);
    return false;
  }
  peer = credentials.uid;
  fd_ = std::move(fd);
  return true;
}

void ControlSocket::close() {
  fd_.reset();
  out_.clear();
  queued_ = 0;
  in_.clear();
}

bool ControlSocket::send(uint32_t kind, std::string_view payload, std::vector<shm::UniqueFd> fds) {
  const uint32_t header[2] = {static_cast<uint32_t>(payload.size()), kind};
  Message message;
  message.bytes.reserve(kHeader + payload.size());
  message.bytes.append(reinterpret_cast<const char*>(header), kHeader);
  message.bytes.append(payload);
  message.fds = std::move(fds);
  queued_ += message.bytes.size();
  out_.push_back(std::move(message));
  return flush();
}

bool ControlSocket::flush() {
  while (!out_.empty()) {
    Message& message = out_.front();
    iovec part{message.bytes.data() + message.written, message.bytes.size() - message.written};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
    if (message.written == 0 && !message.fds.empty()) {
      const size_t bytes = message.fds.size() * sizeof(int);
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(bytes);
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(bytes);
      std::array<int, kMaxFds> numbers{};
      std::transform(message.fds.begin(), message.fds.end(), numbers.begin(), [](const auto& fd) { return fd.get(); });
      std::memcpy(CMSG_DATA(rights), numbers.data(), bytes);
    }
    const ssize_t n = ::sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return (errno == EAGAIN || errno == EWOULDBLOCK) && queued_ <= kMostQueued;
    message.written += static_cast<size_t>(n);
    if (message.written < message.bytes.size()) continue;
    queued_ -= message.bytes.size();
    out_.pop_front();
  }
  return true;
}

bool ControlSocket::receive(const Handler& on_message, std::string& error) {
  std::array<char, 16384> buffer;
  for (int reads = 0; reads < kReadsACall; ++reads) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n <= 0) {
      error = n == 0 ? "the host closed the connection" : std::strerror(errno);
      return false;
    }
    in_.append(buffer.data(), static_cast<size_t>(n));
    size_t used = 0;
    while (in_.size() - used >= kHeader) {
      uint32_t header[2];
      std::memcpy(header, in_.data() + used, kHeader);
      if (header[0] > kMaxMessage) {
        error = "the host sent a message of " + std::to_string(header[0]) + " bytes";
        return false;
      }
      if (in_.size() - used - kHeader < header[0]) break;
      if (!on_message(header[1], std::string_view(in_).substr(used + kHeader, header[0]))) {
        error = "the host sent a malformed message of kind " + std::to_string(header[1]);
        return false;
      }
      if (!open()) return true;  // closed by the handler, with its own words
      used += kHeader + header[0];
    }
    in_.erase(0, used);
  }
  return true;
}

}  // namespace tsf::core
