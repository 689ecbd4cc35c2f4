// The socket to the host: [u32 length][u32 kind][payload] both ways, descriptors with the message that needs them.
// Non-blocking; link thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shm/fd.h"

namespace tsf::core {

class ControlSocket {
 public:
  static constexpr uint32_t kMaxMessage = 16 << 20;
  // What may wait for a host that does not read: the largest message and some small ones.
  static constexpr size_t kMostQueued = kMaxMessage + (1 << 20);

  // Connects; `peer` is who listens there. On failure the socket is closed and `error` says why, with the mend.
  bool connect(const std::string& path, uid_t& peer, std::string& error);
  void close();

  int fd() const { return fd_.get(); }
  bool open() const { return static_cast<bool>(fd_); }
  bool wants_write() const { return !out_.empty(); }

  // Queues a message and writes what the socket takes. False: the connection is over.
  bool send(uint32_t kind, std::string_view payload, std::vector<shm::UniqueFd> fds = {});
  // False: it cannot be written to, or its host does not read.
  bool flush();

  // Reads what is there, as far as the thread's other work allows; `on_message` gets every whole message and returns
  // false to give up. False: the connection is over, `error` says why.
  using Handler = std::function<bool(uint32_t kind, std::string_view payload)>;
  bool receive(const Handler& on_message, std::string& error);

 private:
  struct Message {
    std::string bytes;
    std::vector<shm::UniqueFd> fds;
    size_t written = 0;
  };

  shm::UniqueFd fd_;
  std::deque<Message> out_;
  size_t queued_ = 0;  // bytes in it
  std::string in_;
};

}  // namespace tsf::core
