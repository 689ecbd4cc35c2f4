// One side of a channel whose other side writes what it likes, wherever it likes, at any time: nothing is read or
// written outside the files, no call takes long, and what is broken stays so.
#include "shm/ring.h"

#include "test/fuzz_input.h"
#include "test/shm/two_files.h"

namespace tsf::shm::test {
namespace {

using tsf::test::Input;
using tsf::test::require;

class HostileRing {
 public:
  explicit HostileRing(Input& in) : in_(in) {
    files_.start_at(8 * (in_.word() & 0x1fffffff));
    files_.b.header().tail = files_.a.header().head = 8 * (in_.word() & 0x1fffffff);
  }

  void run() {
    std::optional<Endpoint> endpoint = Endpoint::attach(files_.a.bytes(), files_.b.bytes());
    if (!endpoint) return;
    while (!in_.done()) {
      const bool was_broken = endpoint->broken();
      if (in_.byte() % 2 == 0) {
        attack();
      } else {
        act(*endpoint);
      }
      require(!was_broken || endpoint->broken(), "a broken endpoint that has mended");
    }
  }

 private:
  // The peer's words, near what would be right, or anything; or its data, a header most of all.
  void attack() {
    FileHeader& header = files_.b.header();
    const uint8_t what = in_.byte();
    const uint32_t value = (what & 1) != 0 ? in_.word() : 8 * in_.byte();
    const uint32_t base = (what & 2) != 0 ? 0 : files_.a.header().tail;
    switch ((what >> 2) % 8) {
      case 0: header.tail = value + files_.a.header().head; break;
      case 1: header.head = base + value; break;
      case 2: header.head = base - value; break;
      case 3: header.sleep = value; break;
      case 4: header.starved = value; break;
      case 5: header.taken = base - value; break;
      case 6: header.closed = value; break;
      default: {
        const uint32_t at = (files_.a.header().head + 8 * in_.byte()) & (kMinCapacity - 1);
        files_.b.put_record(at, value, in_.byte() % 4);
      }
    }
  }

  void act(Endpoint& endpoint) {
    switch (in_.byte() % 8) {
      case 0: {
        const std::span<std::byte> room = endpoint.claim(in_.byte(), in_.word() % (endpoint.max_payload() + 2));
        if (room.data() == nullptr) return;
        require_inside(room, files_.a.data());
        std::memset(room.data(), 0xab, room.size());
        endpoint.commit(static_cast<uint32_t>(room.size()));
        return;
      }
      case 1: (void)endpoint.publish(); return;
      case 2:
      case 3: return read(endpoint);
      case 4: (void)endpoint.release(); return;
      case 5:
        (void)endpoint.publish();
        (void)endpoint.release();
        (void)endpoint.sleep();
        return;
      case 6: return endpoint.wake();
      default: {
        const std::optional<uint32_t> unread = endpoint.unread();
        require(!unread || *unread <= endpoint.capacity(), "more unread than there can be");
        require(endpoint.room() <= endpoint.capacity(), "more room than there is");
        (void)endpoint.has_taken(endpoint.position());
      }
    }
  }

  void read(Endpoint& endpoint) {
    Frame frame;
    for (int frames = 0; frames < 16 && endpoint.peek(frame) == Read::kFrame; ++frames) {
      require_inside(frame.payload, files_.b.data());
      require(frame.payload.size() <= endpoint.max_payload(), "a frame that is too long");
      const bool is_ours = endpoint.take();
      uint8_t sum = 0;
      for (const std::byte byte : frame.payload) sum = static_cast<uint8_t>(sum + std::to_integer<uint8_t>(byte));
      seen_ = sum;
      endpoint.pop();
      if (!is_ours) return;
    }
  }

  static void require_inside(std::span<const std::byte> part, std::span<const std::byte> whole) {
    require(part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size(),
            "outside the file");
  }

  Input& in_;
  TwoFiles files_;
  volatile uint8_t seen_ = 0;
};

}  // namespace
}  // namespace tsf::shm::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tsf::test::Input in(data, size);
  tsf::shm::test::HostileRing(in).run();
  return 0;
}
