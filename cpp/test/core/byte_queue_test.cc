#include "core/byte_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace tsf::core {
namespace {

std::string drained(ByteQueue& queue, size_t most = SIZE_MAX) {
  std::string out;
  while (!queue.empty()) {
    const auto piece = queue.front().substr(0, most);
    out += piece;
    queue.pop(piece.size());
  }
  return out;
}

TEST(ByteQueue, IsEmptyAtFirst) {
  MemoryCount count;
  ByteQueue queue(count);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_TRUE(queue.front().empty());
}

TEST(ByteQueue, KeepsOrderOverSmallAndLargePieces) {
  MemoryCount count;
  ByteQueue queue(count);
  const std::string large(10000, 'L');
  queue.append("ab");
  queue.append("");
  queue.append("cd");
  queue.append(large);
  queue.append("ef");
  EXPECT_EQ(queue.size(), 10006u);
  EXPECT_EQ(drained(queue), "abcd" + large + "ef");
  EXPECT_TRUE(queue.empty());
}

TEST(ByteQueue, SmallPiecesShareOneAllocation) {
  MemoryCount count;
  ByteQueue queue(count);
  for (int i = 0; i < 1000; ++i) queue.append("four");
  EXPECT_EQ(queue.front().size(), 4000u);
}

TEST(ByteQueue, AppendingToAPieceThatIsHalfReadLosesNothing) {
  MemoryCount count;
  ByteQueue queue(count);
  queue.append("abcdef");
  queue.pop(4);
  queue.append("gh");
  EXPECT_EQ(queue.size(), 4u);
  EXPECT_EQ(drained(queue), "efgh");
}

TEST(ByteQueue, IsUsableAfterClear) {
  MemoryCount count;
  ByteQueue queue(count);
  queue.append(std::string(9000, 'x'));
  queue.append("y");
  queue.pop(100);
  queue.clear();
  EXPECT_TRUE(queue.empty());
  queue.append("z");
  EXPECT_EQ(drained(queue), "z");
}

TEST(ByteQueue, CountsWhatItHoldsUntilItDies) {
  MemoryCount count;
  {
    ByteQueue one(count);
    ByteQueue two(count);
    one.append("four");
    two.append("fivefive");
    EXPECT_EQ(count.bytes, 12);
    one.pop(1);
    two.take(one);
    EXPECT_EQ(count.bytes, 11);
    EXPECT_TRUE(one.empty());
    std::string all;
    two.each([&](std::string_view piece) { all += piece; });
    EXPECT_EQ(all, "fivefiveour");
  }
  EXPECT_EQ(count.bytes, 0);
}

TEST(ByteQueue, BehavesAsOneStringWould) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    MemoryCount count;
    ByteQueue queue(count);
    std::string model;
    for (int step = 0; step < 400; ++step) {
      if (random() % 2 == 0) {
        std::string piece(random() % (random() % 8 == 0 ? 9000 : 50), '\0');
        for (char& c : piece) c = static_cast<char>(random());
        queue.append(piece);
        model += piece;
      } else if (!queue.empty()) {
        const auto front = queue.front();
        ASSERT_FALSE(front.empty());
        ASSERT_EQ(front, std::string_view(model).substr(0, front.size()));
        const size_t n = 1 + random() % front.size();
        queue.pop(n);
        model.erase(0, n);
      }
      ASSERT_EQ(queue.size(), model.size());
      if (random() % 300 == 0) {
        queue.clear();
        model.clear();
      }
    }
    EXPECT_EQ(drained(queue, 700), model);
  }
}

}  // namespace
}  // namespace tsf::core
