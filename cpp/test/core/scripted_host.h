// The other end of a real channel, in this process: reads what the module wrote, writes whatever a test wants it to.
#pragma once

#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/channel.h"
#include "core/frame.h"
#include "core/verdict.h"
#include "core/worker.h"
#include "exchange_generated.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "test/core/mount_stub.h"

namespace tsf::core::test {

// The number by which the host knows the config of a Stage.
constexpr uint32_t kConfig = 42;

// A frame as the host reads it.
struct Heard {
  uint32_t kind = 0;
  uint32_t slot = 0;
  uint32_t generation = 0;
  uint8_t type = 0;  // Headers: type; Data: direction; End: reason; CallEvent: part; LogRun: kind
  uint16_t flags = 0;
  uint32_t number = 0;  // Headers: config; Credit: bytes; QueryAnswer: query; CallEvent: call
  uint32_t route = 0;
  uint32_t attempt = 0;
  bool found = false;  // CallEvent: end
  std::string attributes;
  HeaderMap headers;
  std::string bytes;

  StreamId id() const { return {slot, generation}; }
  bool has(uint16_t flag) const { return (flags & flag) != 0; }
};

inline std::string packed(const HeaderMap& map) {
  std::string out;
  for (const auto& [name, value] : map) {
    const uint32_t lengths[2] = {static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size())};
    out.append(reinterpret_cast<const char*>(lengths), sizeof lengths);
    out += name;
    out += value;
  }
  return out;
}

struct Op {
  uint32_t op;
  std::string name;
  std::string value;
};
inline std::string packed(const std::vector<Op>& ops) {
  std::string out;
  for (const auto& op : ops) {
    out.append(reinterpret_cast<const char*>(&op.op), sizeof op.op);
    out += packed(HeaderMap{{op.name, op.value}});
  }
  return out;
}

class ScriptedHost {
 public:
  static std::pair<std::shared_ptr<Channel>, std::unique_ptr<ScriptedHost>> connect(uint32_t ring_bytes,
                                                                                    GenerationId generation) {
    auto outbound = shm::Segment::create_outbound(ring_bytes);
    auto inbound = shm::Segment::create_inbound(ring_bytes);
    auto host_bell = shm::HostDoorbell::create();
    auto worker_bell = shm::Doorbell::create();
    auto worker_end = shm::Endpoint::attach(outbound->writable(), inbound->bytes());
    auto host = attach(outbound->fd(), inbound->fd());
    auto channel = std::make_shared<Channel>(1, generation,
                                             Channel::Parts{std::move(*outbound), std::move(*inbound), *worker_end,
                                                            std::move(*host_bell), std::move(*worker_bell)});
    return {std::move(channel), std::move(host)};
  }
  // At the other end of a channel that a module has made.
  static std::unique_ptr<ScriptedHost> attach(int outbound_fd, int inbound_fd) {
    auto seen = shm::Segment::open_outbound(outbound_fd);
    auto own = shm::Segment::open_inbound(inbound_fd);
    auto end = shm::Endpoint::attach(own->writable(), seen->bytes());
    return std::unique_ptr<ScriptedHost>(new ScriptedHost(std::move(*seen), std::move(*own), *end));
  }

  // ---- reading ----

  // All that is there, or at most `most` frames.
  std::vector<Heard> read(size_t most = SIZE_MAX) {
    std::vector<Heard> out;
    shm::Frame frame;
    while (out.size() < most && end_.peek(frame) == shm::Read::kFrame) {
      const bool is_ours = end_.take();
      if (is_ours) out.push_back(decode(frame));
      end_.pop();
      if (!is_ours) break;
    }
    must_ring_ |= end_.release();
    return out;
  }

  // ---- writing; false: the ring is full ----

