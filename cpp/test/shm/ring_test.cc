// The ring in one thread: bytes, wrap, padding, room, hostile files, and who rings when.
#include "shm/ring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "test/shm/two_files.h"

namespace tsf::shm::test {
namespace {

constexpr std::uint32_t kCapacity = kMinCapacity;

struct Taken {
  std::uint32_t kind;
  std::vector<std::byte> bytes;
};

std::vector<Taken> take_all(Endpoint& endpoint) {
  std::vector<Taken> taken;
  Frame frame;
  Read read;
  while ((read = endpoint.peek(frame)) == Read::kFrame) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frame.payload.data()) % 8, 0u);
    taken.push_back({frame.kind, {frame.payload.begin(), frame.payload.end()}});
    endpoint.pop();
  }
  EXPECT_EQ(read, Read::kEmpty);
  return taken;
}

// ---- producer and consumer ----

TEST(Ring, AFrameArrivesWithItsKindAndBytesOnceItIsPublished) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(put(a, 7, 5, 0x11));
  EXPECT_TRUE(take_all(b).empty());
  EXPECT_FALSE(b.pending());
  EXPECT_FALSE(a.publish());  // b does not sleep
  EXPECT_TRUE(b.pending());
  const auto taken = take_all(b);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].kind, 7u);
  EXPECT_EQ(taken[0].bytes, std::vector<std::byte>(5, std::byte{0x11}));
}

TEST(Ring, TheBytesOfARecordAreLengthKindAndPayloadUpToAMultipleOfEight) {
  TwoFiles files;
  Endpoint a = files.attach_a();
  put(a, 0x01020304, 9, 0xee);
  put(a, 5, 0);
  (void)a.publish();
  EXPECT_EQ(files.a.header().tail, 24u + 8u);
  std::uint32_t words[8];
  std::memcpy(words, files.a.data().data(), sizeof words);
  EXPECT_EQ(words[0], 9u);
  EXPECT_EQ(words[1], 0x01020304u);
  EXPECT_EQ(words[2], 0xeeeeeeeeu);
  EXPECT_EQ(words[4], 0xeeu);
  EXPECT_EQ(words[6], 0u);
  EXPECT_EQ(words[7], 5u);
}

TEST(Ring, AnAbortedOrReplacedClaimLeavesNoTrace) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_NE(a.claim(1, 100).data(), nullptr);
  a.abort();
  ASSERT_NE(a.claim(2, 100).data(), nullptr);
  ASSERT_NE(a.claim(3, 8).data(), nullptr);
  a.commit(8);
  EXPECT_FALSE(a.publish());
  EXPECT_EQ(files.a.header().tail, 16u);
  const auto taken = take_all(b);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].kind, 3u);
}

TEST(Ring, AClaimCanBeCommittedShorter) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_NE(a.claim(1, 1000).data(), nullptr);
  a.commit(3);
  (void)a.publish();
  EXPECT_EQ(files.a.header().tail, 16u);
  EXPECT_EQ(take_all(b)[0].bytes.size(), 3u);
}

TEST(Ring, KindZeroAndTooLongPayloadsAreRefusedAndDoNotStarve) {
  TwoFiles files;
  Endpoint a = files.attach_a();
  EXPECT_EQ(a.max_payload(), kCapacity / 4 - 8);
  EXPECT_EQ(a.claim(0, 8).data(), nullptr);
  EXPECT_EQ(a.claim(1, a.max_payload() + 1).data(), nullptr);
  EXPECT_EQ(a.claim(1, std::numeric_limits<std::uint32_t>::max()).data(), nullptr);
  EXPECT_FALSE(a.has_room(a.max_payload() + 1));
  EXPECT_FALSE(a.starved());
  EXPECT_NE(a.claim(1, a.max_payload()).data(), nullptr);
}

TEST(Ring, ALongestPayloadFitsAnEmptyRingWhereverItStands) {
  for (std::uint32_t position = 0; position < kCapacity; position += 8) {
    TwoFiles files;
    files.start_at(position);
    Endpoint a = files.attach_a(), b = files.attach_b();
    ASSERT_TRUE(put(a, 1, a.max_payload())) << position;
    (void)a.publish();
    ASSERT_EQ(take_all(b).size(), 1u) << position;
  }
}

