// One of our filters with `observe_only` in one HTTP stream of stock Envoy. Its hooks read what goes by and answer
// Continue, whatever becomes of the view.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/observer.h"
#include "stock/chain.h"
#include "stock/chain_place.h"
#include "stock/envoy.h"

namespace tsf::stock {

// What the other entries see of it, which is nothing: it makes nothing of the message and holds nothing.
class StillNeighbour final : public Neighbour {
 public:
  bool is_open() const override { return false; }
  bool has_headers_here() const override { return false; }
  bool is_edge() const override { return true; }  // for them it is as one: what comes by it is of whoever is before it
  bool has_seen_end() const override { return false; }
  bool is_full() const override { return false; }
  bool leaves_input() const override { return false; }
  std::string park() override { return {}; }
  void unpark(const std::string&) override {}
  void keep_input() override {}
  void wake() override {}
  bool takes_more() const override { return true; }
  bool collects() const override { return false; }
  void accept(core::ByteQueue&, core::InputEnd) override {}
  void divert_to(Neighbour&, uint64_t) override {}
};

class ObservingStream {
 public:
  ObservingStream(core::Worker& worker, std::shared_ptr<const core::FilterConfig> config, Envoy& envoy)
      : envoy_(envoy), core_(worker, std::move(config), envoy) {}
  ObservingStream(const ObservingStream&) = delete;
  ObservingStream& operator=(const ObservingStream&) = delete;

  core::Observer& core() { return core_; }

  // ---- Envoy's hooks ----
  void on_new();
  void on_headers(Dir dir, bool end);
  void on_body(Dir dir, bool end);
  void on_trailers(Dir dir);
  // Envoy is about to answer itself, with these details.
  void on_local_reply(std::string_view details);
  void on_destroy();

 private:
  // The chunk may hold bytes that have gone by before.
  bool may_be_shown_again(Dir dir, size_t length) const;
  // A filter in between has ended the message of one of ours that is not through: the rest does not come by here.
  bool is_cut(Dir dir) const;

  Envoy& envoy_;
  std::array<StillNeighbour, 2> flows_;
  core::Observer core_;
  ChainPlace place_;
  std::array<bool, 2> has_body_passed_{};
  bool is_codec_error_ = false;  // Envoy's codec could not read on: what answers that is for no hook
};

}  // namespace tsf::stock
