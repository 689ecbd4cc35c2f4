// Envoy's ext_proc in the stream of one of ours, by the notes that it keeps for access logs: which of its calls to its
// server have been answered. In its streamed modes it takes a body out of the chain and puts it in again later, which
// others must know of (filters_before.h, injector.h). The notes are in the stream's filter state from the beginning,
// under the name of ext_proc's entry; only the usual one is asked for.
//
// What a call was for shows where it stands: before us when it has had a message of which nothing of ours has gone.
// Which messages it takes shows when they are over. Both are remembered for the configuration.
//
// Worker thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "stock/chain_facts.h"
#include "stock/envoy.h"

namespace tsf::stock {

class ExtProc {
 public:
  static constexpr std::string_view kName = "envoy.filters.http.ext_proc";

  ExtProc(const Envoy& envoy, ChainFacts& facts, Dir dir) : envoy_(envoy), facts_(facts), dir_(dir) {}

  // The headers have come to us, and are still here.
  void look_at_headers();
  // Some of the body has come to us, and none of ours has gone on.
  void look_at_body();
  bool is_there() const { return is_there_; }
  // Something of ours has come past all filters behind us at once, or when they let it go. True: not past ext_proc,
  // which has had some of the body.
  bool look_behind();
  // What of a message's body has gone past where it may stand.
  struct Gone {
    uint64_t bytes = 0;
    uint64_t pieces = 0;  // one after the other
  };
  // The message is over.
  void look_at_end(const Gone& gone);

  // It may take this message's body before us, or what goes on from us.
  bool may_be_before() const { return may_take() && !is_not_before_ && side() != Place::kBehind; }
  bool may_be_behind() const { return may_take() && side() != Place::kBefore; }
  // It has taken such a one that may have gone on from us.
  bool is_behind() const { return may_be_behind() && facts_.takes_body(dir_) == ChainFacts::Takes::kYes; }
  // One call of this message has taken so long, on the average.
  std::chrono::milliseconds latency() const;

 private:
  // The first call of a stream may have waited for a connection.
  static constexpr std::chrono::milliseconds kMostLatency{250};

  enum class Place : uint8_t { kUnknown, kBefore, kBehind };
  struct Answered {
    bool headers = false;
    bool body = false;
    std::chrono::microseconds latency{0};
    uint64_t sent = 0;  // bytes to the server, of both messages
  };

  // Nullopt: it is not there.
  std::optional<Answered> answered() const;
  Place side() const;
  bool may_take() const { return is_there_ && facts_.takes_body(dir_) != ChainFacts::Takes::kNo; }

  const Envoy& envoy_;
  ChainFacts& facts_;
  const Dir dir_;
  bool is_there_ = false;
  bool has_seen_body_ = false;
  bool is_not_before_ = false;
};

}  // namespace tsf::stock
