// A filter manager of Envoy, for tests: filters in a row, in each direction one buffer and one "the end has come in"
// for all of them, and what a filter's Stop and continue do to them. As source/common/http/filter_manager.cc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "stock/envoy.h"

namespace tsf::core::test {

using stock::BodySource;
using stock::BodyStatus;
using stock::HeadersStatus;
using stock::TrailersStatus;

// What our filters never answer.
inline constexpr BodyStatus kStopIterationAndBuffer{1};

// Bytes, and by which filter they were put where they are: a filter's output has passed it, what it keeps has not.
struct Segment {
  std::string bytes;
  size_t passed = 0;  // number of filters, from the front in this direction
};
struct BodyBuffer {
  std::deque<Segment> segments;

  size_t size() const {
    size_t n = 0;
    for (const auto& segment : segments) n += segment.bytes.size();
    return n;
  }
  std::string text() const {
    std::string out;
    for (const auto& segment : segments) out += segment.bytes;
    return out;
  }
  // Its first bytes.
  void give(size_t length, BodyBuffer& to) {
    while (length > 0 && !segments.empty()) {
      auto& front = segments.front();
      const size_t n = std::min(length, front.bytes.size());
      to.segments.push_back({front.bytes.substr(0, n), front.passed});
      front.bytes.erase(0, n);
      length -= n;
      if (front.bytes.empty()) segments.pop_front();
    }
  }
  void move(BodyBuffer& from) {
    for (auto& segment : from.segments) segments.push_back(std::move(segment));
    from.segments.clear();
  }
};

// One filter of the row.
class Hop {
 public:
  virtual ~Hop() = default;
  virtual HeadersStatus on_headers(Dir dir, bool end) = 0;
  virtual BodyStatus on_body(Dir dir, bool end) = 0;
  virtual TrailersStatus on_trailers(Dir dir) = 0;
  // Hears of it when Envoy's buffer of the response is over its limit, and when it is below it again.
  virtual void on_watermark(bool) {}

  // Its place in each direction, in Envoy's own words.
  struct Side {
    bool stopped = false;
    bool headers_continued = false;
    bool end_stream = false;
    BodyBuffer* received = nullptr;
    BodyBuffer put_aside;  // what it has taken out of the row's buffer that had passed it: it comes back as it was
  };
  std::array<Side, 2> sides;
};

class FilterManager {
 public:
  // Where a message leaves the row, and what the stream has to say to it.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual bool is_gone() const = 0;
    virtual void headers_out(FilterManager& from, Dir dir, bool end) = 0;
    virtual void data_out(FilterManager& from, Dir dir, const std::string& bytes, bool end) = 0;
    virtual void trailers_out(FilterManager& from, Dir dir) = 0;
    // A filter gathers more than the buffer's limit.
    virtual void too_large(Dir dir) = 0;
    virtual void violation(std::string what) = 0;
    virtual size_t limit() const = 0;
  };

  // For a person who looks for a fault: says every step.
  inline static bool traces = false;

  explicit FilterManager(Owner& owner) : owner_(owner) {}

  void add(Hop& hop) { hops_.push_back(&hop); }

  // ---- from the codecs ----
  void headers(Dir dir, bool end) {
    Line& l = line(dir);
    require(!l.arrived, "headers twice");
    l.arrived = true;
    l.ended = l.end_is_known = end;
    iterate_headers(dir, 0, end);
  }
  void data(Dir dir, BodyBuffer bytes, bool end) {
    Line& l = line(dir);
    require(l.arrived && !l.ended, "data out of turn");
    l.ended = l.end_is_known = end;
    iterate_data(dir, 0, bytes, end);
  }
  void trailers(Dir dir) {
    Line& l = line(dir);
    require(l.arrived && !l.ended, "trailers out of turn");
    l.ended = l.end_is_known = l.trailers = true;
    iterate_trailers(dir, 0);
  }
  // A frame of a filter of ours, from the router's end.
  void inject(Dir dir, const std::string& bytes) {
    // Behind the end it comes to nobody: who has seen the end is passed nothing any more.
    require(line(dir).arrived, "stray data");
    BodyBuffer data;
    if (!bytes.empty()) data.segments.push_back({bytes, 0});
    iterate_data(dir, 0, data, false);
  }

  // What another filter puts into the chain: Envoy believes what it says about the end.
  void inject_behind(Hop& hop, Dir dir, const std::string& bytes, bool end) {
    line(dir).end_is_known = end;
    BodyBuffer data;
    if (!bytes.empty()) data.segments.push_back({bytes, 0});
    iterate_data(dir, place(hop, dir) + 1, data, end);
  }
  void repeat_end(Dir dir) {
    require(line(dir).ended, "an end that is not in was repeated");
    line(dir).end_is_known = true;
    BodyBuffer nothing;
    iterate_data(dir, 0, nothing, true);
  }

