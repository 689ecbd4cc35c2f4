// The channels of one connection: for each generation of the host's filters one per worker. Which of them takes a
// worker's new streams is decided here. Link thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/channel.h"

namespace tsf::core {

class Generations {
 public:
  explicit Generations(uint32_t workers) : workers_(workers) {}

  // ---- what the host says ----

  // `number` is the host's for it, `id` ours. False: not greater than all before, too many, or the host drains.
  bool begin(uint32_t number, GenerationId id);
  enum class Ready : uint8_t { kNew, kAgain, kUnknown };
  Ready channel_ready(uint32_t channel);
  // It takes no new streams any more; with kAll none ever will. What is not known is not there any more.
  static constexpr uint32_t kAll = UINT32_MAX;
  void drain(uint32_t number);
  // All its verdicts have come.
  void complete(GenerationId id);
  // Once one can take the streams of all workers, those before it take none any more, whatever becomes of it: the host
  // may have been told that their channels are not used.
  void retire_old();

  // ---- channels ----

  // Of a generation that there is.
  void add(uint32_t number, uint32_t worker, std::shared_ptr<Channel> channel);
  // Takes one out; null: there is no such.
  std::shared_ptr<Channel> remove(uint32_t channel);
  // Takes those out that no worker has, and none will get.
  std::vector<std::shared_ptr<Channel>> take_unused();
  // Takes all out.
  std::vector<std::shared_ptr<Channel>> clear();
  template <class Use>
  void each_channel(Use use) const {
    for (const Generation& generation : all_)
      for (const Place& place : generation.places)
        if (place.channel) use(*place.channel);
  }

  // ---- what follows ----

  // Of the newest that can take the streams of all workers; where no other does, of one that can take this worker's.
  // Null: there is none.
  std::shared_ptr<Channel> for_new_streams(uint32_t worker) const;
  // Where a generation that takes new streams has no channel for a worker: the host has closed it.
  struct Gap {
    uint32_t number;
    GenerationId id;
    uint32_t worker;
  };
  std::vector<Gap> gaps() const;
  // Null: none is known by this number.
  const GenerationId* find(uint32_t number) const;
  std::vector<GenerationId> ids() const;
  // Some generation takes new streams.
  bool takes_streams() const;
  // Forgets those that were drained and have no channel left.
  std::vector<GenerationId> take_ended();
  std::vector<GenerationId> incomplete() const;

 private:
  struct Place {
    std::shared_ptr<Channel> channel;
    bool is_ready = false;
  };
  struct Generation {
    uint32_t number;
    GenerationId id;
    bool is_draining = false;
    bool is_complete = false;
    std::vector<Place> places;  // by worker

    // Takes the streams of all workers.
    bool is_ready() const;
  };
  Place* place_of(uint32_t channel);

  const uint32_t workers_;
  std::vector<Generation> all_;  // the oldest first
  bool is_over_ = false;         // the host drains: nothing more begins
};

}  // namespace tsf::core
