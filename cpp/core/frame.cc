#include "core/frame.h"

namespace tsf::core {

namespace {
// The generated vectors are 8-aligned in the schema; an empty one keeps the template's length a multiple of 8.
flatbuffers::Offset<flatbuffers::Vector<uint8_t>> no_bytes(flatbuffers::FlatBufferBuilder& b) {
  b.ForceVectorAlignment(0, sizeof(uint8_t), 8);
  return b.CreateVector(static_cast<const uint8_t*>(nullptr), 0);
}
}  // namespace

FrameTemplates::FrameTemplates()
    : headers([](auto& b) { return wire::CreateHeaders(b, 0, 0, wire::HeaderType_Request, 0, 0, 0, 0, 0, 0, 0, no_bytes(b)); }),
      data([](auto& b) { return wire::CreateData(b, 0, 0, wire::Direction_Request, 0, no_bytes(b)); }),
      end([](auto& b) { return wire::CreateEnd(b, 0, 0, wire::EndReason_Complete); }),
      credit([](auto& b) { return wire::CreateCredit(b, 0, 0, 0); }),
      query_answer([](auto& b) { return wire::CreateQueryAnswer(b, 0, 0, 0, false, no_bytes(b)); }) {}

const FrameTemplates& frame_templates() {
  static const FrameTemplates& templates = *new FrameTemplates();  // leaked: used until the last worker ends
  return templates;
}

}  // namespace tsf::core