  // ---- from the filters ----
  void resume(Hop& hop, Dir dir) {
    Line& l = line(dir);
    Hop::Side& s = side(hop, dir);
    const size_t next = place(hop, dir) + 1;
    trace("continue", dir, next - 1, 0, l.ended, 0);
    s.stopped = false;
    if (!std::exchange(s.headers_continued, true)) {
      iterate_headers(dir, next, l.end_is_known && !l.buffered && !l.trailers);
      if (owner_.is_gone()) return;
    }
    const bool had_trailers = l.trailers;
    if (l.buffered) {
      iterate_data(dir, next, *l.buffered, l.end_is_known && !had_trailers);
      if (owner_.is_gone()) return;
    }
    if (had_trailers) iterate_trailers(dir, next);
  }
  // Null: there is none. A filter whose hook has the buffer itself sees it as the received chunk only.
  BodyBuffer* body(Hop& hop, Dir dir, BodySource source) {
    if (source == BodySource::kReceived) {
      require(side(hop, dir).received != nullptr, "the received body outside its hook");
      return side(hop, dir).received;
    }
    require(line(other(dir)).in_hook == 0, "the other direction's buffered body inside a hook");
    if (received_is_buffered(hop, dir)) return nullptr;
    Line& l = line(dir);
    return l.buffered ? &*l.buffered : nullptr;
  }
  bool received_is_buffered(Hop& hop, Dir dir) {
    return line(dir).buffered && side(hop, dir).received == &*line(dir).buffered;
  }
  void append(Hop& hop, Dir dir, BodySource source, std::string_view bytes, bool may_follow_unread) {
    Line& l = line(dir);
    require(l.arrived, "append before the headers");
    if (bytes.empty()) return;
    const size_t at = place(hop, dir);
    if (source == BodySource::kReceived) {
      require(side(hop, dir).received != nullptr, "append to a received body outside its hook");
      side(hop, dir).received->segments.push_back({std::string(bytes), at + 1});
      return;
    }
    require(!in_hook(), "append inside a hook");
    if (!l.buffered) l.buffered.emplace();
    if (BodyBuffer& aside = side(hop, dir).put_aside; aside.text().starts_with(bytes)) {
      aside.give(bytes.size(), *l.buffered);
      return check_limit(dir);
    }
    if (!may_follow_unread)
      for (const auto& segment : l.buffered->segments)
        if (segment.passed <= at) return owner_.violation("output was appended behind input that nobody has read");
    // Envoy takes a copy; exactly sized, so that the sanitizer sees a read past it.
    l.buffered->segments.push_back({std::string(bytes), at + 1});
    check_limit(dir);
  }
  void drain(Hop& hop, Dir dir, BodySource source, size_t length) {
    BodyBuffer* buffer = body(hop, dir, source);
    if (buffer == nullptr) return;
    require(length <= buffer->size(), "more was drained than is there");
    BodyBuffer drained;
    buffer->give(length, drained);
    if (source == BodySource::kBuffered)
      for (auto& segment : drained.segments)
        if (segment.passed > place(hop, dir)) side(hop, dir).put_aside.segments.push_back(std::move(segment));
    check_limit(dir);
  }

  // ---- what can be seen ----
  bool in_hook() const { return lines_[0].in_hook + lines_[1].in_hook > 0; }
  bool arrived(Dir dir) const { return lines_[index(dir)].arrived; }
  bool ended(Dir dir) const { return lines_[index(dir)].ended; }
  // Envoy has stopped reading this direction's peer: from over the limit on until half of it is left.
  bool paused(Dir dir) const { return lines_[index(dir)].over; }
  size_t buffered(Dir dir) const {
    const auto& l = lines_[index(dir)];
    return l.buffered ? l.buffered->size() : 0;
  }
  void check_limits() {
    check_limit(Dir::kRequest);
    check_limit(Dir::kResponse);
  }

 private:
  struct Line {
    bool arrived = false;
    bool ended = false;
    bool end_is_known = false;  // until a filter that injects says otherwise
    bool trailers = false;
    bool over = false;
    bool trailers_out = false;
    bool out_ended = false;
    bool gathers = false;  // who buffers wants all of it: over the limit is too much
    int in_hook = 0;
    std::optional<BodyBuffer> buffered;
  };

  static size_t index(Dir dir) { return static_cast<size_t>(dir); }
  Line& line(Dir dir) { return lines_[index(dir)]; }
  static Hop::Side& side(Hop& hop, Dir dir) { return hop.sides[index(dir)]; }
  Hop& hop(Dir dir, size_t place) { return *hops_[dir == Dir::kRequest ? place : hops_.size() - 1 - place]; }
  size_t place(const Hop& hop, Dir dir) const {
    size_t i = 0;
    while (hops_[i] != &hop) ++i;
    return dir == Dir::kRequest ? i : hops_.size() - 1 - i;
  }
  void require(bool yes, const char* what) {
    if (!yes) owner_.violation(what);
  }
  void trace(const char* what, Dir dir, size_t place, size_t bytes, bool end, int status) const {
    if (!traces) return;
    std::printf("  %p %s %s, filter %zu: %zu bytes%s -> %d, %zu in the buffer\n", static_cast<const void*>(this),
                dir == Dir::kRequest ? "request" : "response", what, place, bytes, end ? ", end" : "", status,
                buffered(dir));
  }
  template <class Run>
  auto in_hook_of(Dir dir, const char* what, size_t place, bool end, Run run) {
    ++line(dir).in_hook;
    const BodyBuffer* const received = side(hop(dir, place), dir).received;
    const size_t bytes = received == nullptr ? 0 : received->size();
    const auto status = run();
    trace(what, dir, place, bytes, end, static_cast<int>(status));
    --line(dir).in_hook;
    require(!owner_.is_gone(), "the stream was ended inside a hook");
    return status;
  }

