// Filters behind us, and the router, that keep a request's body in the shared buffer.
//
// The router keeps what it has sent for a retry, a redirect or a mirror. Shown to it again it would be sent again, so a
// push takes the copy out and puts it back. It gives the copy up once it is shown more than its limit at once.
//
// The buffer filter, Lua's body() and others gather the whole body, set a buffer limit of their own when the headers
// reach them, and look at all of it at the end: what they keep stays where it is then. The buffer filter also counts
// what it is shown, so that the length which it would set is wrong where a push shows it something twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "stock/envoy.h"

namespace tsf::stock {

class Buffering {
 public:
  Buffering(Envoy& envoy, Dir dir) : envoy_(envoy), dir_(dir) {}

  // A filter behind us has set its own limit: it waits for the whole body.
  bool is_gathered_behind() const { return gathered_behind_; }

  // Around the continue with which the headers go: one byte more than there was shows who sets a limit.
  void before_headers() {
    limit_ = envoy_.buffer_limit();
    if (limit_ > 0) envoy_.set_buffer_limit(limit_ + 1);
  }
  void after_headers() {
    if (limit_ == 0) return;
    gathered_behind_ = envoy_.buffer_limit() != limit_ + 1;
    if (!gathered_behind_) envoy_.set_buffer_limit(limit_);
  }

  // The router keeps all that it is sent from the first byte on, or nothing.
  bool router_may_keep() const { return router_may_keep_; }
  void nothing_was_kept() { router_may_keep_ = false; }

  // Output that a push puts into the buffer.
  void on_output(size_t bytes) { emitted_ += bytes; }
  // It will go once more.
  void took_back(size_t bytes) {
    emitted_ -= std::min<uint64_t>(bytes, emitted_);
    taken_back_ += bytes;
  }
  uint64_t emitted() const { return emitted_; }
  uint64_t taken_back() const { return taken_back_; }
  // Before the last push. `emitted_before`: without it; `kept`: what lies in the buffer of that.
  void before_end(uint64_t emitted_before, size_t kept) {
    if (dir_ != Dir::kRequest || !gathered_behind_ || emitted_before == 0 || kept != emitted_before) return;
    if (envoy_.header(core::HeaderType::kRequest, "content-length")) return;
    envoy_.set_header(core::HeaderType::kRequest, "content-length", std::to_string(emitted_));
  }

  // Whether a push past the router's copy is worth it: a copy over Envoy's limit goes on in ever larger pieces until
  // the router gives it up.
  bool is_worth(size_t copy, size_t bytes) {
    const uint64_t limit = envoy_.buffer_limit();
    if (limit == 0 || copy == 0 || copy + bytes <= limit) return true;
    floor_ = std::max(floor_, limit);
    if (bytes < floor_) return false;
    floor_ *= 2;
    return true;
  }

  // A filter behind us wants the whole body and has kept what paused the peer while it was ours. Envoy goes on below
  // half of its limit only, and refuses a body only where it crosses the limit: taken out and put back, it does the one
  // or the other.
  void cross_limit_again(size_t kept) {
    const uint64_t limit = envoy_.buffer_limit();
    if (limit == 0 || kept <= limit / 2) return;
    const std::string bytes = envoy_.take_body(dir_, BodySource::kBuffered);
    envoy_.append_body(dir_, BodySource::kBuffered, bytes);
  }

 private:
  Envoy& envoy_;
  const Dir dir_;
  uint64_t emitted_ = 0;
  uint64_t taken_back_ = 0;
  uint64_t limit_ = 0;
  uint64_t floor_ = 0;  // least output for a push past the router's copy
  bool gathered_behind_ = false;
  bool router_may_keep_ = true;
};

}  // namespace tsf::stock
