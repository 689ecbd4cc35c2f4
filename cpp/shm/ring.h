// One side of a channel: a lock-free single-producer single-consumer ring each way over two files (layout.h).
//
//   position   a u32 that counts bytes and wraps at 2^32; `position & (capacity - 1)` is the offset in data, always
//              a multiple of 8. used = tail - head (mod 2^32).
//   producer   claim() room behind the private tail, write, commit() or abort(); publish() makes all commits visible
//              at once. A record never wraps: a padding record fills the rest of data in front of it.
//   consumer   peek() / pop() behind the private head; release() gives the room back. One that marks what it handles
//              calls take() between the two.
//   marks      take() says how far the consumer goes and then looks whether the producer has closed; a producer that
//              gives the channel up closes and then looks how far the consumer went. One of the two sees the other, so
//              that what lies behind the mark then was never handled, and never will be.
//   invariant  head <= published tail <= head + capacity, on both rings; each side writes its own file only.
//   wake-ups   a side that is about to wait makes its `sleep` odd and then looks again; the other side makes its news
//              visible and then looks at `sleep`. Each must be seen in that order by the other (Dekker), so these
//              stores and loads, and those of the marks, are seq_cst operations on the words themselves and not
//              fences: the same instructions on x86 and ARM64, and ThreadSanitizer understands them (it does not model
//              fences).
//
// The peer's file is hostile input: it may change at any time, its words may be anything. Every word of it is loaded
// once, by a relaxed or stronger atomic load, checked, and only then used. What fails a check makes the endpoint
// broken() for good: it claims nothing, reads nothing. Payload bytes may still change while they are read; a caller
// that verifies must copy first.
//
// Own words are never read back: private copies hold the truth. Not thread safe: one thread at a time per endpoint.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "shm/layout.h"

namespace tsf::shm {

struct Frame {
  std::uint32_t kind = 0;
  std::span<const std::byte> payload;  // valid until release(); starts at a multiple of 8 bytes
};

enum class Read { kEmpty, kFrame, kMalformed };

class Endpoint {
 public:
  /// `own`: mapped read-write. `peer`: at least readable. Both whole files of one capacity, and mapped for longer
  /// than the endpoint lives. Nothing when a header or a size is wrong, or the positions in them are impossible.
  /// An endpoint goes on where the own file's words stand.
  static std::optional<Endpoint> attach(std::span<std::byte> own, std::span<const std::byte> peer) {
    if (!valid_file(own) || !valid_file(peer) || own.size() != peer.size()) return std::nullopt;
    Endpoint endpoint(own, peer);
    if (endpoint.broken_) return std::nullopt;
    return endpoint;
  }

  /// Are these bytes a whole file with a header that we can read?
  static bool valid_file(std::span<const std::byte> file) {
    if (file.size() <= kDataOffset || !valid_capacity(file.size() - kDataOffset)) return false;
    return load(word(file, offsetof(FileHeader, magic)), std::memory_order_relaxed) == kMagic &&
           load(word(file, offsetof(FileHeader, version)), std::memory_order_relaxed) == kVersion &&
           load(word(file, offsetof(FileHeader, capacity)), std::memory_order_relaxed) == file.size() - kDataOffset;
  }

  std::uint32_t capacity() const { return mask_ + 1; }
  /// Longest payload of one frame.
  std::uint32_t max_payload() const { return shm::max_payload(capacity()); }
  /// The peer wrote something that no ring can contain: drop it.
  bool broken() const { return broken_; }

  // ---- producer ----

  /// Room for a frame with up to `n` payload bytes, starting at a multiple of 8. No room, `n` over max_payload() or
  /// kind 0: data() is nullptr (a claim of 0 bytes that succeeds has a data()). An open claim is given up by the
  /// next. Finding no room marks this side starved: the peer then rings when it has consumed, also if we sleep.
  std::span<std::byte> claim(std::uint32_t kind, std::uint32_t n) {
    claimed_ = false;
    if (kind == kPaddingKind || n > max_payload() || broken_) return {};
    if (!fits(n)) {
      refresh_head();
      if (!fits(n)) starve();
      if (!fits(n)) return {};
    }
    if (starved()) store_starved(starved_ + 1);
    const std::uint32_t rest = capacity() - (tail_ & mask_);
    padding_ = rest < record_size(n) ? rest : 0;
    claimed_ = true;
    claim_kind_ = kind;
    claim_length_ = n;
    return {own_data_ + ((tail_ + padding_) & mask_) + kRecordHeader, n};
  }