TEST(Ring, PaddingFillsTheRestWhenARecordDoesNotFitBeforeTheEnd) {
  TwoFiles files;
  files.start_at(kCapacity - 24);
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(put(a, 9, 17));
  (void)a.publish();
  EXPECT_EQ(files.a.header().tail, kCapacity + 32);
  RecordHeader padding, record;
  std::memcpy(&padding, files.a.data().data() + kCapacity - 24, 8);
  std::memcpy(&record, files.a.data().data(), 8);
  EXPECT_EQ(padding.length, 16u);
  EXPECT_EQ(padding.kind, kPaddingKind);
  EXPECT_EQ(record.length, 17u);
  const auto taken = take_all(b);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].kind, 9u);
  (void)b.release();
  EXPECT_EQ(files.b.header().head, kCapacity + 32);
}

TEST(Ring, ARecordThatEndsExactlyAtTheEndNeedsNoPadding) {
  TwoFiles files;
  files.start_at(kCapacity - 24);
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(put(a, 9, 16));
  ASSERT_TRUE(put(a, 10, 0));
  (void)a.publish();
  EXPECT_EQ(files.a.header().tail, kCapacity + 8);
  EXPECT_EQ(take_all(b).size(), 2u);
}

TEST(Ring, TheShortestRestTakesAPaddingOfNoBytes) {
  TwoFiles files;
  files.start_at(kCapacity - 8);
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(put(a, 9, 1));
  (void)a.publish();
  EXPECT_EQ(files.a.header().tail, kCapacity + 16);
  EXPECT_EQ(take_all(b).size(), 1u);
}

TEST(Ring, PositionsWrapAtTwoToThe32) {
  TwoFiles files;
  files.start_at(0u - 64);
  Endpoint a = files.attach_a(), b = files.attach_b();
  for (int i = 0; i < 20; i++) {
    ASSERT_TRUE(put(a, 1, 16, static_cast<std::uint8_t>(i)));
    (void)a.publish();
    const auto taken = take_all(b);
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].bytes[0], static_cast<std::byte>(i));
    (void)b.release();
    EXPECT_EQ(a.unread(), 0u);
  }
  EXPECT_EQ(files.a.header().tail, 20u * 24 + 16 - 64);  // 16: padding before the end of data, which is at 2^32
}

TEST(Ring, AFullRingTakesNothingAndLosesNothing) {
  for (const std::uint32_t start : {0u, 0u - kCapacity / 2, kCapacity - 8}) {
    TwoFiles files;
    files.start_at(start);
    Endpoint a = files.attach_a(), b = files.attach_b();
    std::uint32_t sent = 0;
    while (put(a, 1 + sent, 1000)) sent++;
    (void)a.publish();
    EXPECT_GT(sent, 60u);
    EXPECT_TRUE(a.starved());
    const auto taken = take_all(b);
    ASSERT_EQ(taken.size(), sent);
    EXPECT_EQ(taken.back().kind, sent);
    EXPECT_FALSE(a.has_room(1000));  // popped is not released
    (void)b.release();
    EXPECT_TRUE(a.has_room(1000));
    EXPECT_TRUE(put(a, 1, 1000));
  }
}

TEST(Ring, ARingCanBeFilledToItsLastByte) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  for (int i = 0; i < 4; i++) ASSERT_TRUE(put(a, 1, a.max_payload()));
  (void)a.publish();
  EXPECT_EQ(a.unread(), kCapacity);
  EXPECT_FALSE(put(a, 1, 0));
  EXPECT_EQ(take_all(b).size(), 4u);
}

TEST(Ring, UnreadAndPeerHeadShowAPeerThatHasStopped) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  put(a, 1, 8);
  EXPECT_EQ(a.unread(), 0u);  // not published
  put(a, 1, 8);
  (void)a.publish();
  EXPECT_EQ(a.unread(), 32u);
  Frame frame;
  ASSERT_EQ(b.peek(frame), Read::kFrame);
  b.pop();
  (void)b.release();
  EXPECT_EQ(a.unread(), 16u);
  EXPECT_EQ(a.peer_head(), 16u);
}

