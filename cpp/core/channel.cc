#include "core/channel.h"

#include <cstring>

namespace tsf::core {

bool Channel::write(uint32_t kind, std::span<const std::byte> payload) {
  const auto slot = parts_.endpoint.claim(kind, static_cast<uint32_t>(payload.size()));
  if (slot.data() == nullptr) return false;
  std::memcpy(slot.data(), payload.data(), payload.size());
  commit(static_cast<uint32_t>(payload.size()));
  return true;
}

void Channel::write_or_owe(uint32_t kind, std::span<const std::byte> payload) {
  if (owed_.empty() && write(kind, payload)) return;
  owed_.push_back({kind, {payload.begin(), payload.end()}});
}

Channel::Read Channel::read(Inbound& out) {
  shm::Endpoint::Frame frame;
  switch (parts_.endpoint.peek(frame)) {
    case shm::Endpoint::Read::kEmpty: return Read::kEmpty;
    case shm::Endpoint::Read::kMalformed: return Read::kMalformed;
    case shm::Endpoint::Read::kFrame: break;
  }
  scratch_.resize((frame.payload.size() + 7) / 8);
  std::memcpy(scratch_.data(), frame.payload.data(), frame.payload.size());
  out = {frame.kind, std::as_bytes(std::span(scratch_)).first(frame.payload.size())};
  parts_.endpoint.pop();
  return Read::kFrame;
}

void Channel::release() {
  if (parts_.endpoint.release()) parts_.host_doorbell.ring();
  size_t written = 0;
  while (written < owed_.size() && write(owed_[written].kind, owed_[written].payload)) ++written;
  owed_.erase(owed_.begin(), owed_.begin() + static_cast<std::ptrdiff_t>(written));
}

void Channel::condemn(std::string_view reason) {
  if (reason_.empty()) reason_ = reason;
  mark_lost();
}

}  // namespace tsf::core
