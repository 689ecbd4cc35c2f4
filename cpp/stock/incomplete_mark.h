// A message of ours that is not complete while a filter behind us holds its headers: when that filter goes on by
// itself, the message ends there, short, and nothing of ours is asked. It may as well wait for our end, as filters do
// that gather the whole body, and then all is well. Envoy does not say which. So the headers get a length that nobody
// will reach, and whoever receives them early sees that the message is not whole.
//
// An upstream on HTTP/1 may answer such a request without the rest, and still wait for it on that connection. Envoy has
// sent an end and would use it again, and the next request would be read as the rest. So it is told to close it.
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
  IncompleteMark(Envoy& envoy, Dir dir) : envoy_(envoy), dir_(dir) {}

  bool is_set() const { return is_set_; }
  void set() {
    if (is_set_) return;
    is_set_ = true;
    length_ = replace("content-length", kNeverReached);
    // Of a response it is Envoy that decides, when the stream is over.
    if (dir_ == Dir::kRequest) connection_ = replace("connection", "close");
  }
  void clear() {
    if (!is_set_) return;
    is_set_ = false;
    restore("content-length", length_);
    if (dir_ == Dir::kRequest) restore("connection", connection_);
  }

 private:
  using Line = std::optional<std::string>;
  static constexpr std::string_view kNeverReached = "1125899906842624";

  Line replace(std::string_view name, std::string_view value) {
    const auto type = core::headers_of(dir_);
    const auto now = envoy_.header(type, name);
    Line before = now ? Line(*now) : Line();
    envoy_.set_header(type, name, value);
    return before;
  }
  void restore(std::string_view name, const Line& before) {
    const auto type = core::headers_of(dir_);
    if (before) {
      envoy_.set_header(type, name, *before);
    } else {
      envoy_.remove_header(type, name);
    }
  }

  Envoy& envoy_;
  const Dir dir_;
  bool is_set_ = false;
  Line length_;
  Line connection_;
};

}  // namespace tsf::stock