  /// Makes the claim a frame of `n` bytes, at most what was claimed. Visible after publish().
  void commit(std::uint32_t n) {
    assert(claimed_ && n <= claim_length_);
    if (!claimed_ || n > claim_length_) return;
    claimed_ = false;
    // Padding is written only now, so an aborted claim leaves no trace.
    if (padding_ != 0) {
      put_header(tail_, padding_ - kRecordHeader, kPaddingKind);
      tail_ += padding_;
    }
    put_header(tail_, n, claim_kind_);
    tail_ += record_size(n);
    position_ += padding_ + record_size(n);
  }

  void abort() { claimed_ = false; }

  /// Would claim(kind, n) succeed? Does not mark this side starved.
  bool has_room(std::uint32_t n) {
    if (n > max_payload()) return false;
    if (fits(n)) return true;
    refresh_head();
    return fits(n);
  }

  /// Bytes that are free, record headers and padding to come included. Does not mark this side starved.
  std::uint32_t room() {
    refresh_head();
    return broken_ ? 0 : capacity() - (tail_ - peer_head_);
  }

  /// Makes all commits visible. True: the peer sleeps and has not been rung for this sleep, ring it now.
  [[nodiscard]] bool publish() {
    if (tail_ == published_tail_) return false;
    published_tail_ = tail_;
    // seq_cst: publishes the records' bytes (release), and must be seen before our load of the peer's sleep.
    own_word(offsetof(FileHeader, tail)).store(tail_, std::memory_order_seq_cst);
    return must_ring();
  }

  /// Bytes that the peer has not consumed of what was published; nothing when the peer's head is impossible (and the
  /// endpoint is then broken). Together with peer_head() this shows a peer that has stopped reading.
  std::optional<std::uint32_t> unread() {
    refresh_head();
    if (broken_) return std::nullopt;
    return published_tail_ - peer_head_;
  }

  /// The peer's read position as last seen by any call above; checked, never behind an earlier one.
  std::uint32_t peer_head() const { return peer_head_; }
  /// Waiting for room.
  bool starved() const { return (starved_ & 1) != 0; }

  /// Behind the last commit, counted from the beginning of this endpoint; names the record that ends there.
  std::uint64_t position() const { return position_; }
  /// Nothing more of what this side wrote is to be handled, for good. Any thread, whoever uses the endpoint meanwhile.
  void close() const {
    // seq_cst: must be seen before the load of the peer's taken in has_taken(); pairs with take().
    own_word(offsetof(FileHeader, closed)).store(1, std::memory_order_seq_cst);
  }
  /// Of a closed endpoint: may a consumer that marks what it handles have handled the record that ends there? A mark
  /// that cannot be right counts for all.
  bool has_taken(std::uint64_t position) {
    // seq_cst: after close()'s store.
    const std::uint32_t taken = load(peer_word(offsetof(FileHeader, taken)), std::memory_order_seq_cst);
    refresh_head();
    const std::uint32_t behind = tail_ - taken;
    if (broken_ || behind > tail_ - peer_head_) return true;
    return position_ - position >= behind;
  }

  // ---- consumer ----

  /// The next frame, if there is one; stays the next until pop().
  Read peek(Frame& out) {
    if (broken_) return Read::kMalformed;
    if (!refresh_tail()) return broken_ ? Read::kMalformed : Read::kEmpty;
    RecordHeader header = get_header();
    std::uint32_t rest = capacity() - (head_ & mask_);
    if (header.kind == kPaddingKind) {
      // The length limit bounds the loop that a peer could make us run: padding cannot follow padding, since at the
      // start of data the rest is the whole ring.
      if (header.length != rest - kRecordHeader || header.length > max_payload() || rest > available()) return broke();
      head_ += rest;
      if (!refresh_tail()) return broken_ ? Read::kMalformed : Read::kEmpty;
      header = get_header();
      rest = capacity();
      if (header.kind == kPaddingKind) return broke();
    }
    if (header.length > max_payload()) return broke();
    const std::uint32_t size = record_size(header.length);
    if (size > rest || size > available()) return broke();
    frame_size_ = size;
    out.kind = header.kind;
    out.payload = {peer_data_ + (head_ & mask_) + kRecordHeader, header.length};
    return Read::kFrame;
  }

  /// Before the frame of the last peek() is handled: says so to its producer. False: it has closed, and the frame is
  /// not to be handled, nor any after it.
  [[nodiscard]] bool take() {
    assert(frame_size_ != 0);
    // seq_cst: must be seen before our load of closed; pairs with close() and has_taken().
    own_word(offsetof(FileHeader, taken)).store(head_ + frame_size_, std::memory_order_seq_cst);
    return load(peer_word(offsetof(FileHeader, closed)), std::memory_order_seq_cst) == 0;  // seq_cst: after our taken
  }

