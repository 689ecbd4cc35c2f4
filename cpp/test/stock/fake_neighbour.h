// One direction of one of our filters, as tests want the others of its chain to see it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/byte_queue.h"
#include "stock/chain.h"

namespace tsf::core::test {

class FakeNeighbour final : public stock::Neighbour {
 public:
  bool is_open() const override { return open; }
  bool has_headers_here() const override { return headers_here; }
  bool has_seen_end() const override { return seen_end; }
  bool is_full() const override { return full; }
  bool leaves_input() const override { return leaves; }
  void on_upstream_edge_gone() override { ++upstream_edges_gone; }
  std::string park() override { return {}; }
  void unpark(const std::string&) override {}
  void keep_input() override {}
  void wake() override { ++woken; }
  void on_edge_reached() override { ++told; }
  void on_taken_back(size_t bytes) override { taken_back += bytes; }
  void on_buffer_moved() override { ++moved; }
  void on_injected_behind() override { ++injected; }
  void on_let_go_behind() override { ++let_go; }
  uint64_t growth() const override { return grown; }
  bool can_pump() const override { return pumps; }
  bool waits_for_trailers() const override { return trailers; }
  bool can_wait_for_end() const override { return pumps; }
  void pass_on(std::string_view bytes) override { passed_on += bytes; }
  void hold_far_end(uint64_t passed, InputEnd end) override {
    held_after = passed;
    held_end = end;
  }
  bool takes_more() const override { return true; }
  bool collects() const override { return false; }
  void accept(ByteQueue&, InputEnd) override {}
  void divert_to(stock::Neighbour& next, uint64_t) override { diverted = &next; }

  int upstream_edges_gone = 0;
  bool open = false, headers_here = false, seen_end = false, full = false, leaves = false, pumps = false,
       trailers = false;
  int woken = 0, told = 0, moved = 0, injected = 0, let_go = 0;
  uint64_t grown = 0;
  std::string passed_on;
  size_t taken_back = 0;
  uint64_t held_after = 0;
  InputEnd held_end = InputEnd::kOpen;
  stock::Neighbour* diverted = nullptr;
};

// A filter of ours in a chain.
struct FakeFilter {
  std::array<FakeNeighbour, 2> flows;
  const char config = 0;

  FakeNeighbour& operator[](Dir dir) { return flows[static_cast<size_t>(dir)]; }
  stock::Chain& join(stock::Envoy& envoy) {
    stock::Chain::Entry entry;
    entry.config = &config;
    entry.flows = {&flows[0], &flows[1]};
    return stock::Chain::join(envoy, entry);
  }
  // As a filter does where no edge is configured.
  void join_others(stock::Envoy& envoy) {
    stock::Chain::Entry entry;
    entry.config = &config;
    entry.flows = {&flows[0], &flows[1]};
    entry.home = &chain;
    chain = stock::Chain::join_others(envoy, entry);
  }
  stock::Chain* chain = nullptr;
};

}  // namespace tsf::core::test
