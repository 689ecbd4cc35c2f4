#include "core/frame.h"

#include <gtest/gtest.h>

#include <random>

namespace tsf::core {
namespace {

using flatbuffers::FlatBufferBuilder;

std::mt19937_64& random_engine() {
  static std::mt19937_64 engine(20240607);
  return engine;
}
uint32_t any_u32() {
  // Zero often: forced defaults are what a template stands or falls with.
  return random_engine()() % 4 == 0 ? 0 : static_cast<uint32_t>(random_engine()());
}
std::string any_bytes() {
  std::string out(1 + random_engine()() % 300, '\0');
  for (char& c : out) c = static_cast<char>(random_engine()());
  return out;
}

flatbuffers::Offset<flatbuffers::Vector<uint8_t>> vector_of(FlatBufferBuilder& b, const std::string& bytes) {
  b.ForceVectorAlignment(bytes.size(), 1, 8);
  return b.CreateVector(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

// The Builder pads a vector's end to a multiple of 8, a table without one not at all; a frame ends with its last byte.
void expect_same(const std::vector<uint64_t>& frame, size_t size, const FlatBufferBuilder& built,
                 const std::string& tail, bool has_tail) {
  ASSERT_EQ(has_tail ? (size + 7) / 8 * 8 : size, built.GetSize());
  EXPECT_EQ(std::memcmp(frame.data(), built.GetBufferPointer(), size), 0);
  for (size_t i = size; i < built.GetSize(); ++i) EXPECT_EQ(built.GetBufferPointer()[i], 0);
  EXPECT_EQ(std::memcmp(reinterpret_cast<const char*>(frame.data()) + size - tail.size(), tail.data(), tail.size()), 0);
}

template <class T, class Patch, class Build>
void compare(const FrameTemplate<T>& shape, const std::string& tail, bool has_tail, Patch patch, Build build) {
  std::vector<uint64_t> frame((shape.size() + tail.size() + 7) / 8);
  auto* slot = reinterpret_cast<std::byte*>(frame.data());
  patch(*shape.place(slot));
  if (has_tail) std::memcpy(shape.tail(slot, static_cast<uint32_t>(tail.size())), tail.data(), tail.size());
  FlatBufferBuilder b;
  b.ForceDefaults(true);
  b.Finish(build(b));
  const size_t size = shape.size() + tail.size();
  expect_same(frame, size, b, tail, has_tail);
  EXPECT_NE(verified<T>(std::as_bytes(std::span(frame)).first(size)), nullptr);
}

constexpr int kRounds = 200;

TEST(FrameTemplates, HeadersIsWhatTheBuilderMakes) {
  for (int i = 0; i < kRounds; ++i) {
    const uint32_t stream = any_u32(), generation = any_u32(), config = any_u32(), route = any_u32(), count = any_u32(),
                   attributes = any_u32(), attempt = any_u32(), worker = any_u32();
    const auto type = static_cast<wire::HeaderType>(any_u32() % 4);
    const auto flags = static_cast<uint8_t>(any_u32());
    const std::string bytes = any_bytes();
    compare<wire::Headers>(
        frame_templates().headers, bytes, true,
        [&](wire::Headers& t) {
          t.mutate_stream(stream);
          t.mutate_generation(generation);
          t.mutate_type(type);
          t.mutate_flags(flags);
          t.mutate_config(config);
          t.mutate_route_config(route);
          t.mutate_count(count);
          t.mutate_attributes_length(attributes);
          t.mutate_attempt(attempt);
          t.mutate_worker(worker);
        },
        [&](FlatBufferBuilder& b) {
          return wire::CreateHeaders(b, stream, generation, type, flags, config, route, count, attributes, attempt,
                                     worker, vector_of(b, bytes));
        });
  }
}

TEST(FrameTemplates, DataIsWhatTheBuilderMakes) {
  for (int i = 0; i < kRounds; ++i) {
    const uint32_t stream = any_u32(), generation = any_u32();
    const auto direction = static_cast<wire::Direction>(any_u32() % 2);
    const auto flags = static_cast<uint8_t>(any_u32());
    const std::string bytes = any_bytes();
    compare<wire::Data>(
        frame_templates().data, bytes, true,
        [&](wire::Data& t) {
          t.mutate_stream(stream);
          t.mutate_generation(generation);
          t.mutate_direction(direction);
          t.mutate_flags(flags);
        },
        [&](FlatBufferBuilder& b) {
          return wire::CreateData(b, stream, generation, direction, flags, vector_of(b, bytes));
        });
  }
}

TEST(FrameTemplates, EndAndCreditAreWhatTheBuilderMakes) {
  for (int i = 0; i < kRounds; ++i) {
    const uint32_t stream = any_u32(), generation = any_u32(), bytes = any_u32();
    const auto reason = static_cast<wire::EndReason>(any_u32() % 6);
    compare<wire::End>(
        frame_templates().end, "", false,
        [&](wire::End& t) {
          t.mutate_stream(stream);
          t.mutate_generation(generation);
          t.mutate_reason(reason);
        },
        [&](FlatBufferBuilder& b) { return wire::CreateEnd(b, stream, generation, reason); });
    compare<wire::Credit>(
        frame_templates().credit, "", false,
        [&](wire::Credit& t) {
          t.mutate_stream(stream);
          t.mutate_generation(generation);
          t.mutate_of(wire::CreditOf_Reply);
          t.mutate_bytes(bytes);
        },
        [&](FlatBufferBuilder& b) { return wire::CreateCredit(b, stream, generation, wire::CreditOf_Reply, bytes); });
  }
}

TEST(FrameTemplates, QueryAnswerIsWhatTheBuilderMakes) {
  for (int i = 0; i < kRounds; ++i) {
    const uint32_t stream = any_u32(), generation = any_u32(), query = any_u32();
    const bool found = any_u32() % 2 == 0;
    const std::string bytes = any_bytes();
    compare<wire::QueryAnswer>(
        frame_templates().query_answer, bytes, true,
        [&](wire::QueryAnswer& t) {
          t.mutate_stream(stream);
          t.mutate_generation(generation);
          t.mutate_query(query);
          t.mutate_found(found);
        },
        [&](FlatBufferBuilder& b) {
          return wire::CreateQueryAnswer(b, stream, generation, query, found, vector_of(b, bytes));
        });
  }
}

// The Builder does not align an empty vector; ours stands where every other does, and reads the same.
TEST(FrameTemplates, AnEmptyBodyIsAFrameToo) {
  const auto& shape = frame_templates().data;
  std::vector<uint64_t> frame((shape.size() + 7) / 8);
  shape.place(reinterpret_cast<std::byte*>(frame.data()))->mutate_stream(9);
  const auto* data = verified<wire::Data>(std::as_bytes(std::span(frame)).first(shape.size()));
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(data->stream(), 9u);
  ASSERT_NE(data->bytes(), nullptr);
  EXPECT_EQ(data->bytes()->size(), 0u);
}

TEST(FrameTemplates, AreMultiplesOfEightSoThatBodiesAreAligned) {
  EXPECT_EQ(frame_templates().headers.size() % 8, 0u);
  EXPECT_EQ(frame_templates().data.size() % 8, 0u);
  EXPECT_EQ(frame_templates().query_answer.size() % 8, 0u);
}

// ---- verified<> ----

std::vector<uint64_t> output_frame(size_t& size) {
  FlatBufferBuilder b;
  b.Finish(wire::CreateOutput(b, 7, 9, wire::Direction_Response, 3, 11, vector_of(b, "some bytes of a body")));
  std::vector<uint64_t> copy((b.GetSize() + 7) / 8);
  size = b.GetSize();
  std::memcpy(copy.data(), b.GetBufferPointer(), size);
  return copy;
}

TEST(Verified, TakesWhatTheBuilderMade) {
  size_t size = 0;
  const auto frame = output_frame(size);
  const auto* output = verified<wire::Output>(std::as_bytes(std::span(frame)).first(size));
  ASSERT_NE(output, nullptr);
  EXPECT_EQ(output->stream(), 7u);
  EXPECT_EQ(output->generation(), 9u);
  EXPECT_EQ(output->direction(), wire::Direction_Response);
  EXPECT_EQ(output->flags(), 3);
  EXPECT_EQ(output->acknowledged(), 11u);
  EXPECT_EQ(view_of(output->bytes()), "some bytes of a body");
}

TEST(Verified, RefusesWhatIsCutShort) {
  size_t size = 0;
  const auto frame = output_frame(size);
  // Behind the vector's last byte there is only the Builder's padding.
  const size_t whole =
      reinterpret_cast<const uint8_t*>(view_of(flatbuffers::GetRoot<wire::Output>(frame.data())->bytes()).end()) -
      reinterpret_cast<const uint8_t*>(frame.data());
  for (size_t n = 0; n < whole; ++n) {
    std::vector<uint64_t> cut(n / 8 + 1);
    std::memcpy(cut.data(), frame.data(), n);
    EXPECT_EQ(verified<wire::Output>(std::as_bytes(std::span(cut)).first(n)), nullptr) << n;
  }
}

TEST(Verified, WhatItTakesCanBeReadWhole) {
  // Every flip of a bit and much garbage: either refused, or every field can be read inside the bytes.
  size_t size = 0;
  const auto good = output_frame(size);
  size_t sum = 0;
  const auto read = [&](const std::vector<uint64_t>& frame, size_t n) {
    const auto* t = verified<wire::Output>(std::as_bytes(std::span(frame)).first(n));
    if (t == nullptr) return false;
    sum += t->stream() + t->generation() + t->direction() + t->flags() + t->acknowledged();
    for (const char c : view_of(t->bytes())) sum += static_cast<unsigned char>(c);
    return true;
  };
  int refused = 0;
  for (size_t bit = 0; bit < size * 8; ++bit) {
    auto frame = good;
    reinterpret_cast<uint8_t*>(frame.data())[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    refused += read(frame, size) ? 0 : 1;
  }
  EXPECT_GT(refused, 50);
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint64_t> garbage(random_engine()() % 12);
    for (auto& word : garbage) word = random_engine()() & (random_engine()() | 0xff000000ffull);
    const size_t n = garbage.size() * 8;
    read(garbage, n == 0 ? 0 : n - random_engine()() % 8);
  }
  EXPECT_GT(sum, 0u);
}

TEST(Verified, AFrameWithoutItsVectorIsReadAsEmpty) {
  FlatBufferBuilder b;
  b.Finish(wire::CreateOutput(b, 1, 2));
  std::vector<uint64_t> copy((b.GetSize() + 7) / 8);
  std::memcpy(copy.data(), b.GetBufferPointer(), b.GetSize());
  const auto* output = verified<wire::Output>(std::as_bytes(std::span(copy)).first(b.GetSize()));
  ASSERT_NE(output, nullptr);
  EXPECT_EQ(view_of(output->bytes()), "");
}

// ---- BlockReader ----

std::string block(std::initializer_list<uint32_t> numbers, std::string_view rest = "") {
  std::string out;
  for (const uint32_t n : numbers) out.append(reinterpret_cast<const char*>(&n), sizeof n);
  return out.append(rest);
}

TEST(BlockReader, ReadsPairsInOrder) {
  const std::string bytes = block({1, 3}, "abcd") + block({0, 0}) + block({2, 0}, "xy");
  BlockReader reader(bytes);
  std::string_view name, value;
  ASSERT_TRUE(reader.pair(name, value));
  EXPECT_EQ(name, "a");
  EXPECT_EQ(value, "bcd");
  ASSERT_TRUE(reader.pair(name, value));
  EXPECT_EQ(name, "");
  EXPECT_EQ(value, "");
  ASSERT_TRUE(reader.pair(name, value));
  EXPECT_EQ(name, "xy");
  EXPECT_TRUE(reader.done());
}

TEST(BlockReader, RefusesLengthsBeyondItsBytes) {
  for (const auto& bytes : {block({1, 3}, "abc"), block({4, 0}, "abc"), block({UINT32_MAX, UINT32_MAX}, "abc"),
                            block({0, UINT32_MAX}), block({UINT32_MAX, 0}, "abc"), block({UINT32_MAX - 7, 8}, "abc"),
                            block({1}), std::string("abc"), block({0x80000000u, 0x80000000u}, "abc")}) {
    BlockReader reader(bytes);
    std::string_view name, value;
    EXPECT_FALSE(reader.pair(name, value)) << bytes.size();
  }
}

TEST(BlockReader, OnGarbageItEndsAndStaysInside) {
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = any_bytes();
    if (!bytes.empty() && i % 2 == 0)
      for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<char>(bytes[at] & (at % 4 == 0 ? 0x0f : 0));
    BlockReader reader(bytes);
    std::string_view name, value;
    size_t read = 0;
    while (!reader.done() && reader.pair(name, value)) {
      read += 8 + name.size() + value.size();
      ASSERT_LE(read, bytes.size());
      if (!name.empty()) {
        ASSERT_GE(name.data(), bytes.data());
        ASSERT_LE(name.data() + name.size(), bytes.data() + bytes.size());
      }
    }
  }
}

}  // namespace
}  // namespace tsf::core