TEST(Ring, AnEndpointGoesOnWhereItsFileStands) {
  TwoFiles files;
  {
    Endpoint a = files.attach_a();
    put(a, 1, 8);
    (void)a.publish();
  }
  Endpoint a = files.attach_a(), b = files.attach_b();
  put(a, 2, 8);
  (void)a.publish();
  EXPECT_EQ(take_all(b).size(), 2u);
}

// ---- files that are none ----

TEST(Ring, AttachRefusesOtherSizesMagicsVersionsAndCapacities) {
  const auto attaches = [](auto spoil) {
    TwoFiles files;
    spoil(files);
    return Endpoint::attach(files.a.bytes(), files.b.bytes()).has_value();
  };
  EXPECT_TRUE(attaches([](TwoFiles&) {}));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().magic++; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().version = kVersion + 1; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().capacity *= 2; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.a.header().magic = 0; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.a.header().tail = 4; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().tail = kCapacity + 8; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().tail = 12; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().head = 8; }));
  EXPECT_FALSE(attaches([](TwoFiles& f) { f.b.header().head = 0u - kCapacity - 8; }));
  TwoFiles small, large(kCapacity * 2);
  EXPECT_FALSE(Endpoint::attach(small.a.bytes(), large.b.bytes()));
  EXPECT_FALSE(Endpoint::attach(small.a.bytes().first(4096), small.b.bytes()));
  EXPECT_FALSE(Endpoint::attach({}, {}));
}

// ---- a hostile peer ----

// Peer b has written `length`, `kind` at `offset` and says that `published` bytes are there. a's first peek.
Read peek_at(std::uint32_t head, std::uint32_t length, std::uint32_t kind, std::uint32_t published) {
  TwoFiles files;
  files.a.header().head = files.b.header().tail = head;
  Endpoint a = files.attach_a();
  files.b.put_record(head & (kCapacity - 1), length, kind);
  files.b.header().tail = head + published;
  Frame frame;
  const Read read = a.peek(frame);
  if (read == Read::kFrame) {
    // Whatever is accepted lies inside data.
    const auto* data = files.b.data().data();
    EXPECT_GE(frame.payload.data(), data);
    EXPECT_LE(frame.payload.data() + frame.payload.size(), data + kCapacity);
  }
  EXPECT_EQ(read == Read::kMalformed, a.broken());
  return read;
}

TEST(HostilePeer, ARecordMustLieWithinWhatWasPublished) {
  EXPECT_EQ(peek_at(0, 8, 1, 16), Read::kFrame);
  EXPECT_EQ(peek_at(0, 9, 1, 16), Read::kMalformed);
  EXPECT_EQ(peek_at(0, 9, 1, 24), Read::kFrame);
  EXPECT_EQ(peek_at(0, 1, 1, 8), Read::kMalformed);
  EXPECT_EQ(peek_at(0, 0, 1, 8), Read::kFrame);
}

TEST(HostilePeer, ARecordMustEndBeforeTheEndOfData) {
  EXPECT_EQ(peek_at(kCapacity - 16, 8, 1, 64), Read::kFrame);
  EXPECT_EQ(peek_at(kCapacity - 16, 9, 1, 64), Read::kMalformed);
  EXPECT_EQ(peek_at(kCapacity - 8, 0, 1, 64), Read::kFrame);
  EXPECT_EQ(peek_at(kCapacity - 8, 1, 1, 64), Read::kMalformed);
}

TEST(HostilePeer, ALengthAboveTheLimitIsMalformedHoweverItWraps) {
  EXPECT_EQ(peek_at(0, kCapacity / 4 - 8, 1, kCapacity), Read::kFrame);
  for (const std::uint32_t length :
       {kCapacity / 4 - 7, kCapacity, 0x7fffffffu, 0x80000000u, 0xfffffff0u, 0xfffffff9u, 0xffffffffu}) {
    EXPECT_EQ(peek_at(0, length, 1, kCapacity), Read::kMalformed) << length;
  }
}

