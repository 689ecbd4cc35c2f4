// The shared file of one side of a channel: constants, header, byte map. docs/layout.md is the contract in prose;
// packages/sharedarraybuffer-ring/src/layout.ts is the same in TypeScript; test/golden/ring.json holds them together.
//
//      0       4       8        12     64      128     192     256       320     384      388    4096
//      +-------+-------+--------+------+-------+-------+-------+---------+-------+--------+------+------
//      | magic |version|capacity| zero | tail..| head..|sleep..|starved..|taken..| closed | zero | data
//      +-------+-------+--------+------+-------+-------+-------+---------+-------+--------+------+------
//
// Everything is a little endian u32 written by the file's owner alone. tail and what follows it sit on cache
// lines of their own: 64 bytes is written here as a number, because a compiler's idea of a cache line
// (hardware_destructive_interference_size) must never move a byte of a layout that two programs share.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace tsf::shm {

static_assert(std::endian::native == std::endian::little, "the layout is little endian and read in place");

inline constexpr std::uint32_t kMagic = 0x52465354;  // bytes "TSFR"
inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::uint32_t kDataOffset = 4096;
inline constexpr std::uint32_t kMinCapacity = 64u * 1024;
inline constexpr std::uint32_t kMaxCapacity = 256u * 1024 * 1024;

struct FileHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t capacity;  // bytes of data
  std::uint32_t zero0[13];
  std::uint32_t tail;  // published up to here in this file's data
  std::uint32_t zero1[15];
  std::uint32_t head;  // consumed up to here of the other file's data
  std::uint32_t zero2[15];
  std::uint32_t sleep;  // odd: the owner sleeps
  std::uint32_t zero3[15];
  std::uint32_t starved;  // odd: the owner waits for room in this file's data
  std::uint32_t zero4[15];
  std::uint32_t taken;  // the other file's data may have been handled up to here, and no further
  std::uint32_t zero5[15];
  std::uint32_t closed;  // not 0: nothing more of this file's data is to be handled
  std::uint32_t zero6[927];
};

static_assert(offsetof(FileHeader, magic) == 0);
static_assert(offsetof(FileHeader, version) == 4);
static_assert(offsetof(FileHeader, capacity) == 8);
static_assert(offsetof(FileHeader, tail) == 64);
static_assert(offsetof(FileHeader, head) == 128);
static_assert(offsetof(FileHeader, sleep) == 192);
static_assert(offsetof(FileHeader, starved) == 256);
static_assert(offsetof(FileHeader, taken) == 320);
static_assert(offsetof(FileHeader, closed) == 384);
static_assert(sizeof(FileHeader) == kDataOffset);

/// In front of every payload.
struct RecordHeader {
  std::uint32_t length;  // of the payload
  std::uint32_t kind;    // 0: padding up to the end of data
};

static_assert(offsetof(RecordHeader, length) == 0);
static_assert(offsetof(RecordHeader, kind) == 4);
static_assert(sizeof(RecordHeader) == 8);

inline constexpr std::uint32_t kRecordHeader = sizeof(RecordHeader);
inline constexpr std::uint32_t kPaddingKind = 0;

constexpr bool valid_capacity(std::uint64_t capacity) {
  return capacity >= kMinCapacity && capacity <= kMaxCapacity && std::has_single_bit(capacity);
}

constexpr std::uint64_t file_size(std::uint32_t capacity) { return std::uint64_t{kDataOffset} + capacity; }

/// Bytes in `data` of a record with `length` payload bytes; `length` is at most kMaxCapacity, so this cannot wrap.
constexpr std::uint32_t record_size(std::uint32_t length) { return kRecordHeader + ((length + 7) & ~7u); }

/// A record is at most a quarter of the ring, so that with the padding in front of it it always fits an empty one.
constexpr std::uint32_t max_payload(std::uint32_t capacity) { return capacity / 4 - kRecordHeader; }

}  // namespace tsf::shm
