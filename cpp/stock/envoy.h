// What stock Envoy offers a filter of one HTTP stream, as an interface: RealEnvoy is the ABI, tests have an Envoy of
// their own. Only cpp/stock knows it; cpp/core sees the StreamMount part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mount.h"

namespace tsf::stock {

using core::Dir;

// What a hook answers, in Envoy's numbers. The statuses that stop all iteration are never used: a Stop from a hook that
// such a stop re-enters is overwritten.
enum class HeadersStatus : int { kContinue = 0, kStopIteration = 1 };
enum class BodyStatus : int { kContinue = 0, kStopIterationAndWatermark = 2, kStopIterationNoBuffer = 3 };
enum class TrailersStatus : int { kContinue = 0, kStopIteration = 1 };

// Which body: the chunk of the running body hook, or the buffer that all filters of a direction share.
enum class BodySource : uint8_t { kReceived, kBuffered };

class Envoy : public core::StreamMount {
 public:
  virtual size_t body_size(Dir dir, BodySource source) const = 0;
  virtual bool body_chunks(Dir dir, BodySource source, std::vector<core::Bytes>& out) const = 0;
  virtual void drain_body(Dir dir, BodySource source, size_t length) = 0;
  virtual void append_body(Dir dir, BodySource source, std::string_view bytes) = 0;
  // In a body hook: the received chunk is the shared buffer itself, because an earlier filter continued with it.
  virtual bool received_is_buffered(Dir dir) const = 0;

  // Bytes from which on Envoy pauses who sends a body; 0 = no limit. One value for both directions.
  virtual uint64_t buffer_limit() const = 0;
  virtual void set_buffer_limit(uint64_t limit) = 0;

  virtual void continue_flow(Dir dir) = 0;
  // The client's connection carries one message at a time.
  virtual bool is_over_http1() const = 0;
  // Bytes into the response from the router's end.
  virtual void inject_response(std::string_view bytes) = 0;
  // The response's end, which is in, once more: it reaches nobody.
  virtual void repeat_response_end() = 0;

  // Names the HTTP stream: the same for all entries in it, also for those in the router's own filter chain.
  virtual const void* stream_key() const = 0;
  // The router has chosen an upstream host: the request's headers have reached it.
  virtual bool has_upstream() const = 0;
  // The message's trailers are in, whichever of the filters have had them.
  virtual bool has_trailers(Dir dir) const = 0;
  // Bytes of the request's body that have come from the client; nullopt = unknown.
  virtual std::optional<uint64_t> request_body_received() const = 0;
  // An object of the stream's filter state, as its text; nullopt = there is none, or it has no text.
  virtual std::optional<std::string> filter_state_object(std::string_view key) const = 0;
  // The stream is over, and nobody but one of ours can have ended it early; false where Envoy does not tell.
  virtual bool has_ended_well() const = 0;
  // From here on the response's trailers are that entry's, whose Envoy has them already; null = the own ones.
  virtual void read_response_trailers_from(Envoy* other) = 0;

  // By which access loggers find the stream's entries.
  virtual void set_chain_id(uint64_t id) = 0;

  // Takes a whole body out.
  std::string take_body(Dir dir, BodySource source) {
    std::vector<core::Bytes> chunks;
    std::string bytes;
    const size_t total = body_size(dir, source);
    if (total == 0 || !body_chunks(dir, source, chunks)) return bytes;
    bytes.reserve(total);
    for (const auto& chunk : chunks) bytes.append(chunk.ptr, chunk.length);
    drain_body(dir, source, total);
    return bytes;
  }
};

}  // namespace tsf::stock
