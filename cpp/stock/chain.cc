#include "stock/chain.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

#include "core/stream.h"
#include "stock/edge.h"

namespace tsf::stock {
namespace {

// A stream lives on one worker, so its chain is looked up on that worker only.
struct WorkerChains {
  std::unordered_map<const void*, std::shared_ptr<Chain>> by_key;
  std::unordered_map<uint64_t, Chain*> by_id;
  // Chains whose key belongs to another stream now; they live until their entries are gone.
  std::vector<std::shared_ptr<Chain>> keyless;
  uint64_t last_id = 0;
};
WorkerChains& chains() {
  thread_local WorkerChains all;
  return all;
}

}  // namespace

Chain& Chain::join(Envoy& envoy, Entry entry) {
  const void* key = envoy.stream_key();
  auto& found = chains().by_key[key];
  // Envoy makes each configured entry once per stream: the same one again means that the map has a new stream.
  const bool upstream = entry.edge != nullptr && found && envoy.has_upstream();
  if (found && !upstream && found->has(entry.config)) chains().keyless.push_back(std::move(found));
  if (!found) found = std::make_shared<Chain>();
  Chain& chain = *found;
  chain.key_ = key;
  if (entry.edge != nullptr) {
    entry.role = upstream ? Role::kUpstreamEdge : chain.entries_.empty() ? Role::kFirstEdge : Role::kLastEdge;
    // One try's entry takes the place of the one before.
    if (EdgeFilter* before = chain.edge(entry.role))
      std::erase_if(chain.entries_, [&](const Entry& e) { return e.edge == before; });
    chain.edges_[static_cast<size_t>(entry.role)] = entry.edge;
  } else {
    ++chain.filters_;
  }
  chain.entries_.push_back(entry);
  return chain;
}

bool Chain::has(const void* config) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.config == config; });
}

void Chain::leave(const Neighbour& request) {
  const auto at =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.flows[0] == &request; });
  if (at == entries_.end()) return;
  if (at->edge == nullptr) {
    --filters_;
  } else {
    for (auto& edge : edges_)
      if (edge == at->edge) edge = nullptr;
  }
  entries_.erase(at);
  if (!entries_.empty()) return;
  if (id_ != 0) chains().by_id.erase(id_);
  const auto mine = chains().by_key.find(key_);
  if (mine != chains().by_key.end() && mine->second.get() == this) {
    chains().by_key.erase(mine);
  } else {
    std::erase_if(chains().keyless, [this](const auto& chain) { return chain.get() == this; });
  }
}

void Chain::give_up_key() {
  const auto mine = chains().by_key.find(key_);
  if (mine == chains().by_key.end() || mine->second.get() != this) return;
  chains().keyless.push_back(std::move(mine->second));
  chains().by_key.erase(mine);
}

Chain* Chain::find(uint64_t id) {
  const auto found = chains().by_id.find(id);
  return found == chains().by_id.end() ? nullptr : found->second;
}

void Chain::be_found(Envoy& envoy) {
  if (id_ != 0) return;
  id_ = ++chains().last_id;
  chains().by_id[id_] = this;
  envoy.set_chain_id(id_);
}

void Chain::log(wire::LogKind kind, const core::LogSource& source) {
  for (const Entry& entry : entries_)
    if (entry.stream != nullptr) entry.stream->on_log(kind, source);
}

// From the nearest to the farthest; a request comes from the front of the list, a response from its back.
template <class Use>
void Chain::each(const Neighbour& flow, Dir dir, bool to_front, Use use) const {
  const size_t d = static_cast<size_t>(dir);
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.flows[d] == &flow; });
  if (at == entries_.end()) return;
  if (to_front) {
    for (auto e = at; e != entries_.begin();)
      if (use(*(--e)->flows[d])) return;
  } else {
    for (auto e = at + 1; e != entries_.end(); ++e)
      if (use(*e->flows[d])) return;
  }
}
template <class Use>
void Chain::each_before(const Neighbour& flow, Dir dir, Use use) const {
  each(flow, dir, dir == Dir::kRequest, use);
}
template <class Use>
void Chain::each_behind(const Neighbour& flow, Dir dir, Use use) const {
  each(flow, dir, dir == Dir::kResponse, use);
}

bool Chain::end_is_held_before(const Neighbour& flow, Dir dir) const {
  bool held = false;
  each_before(flow, dir, [&](Neighbour& before) {
    return held = before.has_seen_end() && (before.is_open() || !flow.has_seen_end());
  });
  return held;
}

Neighbour* Chain::open_before(const Neighbour& flow, Dir dir) const {
  Neighbour* open = nullptr;
  each_before(flow, dir, [&](Neighbour& before) {
    if (before.is_open()) open = &before;
    return open != nullptr;
  });
  return open;
}

Neighbour* Chain::owner_before(const Neighbour& flow, Dir dir) const {
  Neighbour* owner = nullptr;
  each_before(flow, dir, [&](Neighbour& before) {
    if (before.leaves_input()) owner = &before;
    return owner != nullptr;
  });
  return owner;
}

Neighbour* Chain::owner_behind(const Neighbour& flow, Dir dir) const {
  Neighbour* owner = nullptr;
  each_behind(flow, dir, [&](Neighbour& behind) {
    if (behind.leaves_input()) owner = &behind;
    return owner != nullptr;
  });
  return owner;
}

void Chain::let_far_end_go() const {
  if (EdgeFilter* edge = this->edge(Role::kUpstreamEdge)) edge->release_end();
}

bool Chain::has_filter_before(const Neighbour& flow, Dir dir) const {
  bool found = false;
  each_before(flow, dir, [&](Neighbour& before) { return found = !before.is_edge() && before.is_open(); });
  return found;
}

bool Chain::has_owner(Dir dir) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.flows[static_cast<size_t>(dir)]->leaves_input(); });
}

bool Chain::is_full_behind(const Neighbour& flow, Dir dir) const {
  bool full = false;
  each_behind(flow, dir, [&](Neighbour& behind) { return full = behind.is_full(); });
  return full;
}

bool Chain::are_headers_held_behind(const Neighbour& flow, Dir dir) const {
  bool held = false;
  each_behind(flow, dir, [&](Neighbour& behind) { return held = behind.has_headers_here(); });
  return held;
}

void Chain::wake_before(const Neighbour& flow, Dir dir) const {
  each_before(flow, dir, [](Neighbour& before) {
    before.wake();
    return false;
  });
}

void Chain::tell_far_end_reached(Dir dir) const {
  for (const Entry& entry : entries_) entry.flows[static_cast<size_t>(dir)]->on_far_end_reached();
}

void Chain::tell_buffer_moved(const Neighbour& by, Dir dir) const {
  each_before(by, dir, [](Neighbour& before) {
    before.on_buffer_moved();
    return false;
  });
}

Neighbour* Chain::first_open_response(core::InputEnd end) const {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->edge != nullptr) continue;
    if (entry->flows[1]->is_open()) return entry->flows[1];
    if (end == core::InputEnd::kInBeforeTrailers && entry->flows[1]->waits_for_trailers()) return nullptr;
  }
  return nullptr;
}

}  // namespace tsf::stock
