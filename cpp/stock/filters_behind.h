// What is known of the filters behind one of ours in a direction: whether they have let its headers by, what they keep
// of its body, and who of them may put bytes into the chain. `passed`: the body bytes that the edge behind them all has
// seen; nullopt = there is no edge.
//
// Worker thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "stock/buffering.h"
#include "stock/envoy.h"
#include "stock/headers_watch.h"
#include "stock/injector.h"
#include "stock/shared_buffer.h"

namespace tsf::stock {

class FiltersBehind {
 public:
  FiltersBehind(Envoy& envoy, ChainFacts& facts, const ExtProc& ext_proc, Dir dir)
      : envoy_(envoy), dir_(dir), watch_(envoy, facts, dir), buffering_(envoy, dir), injector_(facts, ext_proc, dir) {}

  HeadersWatch& watch() { return watch_; }
  const HeadersWatch& watch() const { return watch_; }
  Buffering& buffering() { return buffering_; }
  const Buffering& buffering() const { return buffering_; }
  Injector& injector() { return injector_; }
  const Injector& injector() const { return injector_; }

  // None of them has the message stopped, as far as that can be known.
  bool let_by(bool has_edge);
  // One of them keeps all that was pushed and has let the headers go: it looks at each piece as it comes, and is not
  // to be shown one again. True also where nobody keeps any of the `kept` bytes in the buffer.
  bool keep_at_once(const SharedBuffer& buffer, size_t kept);
  // What lies in the shared buffer is what the router has been sent, and nothing else.
  bool is_routers_copy(size_t kept, std::optional<uint64_t> passed) const;
  // Of what the last look found in the buffer: so many bytes have not passed the edge since.
  size_t still_kept(const SharedBuffer& buffer, uint64_t passed) const;

  // All that lies in the buffer now is theirs.
  void look(SharedBuffer& buffer, std::optional<uint64_t> passed);
  // A push of so many bytes is over; before it there were `kept`, and keep_at_once() said `at_once`.
  void note_push(SharedBuffer& buffer, std::optional<uint64_t> passed, size_t kept, size_t length, bool at_once);
  // That had bytes.
  uint64_t pushes() const { return pushes_; }
  // Of `given` frames of one push so many have come to the edge.
  void note_frames(uint64_t given, uint64_t come) { path_clear_ = given > 0 && come >= given; }

 private:
  Envoy& envoy_;
  const Dir dir_;
  HeadersWatch watch_;
  Buffering buffering_;
  Injector injector_;
  uint64_t pushes_ = 0;
  uint64_t passed_edge_ = 0;   // when the buffer was looked at last
  bool path_clear_ = false;    // the last push reached the edge
  bool kept_at_once_ = false;  // what somebody keeps are pushes of ours, each as it was made
};

}  // namespace tsf::stock
