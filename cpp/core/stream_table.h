// A worker's streams by number. A number names a stream as long as it lives; the slot's next stream has another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tsf::core {

class Stream;

// Names a stream in a worker's table; dead once the slot's generation has moved on.
struct StreamId {
  uint32_t slot = 0;
  uint32_t generation = 0;

  bool operator==(const StreamId&) const = default;
};

class StreamTable {
 public:
  StreamId add(Stream& stream) {
    uint32_t at = first_free_;
    if (at == kNone) {
      at = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      first_free_ = slots_[at].next;
    }
    Slot& slot = slots_[at];
    slot.stream = &stream;
    slot.before = kNone;
    slot.next = first_live_;
    if (first_live_ != kNone) slots_[first_live_].before = at;
    first_live_ = at;
    return {at, slot.generation};
  }
  void remove(StreamId id) noexcept {
    Slot& slot = slots_[id.slot];
    if (slot.next != kNone) slots_[slot.next].before = slot.before;
    (slot.before != kNone ? slots_[slot.before].next : first_live_) = slot.next;
    slot.stream = nullptr;
    ++slot.generation;
    slot.next = first_free_;
    first_free_ = id.slot;
  }

  // Null: it is gone.
  Stream* find(StreamId id) const {
    if (id.slot >= slots_.size() || slots_[id.slot].generation != id.generation) return nullptr;
    return slots_[id.slot].stream;
  }
  bool empty() const { return first_live_ == kNone; }
  // Whichever is quickest found; null = none.
  Stream* any() const { return empty() ? nullptr : slots_[first_live_].stream; }
  // `use` may remove any of them and add others, which it may be called for or not.
  template <class Use>
  void each(Use use) const {
    for (size_t i = 0; i < slots_.size(); ++i)
      if (Stream* stream = slots_[i].stream) use(*stream, StreamId{static_cast<uint32_t>(i), slots_[i].generation});
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Slot {
    Stream* stream = nullptr;
    uint32_t generation = 1;
    uint32_t next = kNone;  // live one, or free one
    uint32_t before = kNone;
  };

  std::vector<Slot> slots_;
  uint32_t first_live_ = kNone;
  uint32_t first_free_ = kNone;
};

}  // namespace tsf::core