  bool raw(uint32_t kind, std::string_view bytes) {
    const auto room = end_.claim(kind, static_cast<uint32_t>(bytes.size()));
    if (room.data() == nullptr) return false;
    if (!bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
    end_.commit(static_cast<uint32_t>(bytes.size()));
    must_ring_ |= end_.publish();
    return true;
  }
  bool answer(StreamId id, HeaderType type, uint8_t mode, const std::vector<Op>& ops = {},
              uint32_t phases = UINT32_MAX) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, packed(ops));
    b.Finish(wire::CreateAnswer(b, id.slot, id.generation, static_cast<wire::HeaderType>(type),
                                static_cast<wire::BodyMode>(mode), phases, block));
    return send(wire::FrameKind_Answer, b);
  }
  bool ops(StreamId id, HeaderType type, const std::vector<Op>& ops) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, packed(ops));
    b.Finish(wire::CreateOps(b, id.slot, id.generation, static_cast<wire::HeaderType>(type), block));
    return send(wire::FrameKind_Ops, b);
  }
  bool output(StreamId id, Dir dir, uint32_t acknowledged, std::string_view text, uint8_t flags) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, text);
    b.Finish(
        wire::CreateOutput(b, id.slot, id.generation, static_cast<wire::Direction>(dir), flags, acknowledged, block));
    return send(wire::FrameKind_Output, b);
  }
  bool local_reply(StreamId id, uint32_t status, const HeaderMap& headers, std::string_view body,
                   std::string_view details = "reply_of_a_test", int grpc = -1) {
    flatbuffers::FlatBufferBuilder b;
    const std::string lines = packed(headers);
    const auto block = bytes(b, std::string(details) + lines + std::string(body));
    b.Finish(wire::CreateLocalReply(b, id.slot, id.generation, status, grpc, static_cast<uint32_t>(details.size()),
                                    static_cast<uint32_t>(lines.size()), block));
    return send(wire::FrameKind_LocalReply, b);
  }
  bool reply(StreamId id, uint8_t part, std::string_view block_bytes, bool end) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, block_bytes);
    b.Finish(wire::CreateReply(b, id.slot, id.generation, static_cast<wire::ReplyPart>(part), end, block));
    return send(wire::FrameKind_Reply, b);
  }
  bool fail(StreamId id, HeaderType type, std::string_view text) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, text);
    b.Finish(wire::CreateFail(b, id.slot, id.generation, static_cast<wire::HeaderType>(type), block));
    return send(wire::FrameKind_Fail, b);
  }
  bool query(StreamId id, uint32_t query, uint32_t key, wire::QueryKind kind = wire::QueryKind_Attribute,
             std::string_view text = {}) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, text);
    b.Finish(wire::CreateQuery(b, id.slot, id.generation, query, kind, key, block));
    return send(wire::FrameKind_Query, b);
  }
  bool act(StreamId id, wire::ActKind kind, std::string_view text, uint8_t detail = 0, double number = 0,
           uint32_t index = 0) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, text);
    b.Finish(wire::CreateAct(b, id.slot, id.generation, kConfig, kind, detail, index, number, block));
    return send(wire::FrameKind_Act, b);
  }
  bool call(StreamId id, uint32_t number, wire::CallPart part, std::string_view text, bool end = false,
            uint32_t timeout = 0, uint32_t cluster_length = 0) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, text);
    b.Finish(wire::CreateCall(b, id.slot, id.generation, number, part, end, timeout, cluster_length, block));
    return send(wire::FrameKind_Call, b);
  }
  bool extend(StreamId id, uint32_t milliseconds) {
    flatbuffers::FlatBufferBuilder b;
    b.Finish(wire::CreateExtend(b, id.slot, id.generation, milliseconds));
    return send(wire::FrameKind_Extend, b);
  }
  bool log(uint8_t level, std::string_view text) {
    flatbuffers::FlatBufferBuilder b;
    const auto block = bytes(b, text);
    b.Finish(wire::CreateLog(b, UINT32_MAX, 0, level, block));
    return send(wire::FrameKind_Log, b);
  }

  // Frames that no FlatBuffers verifier accepts, or that break a rule of the schema.
  const std::vector<std::string>& violations() const { return violations_; }
  shm::Endpoint& endpoint() { return end_; }
  // The module sleeps, and has to be rung for what was written or read since this was asked last.
  bool take_must_ring() { return std::exchange(must_ring_, false); }

 private:
  ScriptedHost(shm::Segment seen, shm::Segment own, shm::Endpoint end)
      : seen_(std::move(seen)), own_(std::move(own)), end_(end) {}

  static flatbuffers::Offset<flatbuffers::Vector<uint8_t>> bytes(flatbuffers::FlatBufferBuilder& b,
                                                                 std::string_view text) {
    b.ForceVectorAlignment(text.size(), 1, 8);
    return b.CreateVector(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  }
  bool send(uint32_t kind, const flatbuffers::FlatBufferBuilder& b) {
    return raw(kind, {reinterpret_cast<const char*>(b.GetBufferPointer()), b.GetSize()});
  }

  template <class T>
  const T* table(const shm::Frame& frame) {
    const T* t = verified<T>(frame.payload);
    if (t == nullptr) violations_.push_back("a frame of kind " + std::to_string(frame.kind) + " is no FlatBuffer");
    return t;
  }

  Heard decode(const shm::Frame& frame) {
    Heard out;
    out.kind = frame.kind;
    const auto common = [&](const auto* t) {
      out.slot = t->stream();
      out.generation = t->generation();
    };
    if (frame.kind == wire::FrameKind_Headers) {
      if (const auto* t = table<wire::Headers>(frame)) {
        common(t);
        out.type = t->type();
        out.flags = t->flags();
        out.number = t->config();
        out.route = t->route_config();
        out.attempt = t->attempt();
        auto block = view_of(t->block());
        if (t->attributes_length() > block.size()) violations_.push_back("attributes beyond their block");
        out.attributes = block.substr(0, t->attributes_length());
        BlockReader reader(block.substr(out.attributes.size()));
        uint32_t count = 0;
        for (; !reader.done(); ++count) {
          std::string_view name;
          std::string_view value;
          if (!reader.pair(name, value)) {
            violations_.push_back("a broken header block");
            break;
          }
          out.headers.emplace_back(name, value);
        }
        if (count != t->count()) violations_.push_back("a header count that is wrong");
      }
    } else if (frame.kind == wire::FrameKind_Data) {
      if (const auto* t = table<wire::Data>(frame)) {
        common(t);
        out.type = t->direction();
        out.flags = t->flags();
        out.bytes = view_of(t->bytes());
        if (out.bytes.size() > Channel::kMaxBody) violations_.push_back("a data frame over 64 KiB");
      }
    } else if (frame.kind == wire::FrameKind_End) {
      if (const auto* t = table<wire::End>(frame)) {
        common(t);
        out.type = t->reason();
      }
    } else if (frame.kind == wire::FrameKind_Credit) {
      if (const auto* t = table<wire::Credit>(frame)) {
        common(t);
        out.number = t->bytes();
      }
    } else if (frame.kind == wire::FrameKind_QueryAnswer) {
      if (const auto* t = table<wire::QueryAnswer>(frame)) {
        common(t);
        out.number = t->query();
        out.found = t->found();
        out.bytes = view_of(t->block());
      }
    } else if (frame.kind == wire::FrameKind_CallEvent) {
      if (const auto* t = table<wire::CallEvent>(frame)) {
        common(t);
        out.type = t->part();
        out.number = t->call();
        out.found = t->end();
        out.bytes = view_of(t->block());
      }
    } else if (frame.kind == wire::FrameKind_LogRun) {
      if (const auto* t = table<wire::LogRun>(frame)) {
        common(t);
        out.type = t->kind();
        out.attributes = view_of(t->block());
      }
    } else {
      violations_.push_back("a frame of kind " + std::to_string(frame.kind));
    }
    return out;
  }

  shm::Segment seen_;
  shm::Segment own_;
  shm::Endpoint end_;
  bool must_ring_ = false;
  std::vector<std::string> violations_;
};

}  // namespace tsf::core::test
