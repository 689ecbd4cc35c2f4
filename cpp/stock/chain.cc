#include "stock/chain.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

#include "core/log_events.h"
#include "stock/edge.h"

namespace tsf::stock {
namespace {

// A stream lives on one worker, so its chain is looked up on that worker only.
struct WorkerChains {
  std::unordered_map<const void*, std::shared_ptr<Chain>> by_key;
  std::unordered_map<uint64_t, Chain*> by_id;
  // Filters that are the only entry of ours in their stream, as far as that is known.
  std::unordered_map<const void*, Chain::Entry> alone;
  // Chains whose key belongs to another stream now; they live until their entries are gone.
  std::vector<std::shared_ptr<Chain>> keyless;
  uint64_t last_id = 0;
};
WorkerChains& chains() {
  thread_local WorkerChains all;
  return all;
}

bool is_open_filter(const Neighbour& one) { return !one.is_edge() && one.is_open(); }

}  // namespace

// The filters of a try have a buffer of their own, but the map of the client's stream. Only an edge there works for the
// filters of that stream.
const void* Chain::key_of(const Envoy& envoy, bool is_edge) {
  const void* key = envoy.stream_key();
  return !is_edge && envoy.is_upstream() ? static_cast<const char*>(key) + 1 : key;
}

// Envoy makes each configured entry once per stream: the same one again means that the header map has a new stream.
Chain& Chain::join(Envoy& envoy, Entry entry) {
  const void* key = key_of(envoy, entry.edge != nullptr);
  auto& found = chains().by_key[key];
  const bool upstream = entry.edge != nullptr && envoy.is_upstream();
  if (found && !upstream && found->has(entry.config)) chains().keyless.push_back(std::move(found));
  if (const auto alone = chains().alone.find(key); alone != chains().alone.end()) {
    const Entry first = alone->second;
    chains().alone.erase(alone);
    if (upstream || first.config != entry.config) {
      found = std::make_shared<Chain>();
      found->add(first);
      for (const Dir dir : {Dir::kRequest, Dir::kResponse})
        if (first.flows[static_cast<size_t>(dir)]->has_seen_end()) found->note_end(dir);
      *first.home = found.get();
    }
  }
  if (entry.edge != nullptr)
    entry.role = upstream && found             ? Role::kUpstreamEdge
                 : !found || found->is_empty() ? Role::kFirstEdge
                                               : Role::kLastEdge;
  if (!found) found = std::make_shared<Chain>();
  found->key_ = key;
  found->add(entry);
  return *found;
}

Chain* Chain::join_others(Envoy& envoy, Entry entry) {
  const void* key = key_of(envoy, false);
  const auto chain = chains().by_key.find(key);
  const auto alone = chains().alone.find(key);
  const bool has_chain = chain != chains().by_key.end() && chain->second && !chain->second->has(entry.config);
  if (has_chain || (alone != chains().alone.end() && alone->second.config != entry.config)) return &join(envoy, entry);
  if (chain != chains().by_key.end() && chain->second) chain->second->give_up_key();
  chains().alone.insert_or_assign(key, entry);
  return nullptr;
}

void Chain::forget_alone(const Neighbour& request, const void* key) {
  const auto alone = chains().alone.find(key);
  if (alone != chains().alone.end() && alone->second.flows[0] == &request) chains().alone.erase(alone);
}

void Chain::add(Entry entry) {
  if (entry.edge == nullptr) {
    entries_.push_back(entry);
    if (!entry.observes) ++filters_;
    return;
  }
  // One try's entry takes the place of the one before.
  if (EdgeFilter* before = edge(entry.role)) {
    std::erase_if(entries_, [&](const Entry& e) { return e.edge == before; });
    if (entry.role == Role::kUpstreamEdge) tell_upstream_edge_gone();
  }
  entries_.push_back(entry);
  edges_[static_cast<size_t>(entry.role)] = entry.edge;
}

bool Chain::is_empty() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const Entry& e) { return e.observes; });
}

bool Chain::has(const void* config) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.config == config; });
}

