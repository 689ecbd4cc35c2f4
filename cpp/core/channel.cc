#include "core/channel.h"

#include <algorithm>
#include <cstring>

#include "core/frame_writer.h"

namespace tsf::core {

bool Channel::write(uint32_t kind, std::span<const std::byte> payload) {
  const auto slot = parts_.endpoint.claim(kind, static_cast<uint32_t>(payload.size()));
  if (slot.data() == nullptr) return false;
  std::memcpy(slot.data(), payload.data(), payload.size());
  commit(static_cast<uint32_t>(payload.size()));
  return true;
}

void Channel::write_or_owe(uint32_t kind, std::span<const std::byte> payload) {
  if ((!owes() || pay()) && write(kind, payload)) return;
  owed_.push_back({kind, {payload.begin(), payload.end()}});
  owed_bytes_ += payload.size();
  constexpr size_t kMostOwed = 4096;
  constexpr size_t kMostOwedBytes = 4 << 20;
  if (owed_.size() <= kMostOwed && owed_bytes_ <= kMostOwedBytes) return;
  condemn("the host asks and does not read the answers");
  owed_.clear();
  owed_bytes_ = 0;
}

bool Channel::pay() {
  paying_ = true;
  const bool paid = pay_all();
  paying_ = false;
  return paid;
}

bool Channel::pay_all() {
  size_t written = 0;
  while (written < owed_.size() && write(owed_[written].kind, owed_[written].payload))
    owed_bytes_ -= owed_[written++].payload.size();
  owed_.erase(owed_.begin(), owed_.begin() + static_cast<std::ptrdiff_t>(written));
  if (!owed_.empty()) return false;
  written = 0;
  for (; written < ends_.size(); ++written) {
    const Ended& ended = ends_[written];
    const auto fill = [&ended](wire::End& end, FrameBytes&) {
      end.mutate_reason(static_cast<wire::EndReason>(ended.reason));
    };
    if (!FrameWriter(*this, ended.stream).write(wire::FrameKind_End, frame_templates().end, 0, fill)) break;
  }
  ends_.erase(ends_.begin(), ends_.begin() + static_cast<std::ptrdiff_t>(written));
  return ends_.empty();
}

Channel::Read Channel::read(Inbound& out) {
  shm::Frame frame;
  switch (parts_.endpoint.peek(frame)) {
    case shm::Read::kEmpty: return Read::kEmpty;
    case shm::Read::kMalformed: return Read::kMalformed;
    case shm::Read::kFrame: break;
  }
  scratch_.resize((frame.payload.size() + 7) / 8);
  if (!frame.payload.empty()) std::memcpy(scratch_.data(), frame.payload.data(), frame.payload.size());
  out = {frame.kind, std::as_bytes(std::span(scratch_)).first(frame.payload.size())};
  parts_.endpoint.pop();
  return Read::kFrame;
}

bool Channel::stalled(int64_t now, int64_t limit, int64_t& again) {
  again = 0;
  const auto unread = parts_.endpoint.unread();
  if (!unread) return true;  // an impossible read position: as bad as none
  if (*unread == 0) {
    stall_.nothing_waits();
    return false;
  }
  const int64_t ends = stall_.look(now, parts_.endpoint.peer_head(), limit);
  again = std::min(ends, now + look_every(limit));
  return now >= ends;
}

void Channel::condemn(std::string_view reason) {
  parts_.endpoint.close();
  fate_.condemn(reason);
}

}  // namespace tsf::core
