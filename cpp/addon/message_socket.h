// Messages with descriptors over a unix stream socket: [u32 length][u32 kind][payload], little endian. Knows no Node.
//
// A read never goes past the end of a message, so descriptors that a read brings belong to the message that is being
// read: the kernel hands them over with the first byte of the sendmsg() that carried them.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "shm/fd.h"

namespace tsf::addon {

inline constexpr std::size_t kMaxMessage = 16u << 20;
inline constexpr std::size_t kMaxQueued = 64u << 20;
inline constexpr std::size_t kMaxDescriptors = 16;

struct Message {
  std::uint32_t kind = 0;
  std::vector<std::byte> payload;
  std::vector<shm::UniqueFd> fds;
};

class MessageSocket {
 public:
  /// `fd`: a connected unix stream socket.
  explicit MessageSocket(shm::UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  enum class Receive { kMessage, kNothingNow, kEnd };
  /// The next whole message. kEnd: see reason(). Never blocks.
  Receive receive(Message& out);

  /// Queues a message and sends what the socket takes. False: it does not fit the queue, or the end was reached; the
  /// socket is then shut down, so that a poller sees the end. `fds` are duplicated.
  bool send(std::uint32_t kind, std::span<const std::byte> payload, std::span<const int> fds);
  /// Sends more of the queue. Never blocks.
  void flush();
  bool wants_to_write() const { return !queue_.empty(); }

  /// Why it ended; nothing when the peer closed in good order, between messages.
  const std::optional<std::string>& reason() const { return reason_; }

 private:
  struct Queued {
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    std::vector<shm::UniqueFd> fds;
  };

  ssize_t read(std::span<std::byte> into);
  Receive end(const char* reason);
  void break_off(const char* reason);

  shm::UniqueFd fd_;
  std::optional<std::string> reason_;
  bool ended_ = false;

  std::array<std::byte, 8> header_{};
  std::size_t header_read_ = 0;
  std::size_t payload_read_ = 0;
  Message incoming_;

  std::deque<Queued> queue_;
  std::size_t queued_bytes_ = 0;
};

}  // namespace tsf::addon