TEST(HostilePeer, AnImpossibleTailIsMalformed) {
  EXPECT_EQ(peek_at(0, 0, 1, kCapacity), Read::kFrame);
  for (const std::uint32_t published : {kCapacity + 8, 4u, 12u, 0x80000000u, 0u - 8u}) {
    EXPECT_EQ(peek_at(0, 0, 1, published), Read::kMalformed) << published;
  }
}

TEST(HostilePeer, PaddingMustReachTheEndOfDataAndStayBelowAQuarter) {
  EXPECT_EQ(peek_at(kCapacity - 64, 56, 0, 64), Read::kEmpty);
  EXPECT_EQ(peek_at(kCapacity - 64, 48, 0, 64), Read::kMalformed);
  EXPECT_EQ(peek_at(kCapacity - 64, 57, 0, 64), Read::kMalformed);
  EXPECT_EQ(peek_at(kCapacity - 64, 56, 0, 56), Read::kMalformed);
  EXPECT_EQ(peek_at(0, kCapacity - 8, 0, kCapacity), Read::kMalformed);
}

TEST(HostilePeer, PaddingAfterPaddingIsMalformed) {
  TwoFiles files;
  files.a.header().head = files.b.header().tail = kCapacity - 8;
  Endpoint a = files.attach_a();
  files.b.put_record(kCapacity - 8, 0, 0);
  files.b.put_record(0, 0, 0);
  files.b.header().tail = kCapacity + 64;
  Frame frame;
  EXPECT_EQ(a.peek(frame), Read::kMalformed);
}

TEST(HostilePeer, ATailThatGoesBackIsMalformed) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  put(b, 1, 8);
  put(b, 1, 8);
  (void)b.publish();
  EXPECT_EQ(take_all(a).size(), 2u);
  files.b.header().tail = 16;
  Frame frame;
  EXPECT_EQ(a.peek(frame), Read::kMalformed);
}

TEST(HostilePeer, ATailMayNotPassWhatIsNotYetReleased) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  put(b, 1, 8);
  (void)b.publish();
  EXPECT_EQ(take_all(a).size(), 1u);  // popped, not released: those 16 bytes may still be read
  files.b.header().tail = kCapacity + 8;
  Frame frame;
  EXPECT_EQ(a.peek(frame), Read::kMalformed);
}

TEST(HostilePeer, AHeadThatGoesBackOrPastTheTailBreaksTheEndpoint) {
  for (const std::uint32_t head : {0u, 40u, 20u, 0x80000000u}) {
    TwoFiles files;
    Endpoint a = files.attach_a();
    put(a, 1, 8);
    put(a, 1, 8);
    (void)a.publish();
    files.b.header().head = 16;
    ASSERT_EQ(a.unread(), 16u);
    files.b.header().head = head;
    EXPECT_EQ(a.unread(), std::nullopt) << head;
    EXPECT_TRUE(a.broken());
  }
}

TEST(HostilePeer, AHeadCannotFreeWhatIsOnlyCommitted) {
  TwoFiles files;
  Endpoint a = files.attach_a();
  put(a, 1, 8);
  files.b.header().head = 16;
  EXPECT_EQ(a.unread(), std::nullopt);
}

TEST(HostilePeer, ABrokenEndpointClaimsAndReadsNothingForGood) {
  TwoFiles files;
  Endpoint a = files.attach_a();
  files.b.header().tail = 4;
  Frame frame;
  ASSERT_EQ(a.peek(frame), Read::kMalformed);
  files.b.header().tail = 0;
  EXPECT_EQ(a.peek(frame), Read::kMalformed);
  EXPECT_EQ(a.claim(1, 0).data(), nullptr);
  EXPECT_FALSE(a.has_room(0));
  EXPECT_FALSE(a.starved());
}

