#include "core/frame.h"

namespace tsf::core {

namespace {
// The Builder aligns a vector's first byte to 8, as the schema asks, but not that of an empty vector.
constexpr uint8_t kSomeBytes[8] = {};
flatbuffers::Offset<flatbuffers::Vector<uint8_t>> some_bytes(flatbuffers::FlatBufferBuilder& b) {
  b.ForceVectorAlignment(sizeof kSomeBytes, sizeof(uint8_t), 8);
  return b.CreateVector(kSomeBytes, sizeof kSomeBytes);
}
}  // namespace

FrameTemplates::FrameTemplates()
    : headers(
          [](auto& b) {
            return wire::CreateHeaders(b, 0, 0, wire::HeaderType_Request, 0, 0, 0, 0, 0, 0, 0, some_bytes(b));
          },
          sizeof kSomeBytes),
      data([](auto& b) { return wire::CreateData(b, 0, 0, wire::Direction_Request, 0, some_bytes(b)); },
           sizeof kSomeBytes),
      end([](auto& b) { return wire::CreateEnd(b, 0, 0, wire::EndReason_Complete); }),
      credit([](auto& b) { return wire::CreateCredit(b, 0, 0, wire::CreditOf_Request, 0); }),
      query_answer([](auto& b) { return wire::CreateQueryAnswer(b, 0, 0, 0, false, some_bytes(b)); },
                   sizeof kSomeBytes),
      call_event(
          [](auto& b) { return wire::CreateCallEvent(b, 0, 0, 0, wire::CallEventPart_Headers, false, some_bytes(b)); },
          sizeof kSomeBytes),
      log_run([](auto& b) { return wire::CreateLogRun(b, 0, 0, wire::LogKind_Start, some_bytes(b)); },
              sizeof kSomeBytes) {}

std::string bytes_of(const Attribute& value) {
  switch (value.kind) {
    case Attribute::Kind::kString: return std::string(value.text);
    case Attribute::Kind::kInt: return {reinterpret_cast<const char*>(&value.number), sizeof value.number};
    case Attribute::Kind::kBool: return std::string(1, value.number != 0 ? '\1' : '\0');
  }
  return {};
}

bool read_texts(std::string_view block, std::vector<std::string_view>& out) {
  BlockReader reader(block);
  while (!reader.done()) {
    uint32_t length = 0;
    std::string_view text;
    if (!reader.number(length) || !reader.text(length, text)) return false;
    out.push_back(text);
  }
  return true;
}

const FrameTemplates& frame_templates() {
  static const FrameTemplates& templates = *new FrameTemplates();  // leaked: used until the last worker ends
  return templates;
}

}  // namespace tsf::core
