// Frames as bytes: outbound by prebuilt templates, inbound verified before anything is read.
//
// A template is the FlatBuffer that the Builder makes of a table with all scalars present and a vector at its end, up
// to the vector's bytes. A frame is the template, its numbers patched in place, the vector's length patched, the bytes
// after it.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/mount.h"
#include "exchange_generated.h"

namespace tsf::core {

// The constant bytes of one kind of frame. T is the generated table, built once by the Builder itself.
template <class T>
class FrameTemplate {
 public:
  // `build` makes a T with forced defaults; the last `cut` bytes of it are the bytes of its vector and stay out.
  template <class Build>
  explicit FrameTemplate(Build build, size_t cut = 0) {
    flatbuffers::FlatBufferBuilder builder(256);
    builder.ForceDefaults(true);
    builder.Finish(build(builder));
    bytes_.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize() - cut);
    has_bytes_ = cut > 0;
    if (has_bytes_) tail(reinterpret_cast<std::byte*>(bytes_.data()), 0);
  }

  // It ends in a vector of bytes.
  bool has_bytes() const { return has_bytes_; }
  uint32_t size() const { return static_cast<uint32_t>(bytes_.size()); }

  // Copies the template to `slot` (at least size() bytes, 8-aligned) and returns the table to patch.
  T* place(std::byte* slot) const {
    std::memcpy(slot, bytes_.data(), bytes_.size());
    return flatbuffers::GetMutableRoot<T>(slot);
  }

  // Where the vector's bytes go, after setting its length. Only for tables that end in a vector.
  std::byte* tail(std::byte* slot, uint32_t length) const {
    std::memcpy(slot + bytes_.size() - sizeof(uint32_t), &length, sizeof length);
    return slot + bytes_.size();
  }

 private:
  std::vector<uint8_t> bytes_;
  bool has_bytes_;
};

struct FrameTemplates {
  FrameTemplate<wire::Headers> headers;
  FrameTemplate<wire::Data> data;
  FrameTemplate<wire::End> end;
  FrameTemplate<wire::Credit> credit;
  FrameTemplate<wire::QueryAnswer> query_answer;
  FrameTemplate<wire::CallEvent> call_event;
  FrameTemplate<wire::LogRun> log_run;
  FrameTemplates();
};
const FrameTemplates& frame_templates();

// Reads a frame from the host. `bytes` must be a private, 8-aligned copy: the host can change the ring at any time.
template <class T>
const T* verified(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), 8, 16);
  return verifier.VerifyBuffer<T>(nullptr) ? flatbuffers::GetRoot<T>(data) : nullptr;
}

// An attribute's value as the blocks of schema/exchange.fbs have it.
std::string bytes_of(const Attribute& value);

inline std::string_view view_of(const flatbuffers::Vector<uint8_t>* vector) {
  if (vector == nullptr) return {};
  return {reinterpret_cast<const char*>(vector->data()), vector->size()};
}

// Reads the packed blocks of schema/exchange.fbs from untrusted bytes.
class BlockReader {
 public:
  explicit BlockReader(std::string_view bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  bool number(uint32_t& out) {
    if (rest_.size() < sizeof out) return false;
    std::memcpy(&out, rest_.data(), sizeof out);
    rest_.remove_prefix(sizeof out);
    return true;
  }
  bool text(uint32_t length, std::string_view& out) {
    if (rest_.size() < length) return false;
    out = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }
  // {name_length, value_length, name, value}
  bool pair(std::string_view& name, std::string_view& value) {
    uint32_t name_length = 0;
    uint32_t value_length = 0;
    return number(name_length) && number(value_length) && text(name_length, name) && text(value_length, value);
  }

 private:
  std::string_view rest_;
};

// {length, bytes}*; false: broken.
bool read_texts(std::string_view block, std::vector<std::string_view>& out);

}  // namespace tsf::core
