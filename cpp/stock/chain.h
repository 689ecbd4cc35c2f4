// Our entries in one HTTP stream: filters, and edges at the ends of Envoy's chain. Envoy has ONE buffer and ONE "the
// end has come in" per direction for all filters of a stream, so the entries have to know of each other
// (docs/chains.md). They find each other when Envoy makes them, by the stream's key. Worker thread only.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/byte_queue.h"
#include "core/clock.h"
#include "core/mount.h"
#include "exchange_generated.h"
#include "stock/envoy.h"

namespace tsf::core {
class LogListener;
}

namespace tsf::stock {

class EdgeFilter;

// One direction of one of our filters, as the others see it.
class Neighbour {
 public:
  virtual ~Neighbour() = default;
  // Its message is not complete: whoever ends it now cuts it.
  virtual bool is_open() const = 0;
  // It has not let its headers go, so that whoever ends the message before it meets it.
  virtual bool has_headers_here() const = 0;
  // It lets the message by and may still write to its trailers, or before them.
  virtual bool waits_for_trailers() const { return false; }
  virtual bool is_edge() const { return false; }
  // Envoy has shown it the end.
  virtual bool has_seen_end() const = 0;
  // So long somebody before it has the end, or may have it; null: nobody.
  virtual core::Nanos end_is_held_until() { return 0; }
  // It has more input in module memory than it can use.
  virtual bool is_full() const = 0;
  // Raw input of it lies in the shared buffer: takes it out for somebody's push, and puts it back.
  virtual bool leaves_input() const = 0;
  virtual std::string park() = 0;
  virtual void unpark(const std::string& bytes) = 0;
  // Moves it to module memory for good.
  virtual void keep_input() = 0;
  virtual void wake() = 0;
  // An edge behind all filters of this direction has seen its headers.
  virtual void on_edge_reached() {}
  // Somebody behind it has put bytes into the chain of its own accord.
  virtual void on_injected_behind() {}
  // Somebody behind it has let go what it kept, and that has come to the next of ours.
  virtual void on_let_go_behind() {}
  // By so many bytes it has made the message longer before it let the rest by.
  virtual uint64_t growth() const { return 0; }
  // Envoy has brought the end into the stream, perhaps not yet to this one.
  virtual void on_end_in_stream() {}
  // The edge of the upstream request is no more, and with it what it has of the response.
  virtual void on_upstream_edge_gone() {}
  // One before it has taken so many bytes back that had gone by: they go again.
  virtual void on_taken_back(size_t) {}
  // Somebody else's push has moved what lies in the shared buffer.
  virtual void on_buffer_moved() {}

  // An empty frame from the router's end gets it another continue, at any time.
  virtual bool can_pump() const { return false; }
  // So that its response's end may be held back, and no buffer of the response is over its limit.
  virtual bool can_wait_for_end() const { return false; }
  // Bytes from the router's end, past what holds the end back.
  virtual void pass_on(std::string_view) {}
  // The router's end holds this response's end back, and has let so many bytes by.
  virtual void hold_far_end(uint64_t, core::InputEnd) {}

  // The message of one before us was ended by a filter in between: the rest comes by hand. False: not now.
  virtual bool takes_more() const = 0;
  // It takes all of it at once.
  virtual bool collects() const = 0;
  virtual void accept(core::ByteQueue& bytes, core::InputEnd end) = 0;
  // From here on it gives its output by hand to that one, which has had so many bytes of it, and then an end.
  virtual void divert_to(Neighbour& next, uint64_t bytes) = 0;
};

// Bytes that somebody behind a push keeps in the shared buffer, taken out meanwhile, so that they are not shown again;
// and what lies there instead.
struct Aside {
  std::string kept;
  std::string pushed;
};

class Chain {
 public:
  enum class Role : uint8_t { kFilter, kFirstEdge, kLastEdge, kUpstreamEdge };
  struct Entry {
    const void* config;  // each entry of Envoy's configuration has its own
    Role role;
    std::array<Neighbour*, 2> flows{};
    core::LogListener* listener = nullptr;  // a filter's
    EdgeFilter* edge = nullptr;
    bool observes = false;   // it has no part in what the others do: they count and gate without it
    Chain** home = nullptr;  // of a filter that is alone: where its chain is put once it has one
  };

