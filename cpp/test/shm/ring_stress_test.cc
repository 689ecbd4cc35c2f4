// Two threads, both directions at once, every byte checked, over real doorbells. Run under ThreadSanitizer too: the
// protocol is written with operations that it understands.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "shm/segment.h"
#include "test/shm/stress_side.h"
#include "test/shm/two_files.h"

namespace tsf::shm::test {
namespace {

// gcc tells of a sanitizer by a macro, clang by a feature.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TSF_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define TSF_SANITIZED 1
#endif
#endif
#ifdef TSF_SANITIZED
constexpr std::uint64_t kBytes = 16u << 20;
#else
constexpr std::uint64_t kBytes = 256u << 20;
#endif

void exchange(std::optional<Endpoint> envoy, std::optional<Endpoint> host, std::uint32_t seed) {
  auto envoy_bell = Doorbell::create();
  auto host_bell = HostDoorbell::create();
  ASSERT_TRUE(envoy && host && envoy_bell && host_bell && envoy_bell->listen());
  StressSide a(*envoy, EnvoyBells{*envoy_bell, *host_bell}, seed, seed + 1, kBytes);
  StressSide b(*host, HostBells{host_bell->host_fd(), *envoy_bell}, seed + 1, seed, kBytes);
  std::string a_result, b_result;
  std::thread thread([&] { b_result = b.run(); });
  a_result = a.run();
  thread.join();
  EXPECT_EQ(a_result, "");
  EXPECT_EQ(b_result, "");
  EXPECT_GT(a.sleeps + b.sleeps, 0u);
  // One ring for each sleep at most; a sleep that sees news and is taken back may be rung for too.
  ::testing::Test::RecordProperty("sleeps", std::to_string(a.sleeps + b.sleeps));
  ::testing::Test::RecordProperty("rings", std::to_string(a.rings + b.rings));
  ::testing::Test::RecordProperty("frames", std::to_string(a.frames_in + b.frames_in));
}

void exchange_through_segments(std::uint32_t capacity, std::uint32_t seed) {
  auto outbound = Segment::create_outbound(capacity), inbound = Segment::create_inbound(capacity);
  ASSERT_TRUE(outbound && inbound);
  auto host_outbound = Segment::open_outbound(outbound->fd()), host_inbound = Segment::open_inbound(inbound->fd());
  ASSERT_TRUE(host_outbound && host_inbound);
  // Soon after the start the positions pass 2^32.
  auto* words = reinterpret_cast<FileHeader*>(outbound->writable().data());
  auto* host_words = reinterpret_cast<FileHeader*>(host_inbound->writable().data());
  words->tail = words->head = host_words->tail = host_words->head = 0u - capacity * 3;
  exchange(Endpoint::attach(outbound->writable(), inbound->bytes()),
           Endpoint::attach(host_inbound->writable(), host_outbound->bytes()), seed);
}

TEST(RingStress, ASmallRingThatIsFullMostOfTheTimeDeliversEveryByte) { exchange_through_segments(kMinCapacity, 11); }

TEST(RingStress, ALargeRingDeliversEveryByte) { exchange_through_segments(1u << 20, 23); }

// ThreadSanitizer knows memory by its address: through two mappings of one file it would see two memories and no
// sharing at all. Here both threads use the same addresses.
TEST(RingStress, ARingInOrdinaryMemoryDeliversEveryByteWithoutADataRace) {
  TwoFiles files;
  exchange(files.attach_a(), files.attach_b(), 47);
}

// The producer closes at any moment: each record was either handled, or is known not to have been.
TEST(RingStress, WhatWasNotTakenWhenTheRingIsClosedIsNeverHandled) {
  for (int round = 0; round < 300; ++round) {
    TwoFiles files;
    Endpoint a = files.attach_a(), b = files.attach_b();
    std::vector<std::uint64_t> ends;
    for (std::uint32_t i = 0; i < 400; ++i) {
      ASSERT_TRUE(put(a, 1 + i, 8));
      ends.push_back(a.position());
    }
    (void)a.publish();
    std::atomic<bool> begun{false};
    size_t handled = 0;  // the other thread's until it ends
    std::thread consumer([&] {
      begun.store(true, std::memory_order_release);  // release, acquire: only a start signal
      Frame frame;
      while (b.peek(frame) == Read::kFrame && b.take()) {
        b.pop();
        ++handled;
      }
    });
    while (!begun.load(std::memory_order_acquire)) {
    }
    // It goes on meanwhile, in each round for another time.
    for (int looks = round % 50 * 4; looks > 0; --looks) (void)a.unread();
    a.close();
    size_t untaken = 0;
    while (untaken < ends.size() && !a.has_taken(ends[ends.size() - 1 - untaken])) ++untaken;
    consumer.join();
    ASSERT_LE(handled + untaken, ends.size());
    // It takes one more than it handles at most.
    ASSERT_GE(handled + untaken + 1, ends.size());
  }
}

}  // namespace
}  // namespace tsf::shm::test
