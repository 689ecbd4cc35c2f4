// Whether headers that we let go have passed all filters behind us. Without an edge there is no hook for it; these are
// signs that Envoy itself leaves.
//
//   with us ──let go──► on their way ──sign, or an edge's word──► through
//
// A request is through when the router has chosen a host, which is told once it has connected to it; before that the
// router has written the timeout that it will wait for, where there is one. A response is through when the connection
// manager has written its `server` header, which makes it point to Envoy's own text; where that is configured away,
// nothing is known.
#pragma once

#include "stock/chain_facts.h"
#include "stock/envoy.h"

namespace tsf::stock {

class HeadersWatch {
 public:
  HeadersWatch(Envoy& envoy, ChainFacts& facts, Dir dir) : envoy_(envoy), facts_(facts), dir_(dir) {}

  bool are_gone() const { return state_ != State::kHere; }
  void let_go() {
    if (state_ != State::kHere) return;
    state_ = State::kOnTheirWay;
    if (dir_ == Dir::kResponse) {
      server_ = server();
    } else {
      had_timeout_ = has_timeout();
    }
  }
  // An edge behind all filters has seen them.
  void told() { state_ = State::kThrough; }

  bool are_through() {
    if (state_ == State::kOnTheirWay && sees_sign()) state_ = State::kThrough;
    return state_ == State::kThrough;
  }
  // A filter behind us has stopped them. False where nothing is known.
  bool are_held() {
    if (!are_gone() || are_through()) return false;
    return dir_ == Dir::kRequest ? !is_with_router() : facts_.server_header_is_written();
  }
  // So it may be also where nothing is known: with the first responses of a process, or without the sign.
  bool may_be_held() { return are_gone() && !are_through() && !(dir_ == Dir::kRequest && is_with_router()); }
  // Of a response: it has gone on, to its end, and the stream is over.
  void is_over() {
    if (are_gone() && !are_through()) facts_.missed_server_header();
  }

 private:
  enum class State : uint8_t { kHere, kOnTheirWay, kThrough };

  const char* server() const {
    const auto value = envoy_.header(core::HeaderType::kResponse, "server");
    return value ? value->data() : nullptr;
  }
  bool has_timeout() const {
    return envoy_.header(core::HeaderType::kRequest, "x-envoy-expected-rq-timeout-ms").has_value();
  }
  // It has not chosen a host yet, or that is still being connected to.
  bool is_with_router() const { return !had_timeout_ && has_timeout(); }
  bool sees_sign() {
    if (dir_ == Dir::kRequest) return envoy_.has_upstream();
    if (server() == server_) return false;
    facts_.saw_server_header();
    return true;
  }

  Envoy& envoy_;
  ChainFacts& facts_;
  const Dir dir_;
  State state_ = State::kHere;
  const char* server_ = nullptr;
  bool had_timeout_ = false;  // the client's
};

}  // namespace tsf::stock
