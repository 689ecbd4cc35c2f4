// What Envoy has destroyed while code of ours may still be on the stack: it stays in memory until none is.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace tsf::core {

class Retired {
 public:
  virtual ~Retired() = default;
};

class Graveyard {
 public:
  using Dead = std::vector<std::unique_ptr<Retired>>;

  void enter() { ++depth_; }
  // False: there is still code of ours below.
  bool leave() { return --depth_ == 0; }
  void bury(std::unique_ptr<Retired> owner) {
    if (depth_ > 0) dead_.push_back(std::move(owner));
  }
  Dead take() { return std::exchange(dead_, {}); }

 private:
  int depth_ = 0;
  Dead dead_;
};

}  // namespace tsf::core