void Chain::leave(const Neighbour& request) {
  const auto at =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.flows[0] == &request; });
  if (at == entries_.end()) return;
  if (at->edge == nullptr) {
    if (!at->observes) --filters_;
  } else {
    for (auto& edge : edges_)
      if (edge == at->edge) edge = nullptr;
    if (at->role == Role::kUpstreamEdge) tell_upstream_edge_gone();
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

void Chain::tell_upstream_edge_gone() const {
  for (const Entry& entry : entries_) entry.flows[static_cast<size_t>(Dir::kResponse)]->on_upstream_edge_gone();
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
    if (entry.listener != nullptr) entry.listener->on_log(kind, source);
}

// From the nearest to the farthest; a request comes from the front of the list, a response from its back.
template <class Is>
Neighbour* Chain::nearest(const Neighbour& flow, Dir dir, bool to_front, Is is) const {
  const size_t d = static_cast<size_t>(dir);
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.flows[d] == &flow; });
  if (at == entries_.end()) return nullptr;
  if (to_front) {
    for (auto e = at; e != entries_.begin();)
      if (Neighbour* const other = (--e)->flows[d]; is(*other)) return other;
  } else {
    for (auto e = at + 1; e != entries_.end(); ++e)
      if (Neighbour* const other = e->flows[d]; is(*other)) return other;
  }
  return nullptr;
}
template <class Is>
Neighbour* Chain::nearest_before(const Neighbour& flow, Dir dir, Is is) const {
  return nearest(flow, dir, dir == Dir::kRequest, is);
}
template <class Is>
Neighbour* Chain::nearest_behind(const Neighbour& flow, Dir dir, Is is) const {
  return nearest(flow, dir, dir == Dir::kResponse, is);
}
template <class Use>
void Chain::each_before(const Neighbour& flow, Dir dir, Use use) const {
  (void)nearest_before(flow, dir, [&](Neighbour& before) {
    use(before);
    return false;
  });
}

void Chain::note_end(Dir dir) {
  if (std::exchange(ends_[static_cast<size_t>(dir)], true)) return;
  for (const Entry& entry : entries_) entry.flows[static_cast<size_t>(dir)]->on_end_in_stream();
}

bool Chain::end_is_held_before(const Neighbour& flow, Dir dir) const {
  if (ends_[static_cast<size_t>(dir)] && !flow.has_seen_end()) return true;
  return nearest_before(flow, dir, [](const Neighbour& before) { return before.has_seen_end() && before.is_open(); }) !=
         nullptr;
}

bool Chain::sees_peers_end(Dir dir) const {
  return dir == Dir::kRequest ? edge(Role::kFirstEdge) != nullptr
                              : edge(Role::kLastEdge) != nullptr || edge(Role::kUpstreamEdge) != nullptr;
}

Neighbour* Chain::open_filter_before(const Neighbour& flow, Dir dir) const {
  return nearest_before(flow, dir, is_open_filter);
}

Neighbour* Chain::open_before(const Neighbour& flow, Dir dir) const {
  return nearest_before(flow, dir, [](const Neighbour& before) {
    return before.is_open() || (before.waits_for_trailers() && !before.has_seen_end());
  });
}

Neighbour* Chain::owner_before(const Neighbour& flow, Dir dir) const {
  return nearest_before(flow, dir, [](const Neighbour& before) { return before.leaves_input(); });
}

Neighbour* Chain::owner_behind(const Neighbour& flow, Dir dir) const {
  return nearest_behind(flow, dir, [](const Neighbour& behind) { return behind.leaves_input(); });
}

bool Chain::holds_far_end(Dir dir) const {
  const EdgeFilter* const edge = this->edge(Role::kUpstreamEdge);
  return dir == Dir::kResponse && edge != nullptr && edge->holds_end();
}

void Chain::let_far_end_go() const {
  if (EdgeFilter* edge = this->edge(Role::kUpstreamEdge)) edge->let_end_go();
}

