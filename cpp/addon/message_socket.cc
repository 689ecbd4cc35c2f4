#include "addon/message_socket.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tsf::addon {
namespace {

// A peer that announces 16 MiB and sends nothing costs this much.
constexpr std::size_t kGrowth = 64u << 10;

std::uint32_t u32_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// Takes the descriptors out of what recvmsg brought, so that each is closed whatever happens next.
void take_descriptors(msghdr& message, std::vector<shm::UniqueFd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

// As recv(); 0 is the end, -1 with EAGAIN is "nothing now", -1 with EBADMSG is "too many descriptors".
ssize_t MessageSocket::read(std::span<std::byte> into) {
  iovec bytes{into.data(), into.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t count = 0;
  do {
    count = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return count;
  take_descriptors(message, incoming_.fds);
  if ((message.msg_flags & MSG_CTRUNC) != 0 || incoming_.fds.size() > kMaxDescriptors) {
    errno = EBADMSG;
    return -1;
  }
  return count;
}

MessageSocket::Receive MessageSocket::receive(Message& out) {
  while (!ended_) {
    const bool in_header = header_read_ < header_.size();
    std::span<std::byte> into;
    if (in_header) {
      into = std::span(header_).subspan(header_read_);
    } else {
      const std::size_t length = u32_at(header_, 0);
      if (payload_read_ == length) {
        incoming_.kind = u32_at(header_, 4);
        incoming_.payload.resize(length);
        out = std::exchange(incoming_, Message{});
        header_read_ = payload_read_ = 0;
        return Receive::kMessage;
      }
      if (incoming_.payload.size() == payload_read_) {
        // Doubling keeps the copies linear; the announced length bounds it.
        incoming_.payload.resize(std::min(length, std::max(kGrowth, payload_read_ * 2)));
      }
      into = std::span(incoming_.payload).subspan(payload_read_);
    }
    const ssize_t count = read(into);
    if (count < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Receive::kNothingNow;
      return end(errno == EBADMSG ? "more than 16 descriptors in a message" : std::strerror(errno));
    }
    if (count == 0) return end(header_read_ == 0 ? nullptr : "closed in the middle of a message");
    (in_header ? header_read_ : payload_read_) += static_cast<std::size_t>(count);
    if (in_header && header_read_ == header_.size() && u32_at(header_, 0) > kMaxMessage) {
      return end("a message of more than 16 MiB");
    }
  }
  return Receive::kEnd;
}

MessageSocket::Receive MessageSocket::end(const char* reason) {
  if (!ended_ && reason != nullptr) reason_ = reason;
  ended_ = true;
  incoming_ = Message{};
  queue_.clear();
  queued_bytes_ = 0;
  return Receive::kEnd;
}

void MessageSocket::break_off(const char* reason) {
  end(reason);
  ::shutdown(fd_.get(), SHUT_RDWR);
}

bool MessageSocket::send(std::uint32_t kind, std::span<const std::byte> payload, std::span<const int> fds) {
  if (ended_) return false;
  if (queued_bytes_ + payload.size() > kMaxQueued) {
    break_off("the peer does not read: more than 64 MiB wait to be sent");
    return false;
  }
  Queued message;
  message.bytes.resize(header_.size() + payload.size());
  const std::array<std::uint32_t, 2> header{static_cast<std::uint32_t>(payload.size()), kind};
  std::memcpy(message.bytes.data(), header.data(), sizeof header);
  if (!payload.empty()) std::memcpy(message.bytes.data() + sizeof header, payload.data(), payload.size());
  for (const int fd : fds) {
    message.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!message.fds.back()) {
      break_off("duplicating a descriptor failed");
      return false;
    }
  }
  queued_bytes_ += message.bytes.size();
  queue_.push_back(std::move(message));
  flush();
  return !ended_;
}

void MessageSocket::flush() {
  while (!queue_.empty()) {
    Queued& next = queue_.front();
    iovec bytes{next.bytes.data() + next.sent, next.bytes.size() - next.sent};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    // With the first bytes only: a second time would hand them over twice.
    if (!next.fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(next.fds.size() * sizeof(int));
      cmsghdr* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(next.fds.size() * sizeof(int));
      for (std::size_t i = 0; i < next.fds.size(); i++) {
        const int fd = next.fds[i].get();
        std::memcpy(CMSG_DATA(part) + i * sizeof(int), &fd, sizeof fd);
      }
    }
    const ssize_t count = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      // A peer that closed in good order may have left messages to read; the reader says how it ended.
      if (errno == EPIPE) {
        queue_.clear();
        queued_bytes_ = 0;
        return;
      }
      return break_off(std::strerror(errno));
    }
    next.fds.clear();
    next.sent += static_cast<std::size_t>(count);
    if (next.sent < next.bytes.size()) continue;
    queued_bytes_ -= next.bytes.size();
    queue_.pop_front();
  }
}

}  // namespace tsf::addon
