// A filter's place in its stream's chain: where there are other entries of ours, or may be edges, or an access logger
// that looks for it.
#pragma once

#include <cstdint>
#include <utility>

#include "stock/chain.h"
#include "stock/envoy.h"

namespace tsf::stock {

class ChainPlace {
 public:
  ChainPlace() = default;
  ~ChainPlace() { leave(); }
  ChainPlace(const ChainPlace&) = delete;
  ChainPlace& operator=(const ChainPlace&) = delete;

  // `log_phases`: of the log hooks that the filter may have; without any it is spared being found.
  void take(Envoy& envoy, Chain::Entry entry, uint32_t log_phases) {
    const bool for_logger = Chain::has_logger() && !envoy.is_upstream() && log_phases != 0;
    if (!Chain::is_needed() && !for_logger) return;
    request_ = entry.flows[0];
    entry.home = &chain_;
    if (Chain::has_edges() || for_logger) {
      chain_ = &Chain::join(envoy, entry);
    } else {
      key_ = Chain::key_of(envoy, false);
      chain_ = Chain::join_others(envoy, entry);
    }
    if (for_logger) chain_->be_found(envoy);
  }
  void leave() {
    if (chain_ != nullptr) std::exchange(chain_, nullptr)->leave(*request_);
    forget_key();
  }
  // The stream's header map goes to a new stream.
  void give_up_key() {
    if (chain_ != nullptr) chain_->give_up_key();
    forget_key();
  }
  // Null: it is alone, as far as is known.
  Chain* chain() const { return chain_; }

 private:
  void forget_key() {
    if (key_ != nullptr) Chain::forget_alone(*request_, std::exchange(key_, nullptr));
  }

  const Neighbour* request_ = nullptr;
  Chain* chain_ = nullptr;
  const void* key_ = nullptr;  // under which others find this one, while it may be the only one
};

}  // namespace tsf::stock
