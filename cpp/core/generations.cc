#include "core/generations.h"

#include <algorithm>
#include <utility>

namespace tsf::core {
namespace {
constexpr size_t kMost = 32;  // each has memory for every worker
}  // namespace

bool Generations::begin(uint32_t number, GenerationId id) {
  if (is_over_ || all_.size() == kMost || number == kAll || (!all_.empty() && number <= all_.back().number))
    return false;
  // The only one there is takes streams at once: each of them waits for the verdict that it needs.
  const bool is_complete = !takes_streams();
  all_.push_back({number, id, false, is_complete, std::vector<Place>(workers_)});
  return true;
}

Generations::Place* Generations::place_of(uint32_t channel) {
  for (Generation& generation : all_)
    for (Place& place : generation.places)
      if (place.channel && place.channel->id() == channel) return &place;
  return nullptr;
}

Generations::Ready Generations::channel_ready(uint32_t channel) {
  Place* const place = place_of(channel);
  if (place == nullptr) return Ready::kUnknown;
  return std::exchange(place->is_ready, true) ? Ready::kAgain : Ready::kNew;
}

void Generations::drain(uint32_t number) {
  is_over_ |= number == kAll;
  for (Generation& generation : all_)
    if (number == kAll || generation.number == number) generation.is_draining = true;
}

void Generations::complete(GenerationId id) {
  for (Generation& generation : all_)
    if (generation.id == id) generation.is_complete = true;
}

void Generations::add(uint32_t number, uint32_t worker, std::shared_ptr<Channel> channel) {
  for (Generation& generation : all_)
    if (generation.number == number) generation.places[worker] = {std::move(channel), false};
}

std::shared_ptr<Channel> Generations::remove(uint32_t channel) {
  Place* const place = place_of(channel);
  return place == nullptr ? nullptr : std::exchange(*place, Place()).channel;
}

std::vector<std::shared_ptr<Channel>> Generations::take_unused() {
  std::vector<std::shared_ptr<Channel>> out;
  for (Generation& generation : all_)
    for (Place& place : generation.places)
      if (generation.is_draining && place.channel && !place.channel->is_given())
        out.push_back(std::exchange(place, Place()).channel);
  return out;
}

std::vector<std::shared_ptr<Channel>> Generations::clear() {
  std::vector<std::shared_ptr<Channel>> out;
  for (Generation& generation : all_)
    for (Place& place : generation.places)
      if (place.channel) out.push_back(std::move(place.channel));
  all_.clear();
  is_over_ = false;
  return out;
}

bool Generations::Generation::is_ready() const {
  return !is_draining && is_complete && std::all_of(places.begin(), places.end(), [](const Place& place) {
    return place.channel != nullptr && place.is_ready;
  });
}

void Generations::retire_old() {
  bool is_old = false;
  for (auto generation = all_.rbegin(); generation != all_.rend(); ++generation) {
    if (is_old) generation->is_draining = true;
    is_old |= generation->is_ready();
  }
}

std::shared_ptr<Channel> Generations::for_new_streams(uint32_t worker) const {
  const auto ready =
      std::find_if(all_.rbegin(), all_.rend(), [](const Generation& generation) { return generation.is_ready(); });
  if (ready != all_.rend()) return ready->places[worker].channel;
  for (const Generation& generation : all_) {
    if (generation.is_draining) continue;
    const Place& place = generation.places[worker];
    return generation.is_complete && place.is_ready ? place.channel : nullptr;
  }
  return nullptr;
}

std::vector<Generations::Gap> Generations::gaps() const {
  std::vector<Gap> out;
  for (const Generation& generation : all_)
    for (uint32_t worker = 0; worker < workers_ && !generation.is_draining; ++worker)
      if (!generation.places[worker].channel) out.push_back({generation.number, generation.id, worker});
  return out;
}

const GenerationId* Generations::find(uint32_t number) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const Generation& g) { return g.number == number; });
  return found == all_.end() ? nullptr : &found->id;
}

std::vector<GenerationId> Generations::ids() const {
  std::vector<GenerationId> out;
  for (const Generation& generation : all_) out.push_back(generation.id);
  return out;
}

bool Generations::takes_streams() const {
  return std::any_of(all_.begin(), all_.end(), [](const Generation& g) { return !g.is_draining; });
}

std::vector<GenerationId> Generations::take_ended() {
  std::vector<GenerationId> out;
  std::erase_if(all_, [&](const Generation& generation) {
    const bool has_channel = std::any_of(generation.places.begin(), generation.places.end(),
                                         [](const Place& place) { return place.channel != nullptr; });
    if (!generation.is_draining || has_channel) return false;
    out.push_back(generation.id);
    return true;
  });
  return out;
}

std::vector<GenerationId> Generations::incomplete() const {
  std::vector<GenerationId> out;
  for (const Generation& generation : all_)
    if (!generation.is_complete && !generation.is_draining) out.push_back(generation.id);
  return out;
}

}  // namespace tsf::core
