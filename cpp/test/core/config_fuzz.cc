// Arbitrary bytes as a filter's configuration, and as a route's: settings within their bounds, or an error that says
// where.
#include "core/config.h"
#include "test/fuzz_input.h"

namespace tsf::core {
namespace {

using tsf::test::require;

template <class T>
void check(const Parsed<T>& parsed) {
  require(parsed.value.has_value() == parsed.error.empty(), "settings and an error, or neither");
}

void read(const std::string& text) {
  check(parse_route_settings(text));
  const Parsed<Settings> parsed = parse_settings(text);
  check(parsed);
  if (!parsed.value) return;
  const Settings& s = *parsed.value;
  require(!s.socket.empty() && !s.allowed_uids.empty(), "no socket, or nobody who may serve it");
  require((s.ring_bytes & (s.ring_bytes - 1)) == 0 && s.ring_bytes >= 65536, "a ring that cannot be");
  require(s.max_header_bytes > 0 && s.stream_window > 0 && s.max_pending_output > 0, "a limit of nothing");
}

}  // namespace
}  // namespace tsf::core

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tsf::core::read({reinterpret_cast<const char*>(data), size});
  return 0;
}