  void iterate_headers(Dir dir, size_t from, bool end) {
    for (size_t i = from; i < hops_.size(); ++i) {
      Hop& h = hop(dir, i);
      Hop::Side& s = side(h, dir);
      s.end_stream = end;
      const auto status = in_hook_of(dir, "headers", i, end, [&] { return h.on_headers(dir, end); });
      if (owner_.is_gone()) return;
      if (status != HeadersStatus::kContinue) {
        s.stopped = true;
        return;
      }
      s.headers_continued = true;
    }
    owner_.headers_out(*this, dir, end);
  }

  void iterate_data(Dir dir, size_t from, BodyBuffer& data, bool end) {
    for (size_t i = from; i < hops_.size(); ++i) {
      Hop& h = hop(dir, i);
      Hop::Side& s = side(h, dir);
      if (s.end_stream) return;
      s.end_stream = end && !line(dir).trailers;
      s.received = &data;
      const auto status = in_hook_of(dir, "body", i, s.end_stream, [&] { return h.on_body(dir, s.end_stream); });
      if (owner_.is_gone()) return;
      s.received = nullptr;
      if (!goes_on(h, dir, i, status, data)) return;
    }
    // The router is a filter, too: it sees nothing behind an end.
    const bool over = line(dir).out_ended || line(dir).trailers_out;
    line(dir).out_ended |= end;
    if (dir == Dir::kRequest && over) return;
    const std::string bytes = data.text();
    data.segments.clear();
    check_limit(dir);
    trace("out", dir, hops_.size(), bytes.size(), end, 0);
    owner_.data_out(*this, dir, bytes, end);
  }

  bool goes_on(Hop& h, Dir dir, size_t at, BodyStatus status, BodyBuffer& data) {
    Line& l = line(dir);
    Hop::Side& s = side(h, dir);
    if (status == BodyStatus::kContinue) {
      if (s.stopped) {
        keep(dir, at, data, l.gathers);
        resume(h, dir);
        return false;
      }
      require(s.headers_continued, "body went on before its headers");
      return true;
    }
    s.stopped = true;
    if (status == BodyStatus::kStopIterationNoBuffer) {
      const bool is_buffered = l.buffered && &data == &*l.buffered;
      require(is_buffered || data.size() == 0, "bytes were left to NoBuffer, which loses them");
      if (l.end_is_known && !l.trailers && !l.buffered) l.buffered.emplace();
    } else {
      keep(dir, at, data, status == kStopIterationAndBuffer);
    }
    return false;
  }

  void keep(Dir dir, size_t at, BodyBuffer& data, bool gathers) {
    Line& l = line(dir);
    l.gathers = gathers;
    if (!l.buffered) l.buffered.emplace();
    for (auto& segment : data.segments) segment.passed = std::max(segment.passed, at);
    if (&data != &*l.buffered) l.buffered->move(data);
    check_limit(dir);
  }

  void iterate_trailers(Dir dir, size_t from) {
    for (size_t i = from; i < hops_.size(); ++i) {
      Hop& h = hop(dir, i);
      Hop::Side& s = side(h, dir);
      const auto status = in_hook_of(dir, "trailers", i, true, [&] { return h.on_trailers(dir); });
      if (owner_.is_gone()) return;
      s.end_stream = true;
      if (status != TrailersStatus::kContinue) {
        s.stopped = true;
        return;
      }
      if (s.stopped) return resume(h, dir);
      require(s.headers_continued, "trailers went on before the headers");
    }
    // Two filters of others that pause can bring them twice, in Envoy too.
    if (std::exchange(line(dir).trailers_out, true)) return;
    owner_.trailers_out(*this, dir);
  }

  void check_limit(Dir dir) {
    Line& l = line(dir);
    const size_t size = l.buffered ? l.buffered->size() : 0;
    const bool over = l.over ? size > owner_.limit() / 2 : size > owner_.limit();
    if (over == l.over) return;
    l.over = over;
    if (over && l.gathers) return owner_.too_large(dir);
    if (dir == Dir::kResponse)
      for (Hop* h : hops_) h->on_watermark(over);
  }

  Owner& owner_;
  std::vector<Hop*> hops_;
  std::array<Line, 2> lines_;
};

}  // namespace tsf::core::test
