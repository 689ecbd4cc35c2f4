// Every interleaving of the wake-up protocol, as a small state machine with store buffers.
//
// Two sides: the PRODUCER makes news visible (a tail, or a head where the other side starves: the steps are the same)
// and then looks at the other's `sleep`; the CONSUMER falls asleep, looks again, waits, wakes and consumes. A store
// first lies in its side's store buffer, invisible to the other, and reaches memory at any later time, as on x86; a
// sequentially consistent store waits until its buffer is empty. The search visits all states that can be reached.
//
// A state is a lost wake-up when no side can take a step and there is news that the consumer has not seen.
#include <gtest/gtest.h>

#include <array>
#include <compare>
#include <set>
#include <vector>

namespace tsf::shm::test {
namespace {

struct Variant {
  bool recheck = true;           // the consumer looks again between falling asleep and waiting
  bool fence_in_sleep = true;    // its store of `sleep` is seq_cst
  bool fence_in_publish = true;  // the producer's store of its news is seq_cst
  bool new_number = true;        // each sleep has a number of its own; else `sleep` is only ever 0 or 1
};

enum Word { kNews, kSleep };

struct State {
  // Memory, and per side one buffered store (-1: none). A side's words are its own, so one slot each is enough.
  std::array<int, 2> memory{};
  std::array<int, 2> buffered{-1, -1};
  int bell = 0;

  int producer = 0;   // step within one publish
  int published = 0;  // news made so far
  int looked = 0;     // `sleep` as the producer saw it
  int rung = 0;       // the value last rung for

  int consumer = 0;  // step
  int sleep = 0;     // the consumer's own copy
  int seen = 0;      // news consumed

  auto operator<=>(const State&) const = default;
};

constexpr int kPublishes = 3;

class Model {
 public:
  explicit Model(Variant variant) : variant_(variant) { explore(State{}); }
  int states() const { return static_cast<int>(visited_.size()); }
  int lost() const { return lost_; }
  int completed() const { return completed_; }

 private:
  void explore(const State& first) {
    std::vector<State> open{first};
    while (!open.empty()) {
      const State state = open.back();
      open.pop_back();
      if (!visited_.insert(state).second) continue;
      std::vector<State> next;
      for (const int word : {kNews, kSleep}) flush(state, word, next);
      produce(state, next);
      consume(state, next);
      if (next.empty()) (state.seen == kPublishes ? completed_ : lost_)++;
      open.insert(open.end(), next.begin(), next.end());
    }
  }

  static void flush(State state, int word, std::vector<State>& next) {
    if (state.buffered[word] < 0) return;
    state.memory[word] = state.buffered[word];
    state.buffered[word] = -1;
    next.push_back(state);
  }

  // Stores into the buffer; a second store of the same word overwrites the first, which memory then never shows: that
  // is one of the possible orders and the others are reached by flushing in between.
  static void store(State& state, int word, int value) { state.buffered[word] = value; }
  // What a side sees of the OTHER side's word.
  static int load(const State& state, int word) { return state.memory[word]; }

  void produce(State state, std::vector<State>& next) const {
    switch (state.producer) {
      case 0:  // the news
        if (state.published == kPublishes) return;
        store(state, kNews, ++state.published);
        state.producer = 1;
        break;
      case 1:  // seq_cst: the store is visible before the load
        if (variant_.fence_in_publish && state.buffered[kNews] >= 0) return;
        state.looked = load(state, kSleep);
        state.producer = 2;
        break;
      case 2:
        if ((state.looked & 1) != 0 && (state.looked != state.rung || !variant_.new_number)) {
          state.rung = state.looked;
          state.bell = 1;
        }
        state.producer = 0;
        break;
    }
    next.push_back(state);
  }

  void consume(State state, std::vector<State>& next) const {
    switch (state.consumer) {
      case 0:  // awake: consume what is seen, then fall asleep
        state.seen = load(state, kNews);
        state.sleep = variant_.new_number ? state.sleep + 1 : 1;
        store(state, kSleep, state.sleep);
        state.consumer = variant_.recheck ? 1 : 2;
        break;
      case 1:  // look again
        if (variant_.fence_in_sleep && state.buffered[kSleep] >= 0) return;
        state.consumer = load(state, kNews) == state.seen ? 2 : 3;
        break;
      case 2:  // wait for the bell
        if (state.bell == 0) return;
        state.bell = 0;
        state.consumer = 3;
        break;
      case 3:  // wake
        state.sleep = variant_.new_number ? state.sleep + 1 : 0;
        store(state, kSleep, state.sleep);
        state.consumer = 0;
        break;
    }
    next.push_back(state);
  }