TEST(HostilePeer, RandomFilesNeverLeadOutOfTheData) {
  std::uint32_t state = 1;
  const auto random = [&state] {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
  };
  int frames = 0;
  for (int round = 0; round < 2000; round++) {
    TwoFiles files;
    const std::uint32_t head = random() & ~7u;
    files.a.header().head = files.b.header().tail = head;
    Endpoint a = files.attach_a();
    files.b.header().tail = head + (random() % (kCapacity + 1) & ~7u);
    for (std::uint32_t i = 0, at = head & (kCapacity - 1); i < 20 && at + 8 <= kCapacity; i++) {
      const std::uint32_t length = random() % 64 == 0 ? random() : random() % 600;
      files.b.put_record(at, length, random() % 4);
      at = (at + 8 + ((length % kCapacity + 7) & ~7u)) % kCapacity;
    }
    Frame frame;
    std::uint32_t sum = 0;
    while (a.peek(frame) == Read::kFrame) {
      for (const std::byte byte : frame.payload) sum += static_cast<std::uint8_t>(byte);  // the sanitizer watches
      a.pop();
      frames++;
    }
    (void)sum;
    (void)a.release();
  }
  EXPECT_GT(frames, 1000);
}

// ---- who rings when ----

TEST(Doorbells, ASleeperIsRungOnceForEachSleep) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(b.sleep());
  EXPECT_EQ(files.b.header().sleep, 1u);
  put(a, 1, 8);
  EXPECT_TRUE(a.publish());
  put(a, 1, 8);
  EXPECT_FALSE(a.publish());  // rung for this sleep already
  b.wake();
  EXPECT_EQ(files.b.header().sleep, 2u);
  EXPECT_EQ(take_all(b).size(), 2u);
  (void)b.release();
  put(a, 1, 8);
  EXPECT_FALSE(a.publish());  // awake
  take_all(b);
  (void)b.release();
  ASSERT_TRUE(b.sleep());
  put(a, 1, 8);
  EXPECT_TRUE(a.publish());
}

TEST(Doorbells, NothingPublishedRingsNobody) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(b.sleep());
  EXPECT_FALSE(a.publish());
  EXPECT_FALSE(a.release());
}

TEST(Doorbells, SleepSeesAFrameThatCameMeanwhile) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  put(a, 1, 8);
  EXPECT_FALSE(a.publish());
  EXPECT_FALSE(b.sleep());
  EXPECT_EQ(files.b.header().sleep, 2u);
  EXPECT_FALSE(b.asleep());
}

TEST(Doorbells, FallingAsleepAgainWithoutWakingAsksForANewRing) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  ASSERT_TRUE(b.sleep());
  put(a, 1, 8);
  EXPECT_TRUE(a.publish());
  take_all(b);
  (void)b.release();
  ASSERT_TRUE(b.sleep());
  EXPECT_EQ(files.b.header().sleep, 3u);
  put(a, 1, 8);
  EXPECT_TRUE(a.publish());
}

TEST(Doorbells, AStarvedSleeperIsRungWhenRoomComes) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  while (put(a, 1, 1000)) {
  }
  (void)a.publish();
  EXPECT_EQ(files.a.header().starved, 1u);
  ASSERT_TRUE(a.sleep());
  take_all(b);
  EXPECT_TRUE(b.release());
  a.wake();
  EXPECT_TRUE(put(a, 1, 1000));
  EXPECT_EQ(files.a.header().starved, 2u);
}

TEST(Doorbells, AnAwakeOrContentProducerIsNotRungWhenRoomComes) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  put(a, 1, 8);
  (void)a.publish();
  ASSERT_TRUE(a.sleep());  // asleep, but not starved
  take_all(b);
  EXPECT_FALSE(b.release());
  a.wake();
  while (put(a, 1, 1000)) {
  }
  (void)a.publish();
  take_all(b);
  EXPECT_FALSE(b.release());  // starved, but awake
  EXPECT_FALSE(a.sleep());    // and it sees the room by itself
}

TEST(Doorbells, RoomThatSomebodyElseAskedForIsStillNewsToSleep) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  while (put(a, 1, 1000)) {
  }
  (void)a.publish();
  take_all(b);
  EXPECT_FALSE(b.release());
  EXPECT_EQ(a.unread(), 0u);  // a stall check looks at the head between the failed claim and the sleep
  EXPECT_FALSE(a.sleep());
}

