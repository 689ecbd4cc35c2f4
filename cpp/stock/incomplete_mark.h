// A message of ours that is not complete while a filter behind us holds its headers: when that filter goes on by
// itself, the message ends there, short, and nothing of ours is asked. It may as well wait for our end, as filters do
// that gather the whole body, and then all is well. Envoy does not say which. So the headers get a length that nobody
// will reach, and whoever receives them early sees that the message is not whole.
//
//   off ──set()──► on ──clear(), before our own end──► off
//                   └─the headers go on without us───► the message is cut
#pragma once

#include <optional>
#include <string>

#include "stock/envoy.h"

namespace tsf::stock {

class IncompleteMark {
 public:
  IncompleteMark(Envoy& envoy, Dir dir) : envoy_(envoy), type_(core::headers_of(dir)) {}

  bool is_set() const { return is_set_; }
  void set() {
    if (is_set_) return;
    is_set_ = true;
    if (const auto length = envoy_.header(type_, kName)) before_ = std::string(*length);
    envoy_.set_header(type_, kName, kNeverReached);
  }
  void clear() {
    if (!is_set_) return;
    is_set_ = false;
    if (before_) {
      envoy_.set_header(type_, kName, *before_);
    } else {
      envoy_.remove_header(type_, kName);
    }
  }

 private:
  static constexpr std::string_view kName = "content-length";
  static constexpr std::string_view kNeverReached = "1125899906842624";

  Envoy& envoy_;
  const core::HeaderType type_;
  bool is_set_ = false;
  std::optional<std::string> before_;
};

}  // namespace tsf::stock
