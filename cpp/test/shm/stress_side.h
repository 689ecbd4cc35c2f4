// One end of a stress test: sends `bytes` payload bytes and receives as many, sleeping on its doorbell when it has
// nothing to do. Used by two threads in ring_stress_test.cc and against Node in stress_peer_main.cc.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>

#include "shm/doorbell.h"
#include "shm/ring.h"
#include "test/shm/frame_source.h"

namespace tsf::shm::test {

/// Envoy's side waits at an eventfd and rings through a socket.
struct EnvoyBells {
  const Doorbell& own;
  const HostDoorbell& peer;
  int wait_fd() const { return own.wait_fd(); }
  void drain() const { own.drain(); }
  void ring() const { peer.ring(); }
};
/// The host's side the other way round.
struct HostBells {
  int own;
  const Doorbell& peer;
  int wait_fd() const { return own; }
  void drain() const { hear_socket(own); }
  void ring() const { peer.ring(); }
};

template <class Bells>
class StressSide {
 public:
  StressSide(Endpoint& endpoint, Bells bells, std::uint32_t send_seed, std::uint32_t receive_seed, std::uint64_t bytes)
      : endpoint_(endpoint),
        bells_(bells),
        out_(send_seed, endpoint.max_payload()),
        in_(receive_seed, endpoint.max_payload()),
        bytes_(bytes) {}

  /// Empty when all went well, else what went wrong.
  std::string run() {
    while (sent_ < bytes_ || received_ < bytes_) {
      bool moved = false;
      if (!receive(moved)) return "frame " + std::to_string(frames_in) + " differs or is malformed";
      send(moved);
      if (moved || !endpoint_.sleep()) continue;
      sleeps++;
      pollfd wait{bells_.wait_fd(), POLLIN, 0};
      if (::poll(&wait, 1, kPatience) != 1) {
        return "no ring in time: sent " + std::to_string(sent_) + ", received " + std::to_string(received_) + " of " +
               std::to_string(bytes_) + " bytes" + (endpoint_.starved() ? ", starved" : "");
      }
      bells_.drain();
      endpoint_.wake();
    }
    return {};
  }

  std::uint64_t sleeps = 0;
  std::uint64_t rings = 0;
  std::uint64_t frames_in = 0;

 private:
  static constexpr int kPatience = 20'000;

  bool receive(bool& moved) {
    Frame frame;
    Read read = Read::kEmpty;
    for (int i = 0; i < 64 && (read = endpoint_.peek(frame)) == Read::kFrame; i++) {
      if (!in_.matches(frame.kind, frame.payload)) return false;
      received_ += frame.payload.size();
      frames_in++;
      moved = true;
      if (!endpoint_.take()) return false;
      endpoint_.pop();
    }
    if (read == Read::kMalformed) return false;
    if (endpoint_.release()) ring();
    return true;
  }

  void send(bool& moved) {
    // Batches of changing size; now and then a claim that comes to nothing.
    const int batch = 1 + static_cast<int>(batches_++ % 40);
    for (int i = 0; i < batch && sent_ < bytes_; i++) {
      if (batches_ % 7 == 0 && endpoint_.has_room(100)) {
        (void)endpoint_.claim(1, 100);
        endpoint_.abort();
      }
      // Sometimes more is claimed than needed.
      const std::uint32_t length = out_.length();
      const std::uint32_t spare = length + 8 <= endpoint_.max_payload() ? batches_ % 8 : 0;
      const auto room = endpoint_.claim(out_.kind(), length + spare);
      if (room.data() == nullptr) break;
      out_.fill(room.first(length));
      endpoint_.commit(length);
      sent_ += length;
      moved = true;
    }
    if (endpoint_.publish()) ring();
  }

  void ring() {
    rings++;
    bells_.ring();
  }

  Endpoint& endpoint_;
  const Bells bells_;
  FrameSource out_;
  FrameSource in_;
  std::uint64_t bytes_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint32_t batches_ = 0;
};

}  // namespace tsf::shm::test
