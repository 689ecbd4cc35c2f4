// Arbitrary bytes as frames of the host, while streams of a worker are in assorted states. Nothing may be touched out
// of bounds, nothing may be asked of Envoy that it forbids, and nothing may be left behind.
#include "stage.h"
#include "test/fuzz_input.h"

namespace tsf::core::test {
namespace {

using tsf::test::Input;
using tsf::test::require;

constexpr uint32_t kMostStreams = 6;

void check(const std::vector<std::string>& violations) {
  if (!violations.empty()) require(false, violations.front());
}

// A stream whose slot is `slot`, brought as far as `state` says.
std::unique_ptr<FakeEnvoy> prepare(Stage& stage, uint32_t slot, uint8_t state) {
  const StreamId id{slot, 1};
  auto envoy = stage.open();
  envoy->headers(Dir::kRequest, {{":method", "POST"}, {":path", "/"}}, state == 1);
  stage.turn();
  if (state < 2) return envoy;
  stage.host->answer(id, HeaderType::kRequest, state % 4);
  stage.turn();
  envoy->data(Dir::kRequest, "request body", state % 3 == 0);
  if (state < 8) return envoy;
  envoy->headers(Dir::kResponse, {{":status", "200"}}, false);
  stage.turn();
  if (state < 12) return envoy;
  stage.host->answer(id, HeaderType::kResponse, (state + 1) % 4);
  stage.turn();
  envoy->data(Dir::kResponse, "response body", false);
  return envoy;
}

void play(Input in) {
  const uint8_t options = in.byte();
  Stage stage({.shared_flag = (options & 1) != 0, .ring_bytes = 64 << 10});
  stage.envoy_options.destroy_inside = (options & 2) != 0;
  stage.config->settings.failure_mode = (options & 4) != 0 ? FailureMode::kOpen : FailureMode::kClosed;
  stage.connect();
  std::vector<std::unique_ptr<FakeEnvoy>> streams;
  const uint32_t count = 1 + in.byte() % kMostStreams;
  for (uint32_t i = 0; i < count; ++i) streams.push_back(prepare(stage, i, in.byte() % 16));
  while (!in.done()) {
    ScriptedHost& host = *stage.host;
    const uint8_t what = in.byte();
    const StreamId id{static_cast<uint32_t>(what >> 4) % (count + 1), 1};
    const Dir dir = (what & 8) != 0 ? Dir::kResponse : Dir::kRequest;
    FakeEnvoy& envoy = *streams[id.slot % count];
    const uint8_t a = in.byte();
    const uint8_t b = in.byte();
    switch (in.byte() % 16) {
      case 0: host.raw(a % 80, in.text(b)); break;
      case 1: host.answer(id, static_cast<HeaderType>(a % 4), b % 4, {}, a % 2 == 0 ? UINT32_MAX : b); break;
      case 2: host.output(id, dir, a % 16, in.text(b % 32), b); break;
      case 3: host.output(id, dir, 0, in.text(b % 32), a); break;
      case 4: host.local_reply(id, 200 + a, {{"x", "y"}}, in.text(b)); break;
      case 5: host.reply(id, a % 3, a % 3 == 0 ? packed({{":status", "200"}}) : in.text(b), b % 2 == 0); break;
      case 6: host.fail(id, HeaderType::kRequest, in.text(b)); break;
      case 7:
        host.ops(id, static_cast<HeaderType>(a % 4), {{static_cast<uint32_t>(b % 5), "name", in.text(a % 8)}});
        break;
      case 8: host.query(id, a, b); break;
      case 9: host.extend(id, a * 0x01010101u); break;
      case 10: host.log(a % 6, in.text(b)); break;
      case 11:
        if (!envoy.gone() && envoy.takes_data(dir)) envoy.data(dir, in.text(b), a % 4 == 0);
        break;
      case 12: (a % 2 == 0) ? envoy.above_watermark() : envoy.below_watermark(); break;
      case 13:
        if (a % 8 == 0) envoy.disconnect();
        break;
      case 14: host.read(a % 8); break;
      default:
        if (a % 8 == 0) stage.lose(), stage.connect();
    }
    stage.turn();
    for (auto& stream : streams) {
      stream->flush();
      check(stream->violations);
    }
  }
  for (auto& stream : streams) {
    stream->disconnect();
    stream->flush();
    check(stream->violations);
  }
  streams.clear();
  stage.host->read();
  check(stage.host->violations());
  require(stage.worker.pending() == 0, "bytes left behind");
}

}  // namespace
}  // namespace tsf::core::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tsf::core::test::play({data, size});
  return 0;
}
