#include "core/chain.h"

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "core/stream.h"

namespace tsf::core {
namespace {

// A stream lives on one worker, so its chain is looked up on that worker only.
std::unordered_map<uint64_t, std::unique_ptr<Chain>>& chains() {
  thread_local std::unordered_map<uint64_t, std::unique_ptr<Chain>> all;
  return all;
}

}  // namespace

Chain& Chain::join(StreamMount& mount, Stream& stream) {
  thread_local uint64_t last_id = 0;
  uint64_t id = mount.chain_id();
  if (id == 0) {
    id = ++last_id;
    mount.set_chain_id(id);
  }
  auto& chain = chains()[id];
  if (!chain) chain = std::make_unique<Chain>();
  chain->id_ = id;
  auto& streams = chain->streams_;
  // Envoy makes the filters of a stream in their order.
  const auto at =
      std::find_if(streams.begin(), streams.end(), [&](const Stream* s) { return s->born() > stream.born(); });
  streams.insert(at, &stream);
  return *chain;
}

Chain* Chain::find(uint64_t id) {
  const auto found = chains().find(id);
  return found == chains().end() ? nullptr : found->second.get();
}

void Chain::log(wire::LogKind kind, const LogSource& source) {
  for (Stream* stream : streams_) stream->on_log(kind, source);
}

void Chain::leave(Chain& chain, Stream& stream) {
  std::erase(chain.streams_, &stream);
  if (chain.streams_.empty()) chains().erase(chain.id_);
}

}  // namespace tsf::core