  // The chain of the stream that Envoy is making filters for; made for the first of them. An edge's role is found here.
  static Chain& join(Envoy& envoy, Entry entry);
  // As join, but no chain is made for a filter that is alone in its stream; null. Another entry that comes makes it.
  static Chain* join_others(Envoy& envoy, Entry entry);
  // By which entries of one stream find each other.
  static const void* key_of(const Envoy& envoy, bool is_edge);
  // A filter that is alone goes, or its header map goes to a new stream.
  static void forget_alone(const Neighbour& request, const void* key);
  void leave(const Neighbour& request);
  // This stream's header map goes to a new stream.
  void give_up_key();

  // Access loggers of ours find a stream by the id that is in its dynamic metadata. relaxed: a stream that is made
  // meanwhile may be found by a new logger or not.
  static bool has_logger() { return live_loggers_.load(std::memory_order_relaxed) > 0; }
  static void count_logger(int delta) { live_loggers_.fetch_add(delta, std::memory_order_relaxed); }
  // Null: its streams are gone, or it is none of this worker's.
  static Chain* find(uint64_t id);
  void be_found(Envoy& envoy);
  void log(wire::LogKind kind, const core::LogSource& source);

  // More than one entry of ours is configured in this process. relaxed: counted before any stream of the new one
  // exists.
  static bool is_needed() { return live_entries_.load(std::memory_order_relaxed) > 1; }
  static void count_entry(int delta) { live_entries_.fetch_add(delta, std::memory_order_relaxed); }
  // Edges among them: one in the router's own filters comes when the others have long begun. relaxed: as above.
  static bool has_edges() { return live_edges_.load(std::memory_order_relaxed) > 0; }
  static void count_edge(int delta) { live_edges_.fetch_add(delta, std::memory_order_relaxed); }

  EdgeFilter* edge(Role role) const { return edges_[static_cast<size_t>(role)]; }
  // The edge behind every filter of that direction.
  EdgeFilter* gate(Dir dir) const { return edge(dir == Dir::kRequest ? Role::kLastEdge : Role::kFirstEdge); }
  bool has_siblings() const { return filters_ > 1; }
  // Nobody in it takes part in the message: there are observers only.
  bool is_empty() const;