bool Chain::offer_far_end(core::InputEnd end) const {
  EdgeFilter* const edge = this->edge(Role::kUpstreamEdge);
  return edge != nullptr && edge->offer_end(end);
}

bool Chain::has_filter_before(const Neighbour& flow, Dir dir) const { return open_filter_before(flow, dir) != nullptr; }

bool Chain::has_filter_behind(const Neighbour& flow, Dir dir) const {
  return nearest_behind(flow, dir, is_open_filter) != nullptr;
}

bool Chain::has_owner(Dir dir) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.flows[static_cast<size_t>(dir)]->leaves_input(); });
}

bool Chain::is_full_behind(const Neighbour& flow, Dir dir) const {
  return nearest_behind(flow, dir, [](const Neighbour& behind) { return behind.is_full(); }) != nullptr;
}

bool Chain::are_headers_held_behind(const Neighbour& flow, Dir dir) const {
  return nearest_behind(flow, dir, [](const Neighbour& behind) { return behind.has_headers_here(); }) != nullptr;
}

bool Chain::are_headers_at_next(const Neighbour& flow, Dir dir) const {
  const Neighbour* const next = nearest_behind(flow, dir, [](const Neighbour& one) { return !one.is_edge(); });
  return next != nullptr && next->has_headers_here();
}

bool Chain::has_next_seen_end(const Neighbour& flow, Dir dir) const {
  const Neighbour* const next = nearest_behind(flow, dir, [](const Neighbour&) { return true; });
  return next != nullptr && next->has_seen_end();
}

void Chain::wake_before(const Neighbour& flow, Dir dir) const {
  each_before(flow, dir, [](Neighbour& before) { before.wake(); });
}

void Chain::tell_edge_reached(Dir dir) const {
  for (const Entry& entry : entries_) entry.flows[static_cast<size_t>(dir)]->on_edge_reached();
}

// All that comes from an open one of ours comes by its push, or lay in the shared buffer, where somebody kept it.
// Behind its end nothing comes but the end.
void Chain::note_body(const Neighbour& flow, Dir dir, const Envoy& envoy, size_t length) {
  if (length == 0) return;
  Push& push = pushes_[static_cast<size_t>(dir)];
  if (push != Push::kNone) {
    push = Push::kHasCome;
    return;
  }
  const bool was_kept = envoy.received_is_buffered(dir);
  // Any of them may be the one that is to give the end on.
  bool is_injected = false;
  each_before(flow, dir, [&](Neighbour& one) {
    if (!is_open_filter(one) || (was_kept && !one.has_seen_end())) return;
    is_injected = true;
    one.on_injected_behind();
  });
  if (is_injected) return;
  Neighbour* const before = nearest_before(flow, dir, [](const Neighbour& one) { return !one.is_edge(); });
  if (before != nullptr && was_kept) before->on_let_go_behind();
}

uint64_t Chain::growth_before(const Neighbour& flow, Dir dir) const {
  uint64_t growth = 0;
  each_before(flow, dir, [&](const Neighbour& before) { growth += before.growth(); });
  return growth;
}

void Chain::tell_buffer_moved(const Neighbour& by, Dir dir) const {
  each_before(by, dir, [](Neighbour& before) { before.on_buffer_moved(); });
}

void Chain::tell_taken_back(const Neighbour& by, Dir dir, size_t bytes) const {
  (void)nearest_behind(by, dir, [&](Neighbour& behind) {
    behind.on_taken_back(bytes);
    return false;
  });
}

void Chain::put_aside_before(Dir dir, Envoy& envoy) {
  Aside* const aside = aside_[static_cast<size_t>(dir)];
  if (aside == nullptr || !envoy.received_is_buffered(dir)) return;
  if (envoy.body_size(dir, BodySource::kReceived) != aside->pushed.size()) return;
  const std::string bytes = envoy.take_body(dir, BodySource::kReceived);
  if (bytes == aside->pushed) envoy.append_body(dir, BodySource::kReceived, std::exchange(aside->kept, {}));
  envoy.append_body(dir, BodySource::kReceived, bytes);
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
