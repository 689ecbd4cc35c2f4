// Socket messages as bytes: what the module sends, and the verified reading of what it gets.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/control.h"
#include "core/frame.h"
#include "core/mount.h"
#include "core/verdict.h"

namespace tsf::core {

// Messages come as unaligned text: a private aligned copy is verified.
template <class T>
class Received {
 public:
  explicit Received(std::string_view payload) : copy_((payload.size() + 7) / 8) {
    if (!payload.empty()) std::memcpy(copy_.data(), payload.data(), payload.size());
    table_ = verified<T>(std::as_bytes(std::span(copy_)).first(payload.size()));
  }
  explicit operator bool() const { return table_ != nullptr; }
  const T* operator->() const { return table_; }
  const T& operator*() const { return *table_; }

 private:
  std::vector<uint64_t> copy_;
  const T* table_;
};

// For a log line; empty when it is absent.
std::string printable_text(const flatbuffers::String* text);

// False: the verdict breaks a rule.
bool read_verdict(const wire::ConfigVerdict& message, Verdict& out);

// False, here and below: the socket cannot be written to.
bool send_hello(ControlSocket& socket, const ProcessMount& process, uint32_t workers);
bool send_refused(ControlSocket& socket, const std::string& reason);
bool send_config(ControlSocket& socket, const JudgedConfig& config, uint32_t capabilities);
bool send_forget(ControlSocket& socket, uint32_t config);
struct ChannelOffer {
  uint32_t id;
  uint32_t worker;
  uint32_t ring_bytes;
  uint32_t generation;
};
bool send_channel(ControlSocket& socket, const ChannelOffer& offer, std::vector<shm::UniqueFd> fds);
bool send_channel_done(ControlSocket& socket, uint32_t id);

}  // namespace tsf::core