  /// Goes past the frame of the last peek(). Its bytes stay valid until release().
  void pop() {
    assert(frame_size_ != 0);
    head_ += frame_size_;
    frame_size_ = 0;
  }

  /// Gives all popped room back. True: the peer waits for room, sleeps, and has not been rung: ring it now.
  [[nodiscard]] bool release() {
    if (head_ == released_head_) return false;
    released_head_ = head_;
    // seq_cst: our reads of the payload are over (release), and must be seen before our load of starved and sleep.
    own_word(offsetof(FileHeader, head)).store(head_, std::memory_order_seq_cst);
    // seq_cst: after our head; pairs with starve() and with sleep()'s second look.
    if ((load(peer_word(offsetof(FileHeader, starved)), std::memory_order_seq_cst) & 1) == 0) return false;
    return must_ring();
  }

  /// The peer has published something that was not popped.
  bool pending() const {
    // acquire is not needed for a hint; peek() acquires.
    return load(peer_word(offsetof(FileHeader, tail)), std::memory_order_relaxed) != head_;
  }

  // ---- sleeping ----

  /// Call with everything published, popped and released, just before waiting for the doorbell. False: something
  /// came meanwhile (a frame, or room while starved): stay awake and look again. True: the peer will ring.
  [[nodiscard]] bool sleep() {
    assert(tail_ == published_tail_ && head_ == released_head_);
    // Always a new odd number: the peer may have rung for the one that stands there, and rings once for each.
    sleep_ += asleep() ? 2 : 1;
    // seq_cst: must be seen before the loads below; pairs with must_ring().
    own_word(offsetof(FileHeader, sleep)).store(sleep_, std::memory_order_seq_cst);
    // seq_cst: after our sleep. The peer either sees us asleep or we see its news.
    const bool frames = load(peer_word(offsetof(FileHeader, tail)), std::memory_order_seq_cst) != head_;
    const bool room =
        starved() && load(peer_word(offsetof(FileHeader, head)), std::memory_order_seq_cst) != starved_head_;
    if (!frames && !room) return true;
    wake();
    return false;
  }

  /// Call after waiting. Without effect when awake.
  void wake() {
    if (!asleep()) return;
    ++sleep_;
    // relaxed: publishes nothing; a peer that still sees us asleep rings once too often.
    own_word(offsetof(FileHeader, sleep)).store(sleep_, std::memory_order_relaxed);
  }

  bool asleep() const { return (sleep_ & 1) != 0; }

 private:
  using Word = std::atomic_ref<std::uint32_t>;
  static_assert(Word::is_always_lock_free, "a lock would lie in one process only");

  Endpoint(std::span<std::byte> own, std::span<const std::byte> peer)
      : own_(own.data()),
        peer_(peer.data()),
        own_data_(own.data() + kDataOffset),
        peer_data_(peer.data() + kDataOffset),
        mask_(static_cast<std::uint32_t>(own.size() - kDataOffset) - 1) {
    // relaxed: whoever handed the files over has ordered this (a socket message, a thread's start).
    const std::span<const std::byte> mine = own;
    tail_ = published_tail_ = load(word(mine, offsetof(FileHeader, tail)), std::memory_order_relaxed);
    head_ = released_head_ = load(word(mine, offsetof(FileHeader, head)), std::memory_order_relaxed);
    sleep_ = load(word(mine, offsetof(FileHeader, sleep)), std::memory_order_relaxed);
    starved_ = load(word(mine, offsetof(FileHeader, starved)), std::memory_order_relaxed);
    peer_tail_ = head_;
    peer_head_ = tail_ - capacity();  // the furthest back that a head can be
    starved_head_ = peer_head_;
    refresh_head();
    refresh_tail();
    if (tail_ % 8 != 0 || head_ % 8 != 0) broken_ = true;
  }

  // A mapping that we may only read has no atomic_ref<const T> before C++26; these are plain loads in the machine.
  static std::uint32_t load(const std::uint32_t* word, std::memory_order order) {
    return Word(*const_cast<std::uint32_t*>(word)).load(order);
  }
  static const std::uint32_t* word(std::span<const std::byte> file, std::size_t offset) {
    return reinterpret_cast<const std::uint32_t*>(file.data() + offset);
  }
  const std::uint32_t* peer_word(std::size_t offset) const {
    return reinterpret_cast<const std::uint32_t*>(peer_ + offset);
  }
  Word own_word(std::size_t offset) const { return Word(*reinterpret_cast<std::uint32_t*>(own_ + offset)); }

