#include "test/shm/golden.h"

#include <string>

namespace tsf::shm::test {
namespace {

constexpr std::uint32_t kCapacity = kMinCapacity;
constexpr std::uint32_t kMax = max_payload(kCapacity);

std::string small_frames() {
  Scenario s("frames of every small length", 0, 0);
  for (std::uint32_t length = 0; length <= 17; length++) s.put('a', length + 1, length);
  s.publish('a');
  s.put('b', 0xffffffff, 3);
  s.publish('b');
  s.drain('b', 5);
  s.drain('b');
  s.drain('b');
  s.drain('a');
  s.unread('a');
  return s.json();
}

std::string padding() {
  Scenario s("padding before the end of data, a record that ends there, a padding of no bytes", kCapacity - 24,
             kCapacity - 8);
  s.put('a', 1, 17);
  s.put('b', 2, 1);
  s.publish('a');
  s.publish('b');
  s.drain('a');
  s.drain('b');
  for (int i = 0; i < 4; i++) {
    s.put('a', 3, kMax);
    s.put('b', 4, kMax - 16);
    s.publish('a');
    s.publish('b');
    s.drain('a');
    s.drain('b');
  }
  s.put('b', 5, kMax, 100);  // the place was chosen for the whole claim
  s.put('b', 6, kMax, 0);
  s.publish('b');
  s.drain('a');
  return s.json();
}

std::string wrap() {
  Scenario s("positions pass 2^32", 0u - 64, 0u - 8);
  for (std::uint32_t i = 1; i <= 8; i++) {
    s.put('a', i, 10 * i);
    s.put('b', i, 3);
    s.publish('a');
    s.publish('b');
    s.unread('a');
    s.drain('a');
    s.drain('b');
  }
  return s.json();
}

std::string full() {
  Scenario s("a full ring starves its producer, who is rung when there is room", 0u - kCapacity / 2, 0);
  s.sleep('b');
  for (std::uint32_t i = 1; s.put('a', i, 8000); i++) {
  }
  s.publish('a');
  s.sleep('a');
  s.wake('b');
  s.drain('b', 1);
  s.wake('a');
  s.put('a', 100, kMax);  // more than there is
  s.sleep('a');
  s.drain('b', 1);
  s.wake('a');
  s.put('a', 100, kMax);
  s.put('a', 101, kMax);
  s.publish('a');
  s.drain('b', 2);
  s.sleep('a');  // sees that there is room
  s.put('a', 101, kMax);
  s.publish('a');
  s.drain('b');
  s.unread('a');
  for (int i = 0; i < 4; i++) s.put('a', 102, kMax);
  s.publish('a');
  s.unread('a');
  return s.json();
}

std::string sleeping() {
  Scenario s("one ring for each sleep", 0, 0);
  s.sleep('b');
  s.put('a', 1, 8);
  s.publish('a');
  s.put('a', 2, 8);
  s.publish('a');
  s.publish('a');
  s.drain('b');
  s.sleep('b');  // without a wake between: a new number
  s.put('a', 3, 8);
  s.publish('a');
  s.wake('b');
  s.sleep('b');  // something is there
  s.drain('b');
  s.sleep('b');
  s.abort('a', 4, 8);
  s.publish('a');
  s.sleep('a');
  s.wake('a');
  s.wake('a');
  return s.json();
}

std::string marks() {
  Scenario s("what was taken, across 2^32; a channel that its producer closes", 0u - 48, 0);
  for (std::uint32_t i = 1; i <= 5; i++) s.put('a', i, 16);
  s.publish('a');
  s.untaken('a');
  s.drain('b', 1);
  s.untaken('a');
  s.drain('b', 2);
  s.untaken('a');
  for (const std::uint32_t nonsense : {0u, 0u - 40'000, 80u}) s.set('b', offsetof(FileHeader, taken), nonsense);
  s.untaken('a');
  s.set('b', offsetof(FileHeader, taken), 24);
  s.close('a');
  s.untaken('a');
  s.drain('b');
  return s.json();
}

// Side b writes nonsense; a must refuse it and stay with that.
std::string hostile(const char* name, std::uint32_t head, std::uint32_t length, std::uint32_t kind,
                    std::uint32_t published) {
  Scenario s(std::string("hostile: ") + name, 0, head);
  const std::uint32_t at = kDataOffset + (head & (kCapacity - 1));
  s.set('b', at, length);
  s.set('b', at + 4, kind);
  s.set('b', offsetof(FileHeader, tail), head + published);
  s.drain('a');
  s.set('b', offsetof(FileHeader, tail), head);
  s.drain('a');
  return s.json();
}

std::string hostile_head(const char* name, std::uint32_t head) {
  Scenario s(std::string("hostile: ") + name, 0, 0);
  s.put('a', 1, 8);
  s.put('a', 1, 8);
  s.publish('a');
  s.set('b', offsetof(FileHeader, head), 16);
  s.unread('a');
  s.set('b', offsetof(FileHeader, head), head);
  s.unread('a');
  return s.json();
}

// Everything mixed, with both rings passing 2^32.
std::string walk(std::uint32_t seed) {
  Scenario s("a walk from seed " + std::to_string(seed), 0u - 40'000, 0u - 8);
  std::uint32_t state = seed;
  const auto random = [&state](std::uint32_t below) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state % below;
  };
  bool dirty[2] = {false, false};  // committed, not published: then a side may not fall asleep
  for (int i = 0; i < 600; i++) {
    // One draw to a statement: compilers differ in the order in which they evaluate arguments.
    const char side = random(2) == 0 ? 'a' : 'b';
    bool& unpublished = dirty[side == 'a' ? 0 : 1];
    switch (random(10)) {
      case 0: {
        const std::uint32_t kind = 1 + random(9);
        s.abort(side, kind, random(kMax + 1));
        break;
      }
      case 1:
      case 2:
        s.publish(side);
        unpublished = false;
        break;
      case 3: s.drain(side, static_cast<int>(random(5))); break;
      case 4:
        if (!unpublished) s.sleep(side);
        break;
      case 5: s.wake(side); break;
      case 6: s.unread(side); break;
      default: {
        const std::uint32_t claimed = random(4) == 0 ? random(kMax + 1) : random(64);
        const std::uint32_t committed = claimed - random(claimed + 1) / 4;
        const std::uint32_t kind = 1 + random(200);
        unpublished = s.put(side, kind, claimed, committed) || unpublished;
        break;
      }
    }
  }
  return s.json();
}

}  // namespace

std::string golden_ring_json() {
  const std::string scenarios[] = {
      small_frames(),
      padding(),
      wrap(),
      full(),
      sleeping(),
      marks(),
      hostile("a record longer than what was published", 0, 9, 1, 16),
      hostile("a record past the end of data", kCapacity - 16, 9, 1, 64),
      hostile("a length over the limit", 0, kCapacity / 4 - 7, 1, kCapacity),
      hostile("a length that wraps", 0, 0xfffffff9, 1, kCapacity),
      hostile("a tail beyond the capacity", 0, 8, 1, kCapacity + 8),
      hostile("a tail that is no multiple of 8", 0, 8, 1, 20),
      hostile("a tail behind the head", 64, 8, 1, 0u - 8),
      hostile("padding that does not reach the end", kCapacity - 64, 48, 0, 64),
      hostile("padding over the limit", 0, kCapacity - 8, 0, kCapacity),
      hostile("padding that was not published whole", kCapacity - 64, 56, 0, 56),
      hostile_head("a head that goes back", 0),
      hostile_head("a head past the tail", 40),
      hostile_head("a head that is no multiple of 8", 20),
      walk(1),
      walk(0x5eed),
  };
  std::string json = "{\"scenarios\":[\n";
  for (const std::string& scenario : scenarios) json += (&scenario == scenarios ? "" : ",\n") + scenario;
  return json + "\n]}\n";
}

}  // namespace tsf::shm::test