TEST(Doorbells, AClaimThatFailsWhileAsleepIsRungFor) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  while (a.has_room(1000)) put(a, 1, 1000);
  (void)a.publish();
  ASSERT_TRUE(a.sleep());
  EXPECT_FALSE(put(a, 1, 1000));
  take_all(b);
  EXPECT_TRUE(b.release());
}

// ---- marks ----

// Puts one and says where it ends.
std::uint64_t put_one(Endpoint& endpoint, std::uint32_t n = 16) {
  EXPECT_TRUE(put(endpoint, 1, n));
  return endpoint.position();
}
bool take_one(Endpoint& endpoint) {
  Frame frame;
  if (endpoint.peek(frame) != Read::kFrame) return false;
  const bool is_ours = endpoint.take();
  endpoint.pop();
  return is_ours;
}

TEST(Marks, WhatIsBehindTheLastRecordThatIsHandledWasNotTaken) {
  TwoFiles files;
  files.start_at(0u - 40);
  Endpoint a = files.attach_a(), b = files.attach_b();
  const std::uint64_t ends[] = {put_one(a), put_one(a), put_one(a)};
  const std::uint64_t unpublished = (static_cast<void>(a.publish()), put_one(a));
  ASSERT_TRUE(take_one(b));
  EXPECT_TRUE(take_one(b));  // in its handler
  a.close();
  EXPECT_TRUE(a.has_taken(ends[0]));
  EXPECT_TRUE(a.has_taken(ends[1]));
  EXPECT_FALSE(a.has_taken(ends[2]));
  EXPECT_FALSE(a.has_taken(unpublished));
}

TEST(Marks, AfterTheEndNothingIsTakenAnyMore) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  put_one(a);
  const std::uint64_t second = put_one(a);
  (void)a.publish();
  ASSERT_TRUE(take_one(b));
  a.close();
  EXPECT_FALSE(a.has_taken(second));
  EXPECT_FALSE(take_one(b)) << "it was asked before: so it must not be handled now";
}

TEST(Marks, ARecordThatWasReadLongAgoIsTakenHoweverFarTheRingHasGone) {
  TwoFiles files;
  Endpoint a = files.attach_a(), b = files.attach_b();
  const std::uint64_t early = put_one(a);
  // Once around 2^32, so that both stand where they stood.
  constexpr std::uint32_t kLong = max_payload(kCapacity);
  for (std::uint64_t sent = record_size(16); sent < (std::uint64_t{1} << 32) - record_size(kLong);) {
    const std::uint64_t before = a.position();
    ASSERT_TRUE(put(a, 1, kLong, 0));
    (void)a.publish();
    while (take_one(b)) (void)b.release();
    sent += a.position() - before;
  }
  put_one(a);
  (void)a.publish();
  a.close();
  EXPECT_TRUE(a.has_taken(early));
  EXPECT_FALSE(a.has_taken(a.position()));
}

TEST(Marks, AMarkThatCannotBeRightCountsForAll) {
  for (const std::uint32_t mark : {0u, 8u, 104u, 0x80000000u, 0u - 8}) {
    TwoFiles files;
    Endpoint a = files.attach_a(), b = files.attach_b();
    const std::uint64_t first = put_one(a);
    put_one(a);
    put_one(a);
    const std::uint64_t last = put_one(a);
    (void)a.publish();
    take_one(b);
    (void)b.release();
    files.b.header().taken = mark;
    a.close();
    EXPECT_TRUE(a.has_taken(first)) << mark;
    EXPECT_TRUE(a.has_taken(last)) << mark;
    EXPECT_FALSE(a.broken()) << mark;
  }
}

TEST(Marks, ABrokenPeerHasTakenAll) {
  TwoFiles files;
  Endpoint a = files.attach_a();
  const std::uint64_t end = put_one(a);
  (void)a.publish();
  files.b.header().head = 4096;
  a.close();
  EXPECT_TRUE(a.has_taken(end));
}

}  // namespace
}  // namespace tsf::shm::test