  Read broke() {
    broken_ = true;
    return Read::kMalformed;
  }

  // Room for a record with n payload bytes, with padding in front where it would wrap, by the cached peer head.
  bool fits(std::uint32_t n) const {
    if (broken_) return false;
    const std::uint32_t size = record_size(n);
    const std::uint32_t rest = capacity() - (tail_ & mask_);
    const std::uint32_t need = rest < size ? rest + size : size;
    return need <= capacity() - (tail_ - peer_head_);
  }

  // seq_cst: acquires the peer's reads of the room that we are about to overwrite, and comes after starve()'s store.
  void refresh_head() {
    const std::uint32_t head = load(peer_word(offsetof(FileHeader, head)), std::memory_order_seq_cst);
    // A head only goes forward, and never past what was published.
    if (published_tail_ - head > published_tail_ - peer_head_ || head % 8 != 0) {
      broken_ = true;
    } else {
      peer_head_ = head;
    }
  }

  // No room: say so, then look once more, or a consumer that was just done would never be heard of.
  void starve() {
    if (!starved()) store_starved(starved_ + 1);
    refresh_head();
    starved_head_ = peer_head_;
  }

  void store_starved(std::uint32_t value) {
    starved_ = value;
    // seq_cst: must be seen before our next load of the peer's head; pairs with release().
    own_word(offsetof(FileHeader, starved)).store(value, std::memory_order_seq_cst);
  }

  bool must_ring() {
    // seq_cst: after our news; pairs with sleep().
    const std::uint32_t sleep = load(peer_word(offsetof(FileHeader, sleep)), std::memory_order_seq_cst);
    if ((sleep & 1) == 0 || sleep == rung_) return false;
    rung_ = sleep;
    return true;
  }

  std::uint32_t available() const { return peer_tail_ - head_; }

  // False: nothing to read, or broken.
  bool refresh_tail() {
    if (peer_tail_ != head_) return true;
    // acquire: the records up to tail are visible.
    const std::uint32_t tail = load(peer_word(offsetof(FileHeader, tail)), std::memory_order_acquire);
    if (tail - head_ > capacity() - (head_ - released_head_) || tail % 8 != 0) {
      broken_ = true;
      return false;
    }
    peer_tail_ = tail;
    return tail != head_;
  }

  void put_header(std::uint32_t position, std::uint32_t length, std::uint32_t kind) {
    auto* header = reinterpret_cast<std::uint32_t*>(own_data_ + (position & mask_));
    // relaxed: published by tail; atomic because a hostile-safe reader loads them so.
    Word(header[0]).store(length, std::memory_order_relaxed);
    Word(header[1]).store(kind, std::memory_order_relaxed);
  }

  RecordHeader get_header() const {
    const auto* header = reinterpret_cast<const std::uint32_t*>(peer_data_ + (head_ & mask_));
    // relaxed: tail was acquired; atomic so that the compiler loads each once, whatever the peer does meanwhile.
    return {load(header, std::memory_order_relaxed), load(header + 1, std::memory_order_relaxed)};
  }

  std::byte* own_;
  const std::byte* peer_;
  std::byte* own_data_;
  const std::byte* peer_data_;
  std::uint32_t mask_;

  // Producer.
  std::uint32_t tail_ = 0;            // behind the last commit
  std::uint32_t published_tail_ = 0;  // what the tail word says
  std::uint64_t position_ = 0;        // tail_ without wrapping, from 0 on
  std::uint32_t peer_head_ = 0;       // cached: rereading it for every claim would bounce its cache line
  std::uint32_t padding_ = 0;
  std::uint32_t claim_kind_ = 0;
  std::uint32_t claim_length_ = 0;
  std::uint32_t starved_ = 0;
  std::uint32_t starved_head_ = 0;  // peer's head when a claim last found no room; sleep() compares
  bool claimed_ = false;

  // Consumer.
  std::uint32_t head_ = 0;           // behind the last pop
  std::uint32_t released_head_ = 0;  // what the head word says
  std::uint32_t peer_tail_ = 0;      // cached, as above
  std::uint32_t frame_size_ = 0;     // of the last peek, 0 after pop

  std::uint32_t sleep_ = 0;
  std::uint32_t rung_ = 0;  // sleep value last rung for; never odd before the first ring
  bool broken_ = false;
};

}  // namespace tsf::shm