  // ---- about `flow`, one of ours in that direction ----
  // Envoy has brought the end into the stream: from then on any continue ends the message for all that follow.
  void note_end(Dir dir);
  bool has_end(Dir dir) const { return ends_[static_cast<size_t>(dir)]; }
  // That has not come here, or one before it is not through.
  bool end_is_held_before(const Neighbour& flow, Dir dir) const;
  // An entry of ours at the peer's end of that direction hears of each end.
  bool sees_peers_end(Dir dir) const;
  // The nearest of our filters before it whose message is not complete; null = none.
  Neighbour* open_filter_before(const Neighbour& flow, Dir dir) const;
  // The nearest before it whose message is not complete, be it that only trailers are to come; null = none.
  Neighbour* open_before(const Neighbour& flow, Dir dir) const;
  // Whose raw input lies in the shared buffer: before it, behind it.
  Neighbour* owner_before(const Neighbour& flow, Dir dir) const;
  Neighbour* owner_behind(const Neighbour& flow, Dir dir) const;
  // A response's end that is held back at the router, for whomever; it goes on.
  bool holds_far_end(Dir dir) const;
  void let_far_end_go() const;
  // To the next of ours that has not let the response by; false: there is none.
  bool offer_far_end(core::InputEnd end) const;
  bool has_filter_before(const Neighbour& flow, Dir dir) const;
  bool has_filter_behind(const Neighbour& flow, Dir dir) const;
  // Raw input of one of ours lies in the shared buffer.
  bool has_owner(Dir dir) const;
  // One behind it has more input than it can use.
  bool is_full_behind(const Neighbour& flow, Dir dir) const;
  // A filter of ours behind it still has the headers before it or holds them.
  bool are_headers_held_behind(const Neighbour& flow, Dir dir) const;
  // Envoy has shown the end to the next of ours, or the next edge.
  bool has_next_seen_end(const Neighbour& flow, Dir dir) const;
  // The next of ours has them, so that whoever keeps bytes is before that one.
  bool are_headers_at_next(const Neighbour& flow, Dir dir) const;
  void wake_before(const Neighbour& flow, Dir dir) const;
  void tell_edge_reached(Dir dir) const;
  // In a body hook of so many bytes, not of the end.
  void note_body(const Neighbour& flow, Dir dir, const Envoy& envoy, size_t length);
  // Around a push; true: it has come to one of ours.
  void begin_push(Dir dir) { pushes_[static_cast<size_t>(dir)] = Push::kOnItsWay; }
  bool end_push(Dir dir) { return std::exchange(pushes_[static_cast<size_t>(dir)], Push::kNone) == Push::kHasCome; }
  // One is on the stack, by a continue or by a frame of its own: what it brings lay alone in the shared buffer.
  bool is_pushing(Dir dir) const {
    return pushes_[static_cast<size_t>(dir)] != Push::kNone || framed_[static_cast<size_t>(dir)];
  }
  void set_framed(Dir dir, bool on) { framed_[static_cast<size_t>(dir)] = on; }
  uint64_t growth_before(const Neighbour& flow, Dir dir) const;
  // Those before it: what lies in the buffer now is behind them.
  void tell_buffer_moved(const Neighbour& by, Dir dir) const;
  // One of ours resets the stream.
  void note_reset() { was_reset_ = true; }
  bool was_reset() const { return was_reset_; }
  // Those behind it.
  void tell_taken_back(const Neighbour& by, Dir dir, size_t bytes) const;
  // The open response nearest to the router; none while one nearer still has to add to the trailers.
  Neighbour* first_open_response(core::InputEnd end) const;

  // Bytes that lay in the shared buffer before the push that is now on the stack.
  size_t pushed_over(Dir dir) const { return pushed_over_[static_cast<size_t>(dir)]; }
  void set_pushed_over(Dir dir, size_t bytes) { pushed_over_[static_cast<size_t>(dir)] = bytes; }
  // Of the push that is now on the stack; null = nothing is aside.
  void set_aside(Dir dir, Aside* aside) { aside_[static_cast<size_t>(dir)] = aside; }
  // In a body hook behind that push: whoever kept bytes has let go of them. They go before it, if nobody has made other
  // bytes of it.
  void put_aside_before(Dir dir, Envoy& envoy);
  // The empty frame on the stack is for this one; null = none is.
  const Neighbour* pumped() const { return pumped_; }
  void set_pumped(const Neighbour* flow) { pumped_ = flow; }

 private:
  void tell_upstream_edge_gone() const;
  enum class Push : uint8_t { kNone, kOnItsWay, kHasCome };

  // The nearest for which `is` is true; null = none.
  template <class Is>
  Neighbour* nearest(const Neighbour& flow, Dir dir, bool to_front, Is is) const;
  template <class Is>
  Neighbour* nearest_before(const Neighbour& flow, Dir dir, Is is) const;
  template <class Is>
  Neighbour* nearest_behind(const Neighbour& flow, Dir dir, Is is) const;
  template <class Use>
  void each_before(const Neighbour& flow, Dir dir, Use use) const;
  bool has(const void* config) const;
  void add(Entry entry);

  inline static std::atomic<int> live_loggers_{0};
  inline static std::atomic<int> live_entries_{0};
  inline static std::atomic<int> live_edges_{0};

  const void* key_ = nullptr;
  uint64_t id_ = 0;             // for access loggers; 0 = none
  std::vector<Entry> entries_;  // in the order of Envoy's chain, the upstream edge last
  std::array<EdgeFilter*, 4> edges_{};
  size_t filters_ = 0;
  std::array<size_t, 2> pushed_over_{};
  std::array<Aside*, 2> aside_{};
  std::array<bool, 2> ends_{};
  std::array<Push, 2> pushes_{};
  std::array<bool, 2> framed_{};
  bool was_reset_ = false;
  const Neighbour* pumped_ = nullptr;
};

}  // namespace tsf::stock
