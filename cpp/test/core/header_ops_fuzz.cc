// Arbitrary bytes as header blocks of the host, applied to a stream's maps: whatever is accepted keeps HTTP's grammar
// and Envoy's rules.
#include "core/frame.h"
#include "core/header_ops.h"
#include "core/http_rules.h"
#include "test/core/mount_stub.h"
#include "test/fuzz_input.h"

namespace tsf::core::test {
namespace {

using tsf::test::Input;
using tsf::test::require;

void check_line(std::string_view name, std::string_view value) {
  require(!name.empty(), "a name that is empty");
  for (const char c : name) require(c > ' ' && c != '\x7f', "a name with a space or a control character");
  for (const char c : value) require(c != '\r' && c != '\n' && c != '\0', "a value with CR, LF or NUL");
}

void read_as(BlockOf of, const std::string& block) {
  std::vector<HeaderLine> lines;
  if (!read_headers(block, of, lines)) return;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view name = lines[i].name();
    check_line(name, lines[i].value());
    const bool is_status = of == BlockOf::kReply && i == 0;
    require(is_status == (name == ":status"), "a status that is missing, or not the first line");
    require(is_status || name[0] != ':', "a pseudo-header that replies do not have");
  }
}

void apply(uint8_t options, const std::string& block) {
  StreamFacts facts;
  facts.map(HeaderType::kRequest) = HeaderMap{{":method", "GET"}, {":path", "/"}, {":authority", "a"}, {"a", "1"}};
  facts.map(HeaderType::kRequestTrailers) = HeaderMap{{"t", "1"}};
  facts.map(HeaderType::kResponse) = HeaderMap{{":status", "200"}, {"content-length", "5"}};
  facts.map(HeaderType::kResponseTrailers) = HeaderMap{{"grpc-status", "0"}};
  StillMount mount(facts);
  const auto type = static_cast<HeaderType>(options % 4);
  const bool is_held = (options & 4) == 0;
  Framing request(Dir::kRequest, mount);
  Framing response(Dir::kResponse, mount);
  Framing* framing = type == HeaderType::kRequest ? &request : type == HeaderType::kResponse ? &response : nullptr;
  apply_header_ops(mount, type, block, is_held, framing);
  bool has[3] = {};
  for (const auto& [name, value] : *facts.map(HeaderType::kRequest)) {
    check_line(name, value);
    has[0] |= name == ":method";
    has[1] |= name == ":path";
  }
  for (const auto& [name, value] : *facts.map(HeaderType::kResponse)) {
    check_line(name, value);
    has[2] |= name == ":status" && valid_status(value);
  }
  require(has[0] && has[1] && has[2], "a message without its method, path or status");
  for (const HeaderType trailers : {HeaderType::kRequestTrailers, HeaderType::kResponseTrailers}) {
    for (const auto& [name, value] : *facts.map(trailers)) {
      check_line(name, value);
      require(name[0] != ':', "a pseudo-header in trailers");
    }
  }
}

}  // namespace
}  // namespace tsf::core::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tsf::core::test;
  tsf::test::Input in(data, size);
  const uint8_t options = in.byte();
  const std::string block = in.rest();
  if ((options & 8) != 0) {
    read_as(static_cast<tsf::core::BlockOf>(options % 3), block);
  } else {
    apply(options, block);
  }
  return 0;
}
