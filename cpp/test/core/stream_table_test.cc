#include "core/stream_table.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace tsf::core {
namespace {

// The table never looks into a stream.
WorkerStream& stream_at(size_t n) { return *reinterpret_cast<WorkerStream*>(8 * (n + 1)); }

TEST(StreamTable, ANumberNamesOneStreamOnly) {
  StreamTable table;
  const StreamId first = table.add(stream_at(1));
  EXPECT_EQ(table.find(first), &stream_at(1));
  table.remove(first);
  EXPECT_EQ(table.find(first), nullptr);
  const StreamId second = table.add(stream_at(2));
  EXPECT_EQ(second.slot, first.slot) << "slots are used again";
  EXPECT_EQ(table.find(first), nullptr);
  EXPECT_EQ(table.find(second), &stream_at(2));
  EXPECT_EQ(table.find({second.slot, 0}), nullptr);
  EXPECT_EQ(table.find({second.slot + 1, second.generation}), nullptr);
}

TEST(StreamTable, AnyIsOneThatLives) {
  StreamTable table;
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.any(), nullptr);
  std::vector<StreamId> ids;
  for (size_t i = 0; i < 5; ++i) ids.push_back(table.add(stream_at(i)));
  for (const size_t gone : {4, 0, 2, 1}) {
    table.remove(ids[gone]);
    ASSERT_FALSE(table.empty());
    bool lives = false;
    table.each([&](WorkerStream& stream, StreamId) { lives |= &stream == table.any(); });
    EXPECT_TRUE(lives) << "after " << gone;
  }
  EXPECT_EQ(table.any(), &stream_at(3));
  table.remove(ids[3]);
  EXPECT_TRUE(table.empty());
}

TEST(StreamTable, EachSkipsWhatItsCallRemoves) {
  StreamTable table;
  std::vector<StreamId> ids;
  for (size_t i = 0; i < 4; ++i) ids.push_back(table.add(stream_at(i)));
  std::vector<WorkerStream*> seen;
  table.each([&](WorkerStream& stream, StreamId id) {
    seen.push_back(&stream);
    EXPECT_EQ(table.find(id), &stream);
    if (&stream == &stream_at(1)) {
      table.remove(ids[1]);
      table.remove(ids[2]);
    }
  });
  EXPECT_EQ(seen, (std::vector<WorkerStream*>{&stream_at(0), &stream_at(1), &stream_at(3)}));
}

// A worker that once had many streams and has few now looks for its next one each time one ends.
TEST(StreamTable, AnyDoesNotLookThroughDeadSlots) {
  constexpr size_t kPeak = 300'000;
  StreamTable table;
  std::vector<StreamId> ids;
  for (size_t i = 0; i < kPeak; ++i) ids.push_back(table.add(stream_at(i)));
  for (size_t i = 0; i + 1 < kPeak; ++i) table.remove(ids[i]);
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(table.any(), &stream_at(kPeak - 1));
  // A scan takes 3e10 steps.
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
}

}  // namespace
}  // namespace tsf::core