  Variant variant_;
  std::set<State> visited_;
  int lost_ = 0;
  int completed_ = 0;
};

TEST(DoorbellModel, NoInterleavingLosesAWakeUp) {
  const Model model({});
  EXPECT_GT(model.states(), 500);
  EXPECT_GT(model.completed(), 0);
  EXPECT_EQ(model.lost(), 0);
}

TEST(DoorbellModel, WithoutTheSecondLookAWakeUpIsLost) { EXPECT_GT(Model({.recheck = false}).lost(), 0); }

TEST(DoorbellModel, WithoutTheFullFenceInSleepAWakeUpIsLost) { EXPECT_GT(Model({.fence_in_sleep = false}).lost(), 0); }

TEST(DoorbellModel, WithoutTheFullFenceInPublishAWakeUpIsLost) {
  EXPECT_GT(Model({.fence_in_publish = false}).lost(), 0);
}

TEST(DoorbellModel, RingingForEveryPublishLosesNothingEitherButIsNotNeeded) {
  EXPECT_EQ(Model({.new_number = false}).lost(), 0);
}

// ---- the same for room: a producer that starves, and a consumer that gives room back ----

struct RoomState {
  int head = 0;     // the consumer's, in memory: sequentially consistent throughout
  int starved = 0;  // the producer's
  int sleep = 0;    // the producer's
  int bell = 0;

  int producer = 0;
  int seen = 0;          // head as the failed claim saw it
  int starved_head = 0;  // head to compare with when falling asleep

  int consumer = 0;
  int rung = 0;
  int looked = 0;

  auto operator<=>(const RoomState&) const = default;
};

// The ring is full; the producer needs the room of two frames, the consumer gives one at a time.
constexpr int kNeeded = 2;

struct RoomVariant {
  bool sleep_looks_at_room = true;
  bool stall_check_between = false;  // the producer reads the head for other ends before it sleeps...
  bool compares_with_claim = true;   // ...and must compare with the claim's head all the same
};

class RoomModel {
 public:
  explicit RoomModel(RoomVariant variant) : variant_(variant) {
    std::vector<RoomState> open{RoomState{}};
    while (!open.empty()) {
      const RoomState state = open.back();
      open.pop_back();
      if (!visited_.insert(state).second) continue;
      std::vector<RoomState> next;
      produce(state, next);
      consume(state, next);
      if (next.empty() && state.producer != kDone) lost_++;
      open.insert(open.end(), next.begin(), next.end());
    }
  }
  int lost() const { return lost_; }

 private:
  static constexpr int kDone = 9;

  void produce(RoomState state, std::vector<RoomState>& next) const {
    switch (state.producer) {
      case 0:  // claim
        state.seen = state.head;
        state.producer = state.seen >= kNeeded ? kDone : 1;
        break;
      case 1:  // no room: say so
        state.starved |= 1;
        state.producer = 2;
        break;
      case 2:  // and look once more
        state.seen = state.starved_head = state.head;
        state.producer = state.seen >= kNeeded ? kDone : variant_.stall_check_between ? 3 : 4;
        break;
      case 3:
        state.seen = state.head;
        if (!variant_.compares_with_claim) state.starved_head = state.head;
        state.producer = 4;
        break;
      case 4:
        state.sleep++;
        state.producer = variant_.sleep_looks_at_room ? 5 : 6;
        break;
      case 5: state.producer = state.head == state.starved_head ? 6 : 7; break;
      case 6:
        if (state.bell == 0) return;
        state.bell = 0;
        state.producer = 7;
        break;
      case 7:
        state.sleep++;
        state.producer = 0;
        break;
      default: return;
    }
    next.push_back(state);
  }

  static void consume(RoomState state, std::vector<RoomState>& next) {
    switch (state.consumer) {
      case 0:
        if (state.head == kNeeded) return;
        state.head++;
        state.consumer = 1;
        break;
      case 1: state.consumer = (state.starved & 1) != 0 ? 2 : 0; break;
      case 2:
        state.looked = state.sleep;
        state.consumer = 3;
        break;
      case 3:
        if ((state.looked & 1) != 0 && state.looked != state.rung) {
          state.rung = state.looked;
          state.bell = 1;
        }
        state.consumer = 0;
        break;
    }
    next.push_back(state);
  }

  RoomVariant variant_;
  std::set<RoomState> visited_;
  int lost_ = 0;
};

TEST(DoorbellModel, NoInterleavingLeavesAStarvedProducerAsleepBesideRoom) {
  EXPECT_EQ(RoomModel({}).lost(), 0);
  EXPECT_EQ(RoomModel({.stall_check_between = true}).lost(), 0);
}

TEST(DoorbellModel, WithoutASecondLookAtTheRoomAStarvedProducerSleepsForEver) {
  EXPECT_GT(RoomModel({.sleep_looks_at_room = false}).lost(), 0);
}

TEST(DoorbellModel, ComparingWithAHeadReadAfterTheClaimLosesAWakeUp) {
  EXPECT_GT(RoomModel({.stall_check_between = true, .compares_with_claim = false}).lost(), 0);
}

}  // namespace
}  // namespace tsf::shm::test
