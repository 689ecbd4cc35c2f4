// Frames claimed, patched and committed in one place.
#include "core/frame_writer.h"

#include <gtest/gtest.h>

#include "test/core/scripted_host.h"

namespace tsf::core::test {
namespace {

constexpr StreamId kStream{5, 9};

class FrameWriterTest : public testing::Test {
 protected:
  FrameWriterTest() { std::tie(channel_, host_) = ScriptedHost::connect(64 << 10, 1); }
  void TearDown() override { EXPECT_EQ(host_->violations(), std::vector<std::string>{}); }
  bool data(std::string_view bytes) {
    return writer().write(wire::FrameKind_Data, frame_templates().data, bytes.size(),
                          [&](wire::Data& frame, FrameBytes& out) {
                            frame.mutate_direction(wire::Direction_Response);
                            frame.mutate_flags(wire::DataFlag_Last);
                            out.put(bytes);
                          });
  }
  FrameWriter writer() { return FrameWriter(*channel_, kStream); }
  std::vector<Heard> hear() {
    channel_->publish();
    return host_->read();
  }

  std::shared_ptr<Channel> channel_;
  std::unique_ptr<ScriptedHost> host_;
};

TEST_F(FrameWriterTest, NamesItsStreamAndWritesItsBytes) {
  ASSERT_TRUE(data("some bytes"));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].slot, kStream.slot);
  EXPECT_EQ(heard[0].generation, kStream.generation);
  EXPECT_EQ(heard[0].type, wire::Direction_Response);
  EXPECT_EQ(heard[0].flags, wire::DataFlag_Last);
  EXPECT_EQ(heard[0].bytes, "some bytes");
}

TEST_F(FrameWriterTest, BytesAreWrittenFrontToBack) {
  ASSERT_TRUE(writer().write(wire::FrameKind_Data, frame_templates().data, 6, [](wire::Data&, FrameBytes& out) {
    out.put("ab");
    out.put(nullptr, 0);
    out.put("cdef");
  }));
  EXPECT_EQ(hear().at(0).bytes, "abcdef");
}

TEST_F(FrameWriterTest, AFrameOfEveryLengthComesAsItWas) {
  std::string bytes;
  for (int length = 0; length < 40; ++length, bytes += static_cast<char>('a' + length % 26)) {
    ASSERT_TRUE(data(bytes));
    EXPECT_EQ(hear().at(0).bytes, bytes);
  }
}

TEST_F(FrameWriterTest, TheLargestFrameFitsAndOneMoreByteDoesNot) {
  const uint32_t room = writer().room(frame_templates().data);
  ASSERT_LT(room, Channel::kMaxBody);
  ASSERT_TRUE(data(std::string(room, 'x')));
  EXPECT_EQ(hear().at(0).bytes.size(), room);
}

TEST_F(FrameWriterTest, AFullRingTakesNothingOfAFrame) {
  size_t sent = 0;
  while (data(std::string(5000, 'x'))) ++sent;
  EXPECT_GT(sent, 5u);
  EXPECT_FALSE(data(std::string(5000, 'x')));
  const auto heard = hear();
  EXPECT_EQ(heard.size(), sent);
  EXPECT_TRUE(data(std::string(5000, 'x'))) << "and there is room again";
  EXPECT_EQ(hear().size(), 1u);
}

TEST_F(FrameWriterTest, WhatCannotWaitInAStreamWaitsInTheChannel) {
  while (data(std::string(1000, 'x'))) {
  }
  while (data("")) {
  }
  for (uint32_t n = 1; n <= 3; ++n)
    writer().write_or_owe(wire::FrameKind_Credit, frame_templates().credit, 0,
                          [&](wire::Credit& credit, FrameBytes&) { credit.mutate_bytes(n); });
  EXPECT_FALSE(data("y")) << "nothing overtakes it";
  hear();
  EXPECT_TRUE(data("y"));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 4u);
  for (uint32_t n = 1; n <= 3; ++n) {
    EXPECT_EQ(heard[n - 1].kind, wire::FrameKind_Credit);
    EXPECT_EQ(heard[n - 1].number, n);
    EXPECT_EQ(heard[n - 1].slot, kStream.slot);
  }
  EXPECT_EQ(heard[3].bytes, "y");
}

}  // namespace
}  // namespace tsf::core::test
