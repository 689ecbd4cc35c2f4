// Arbitrary bytes as frames of the host, and as messages of its socket: what the verifier accepts can be read to the
// last byte. The first byte chooses the table, the others are the payload.
#include "core/control_messages.h"
#include "core/frame.h"
#include "test/fuzz_input.h"

namespace tsf::core::test {
namespace {

volatile size_t seen;

void touch(std::string_view bytes) {
  size_t sum = 0;
  for (const char c : bytes) sum += static_cast<unsigned char>(c);
  seen = sum;
}

void read_block(std::string_view block) {
  touch(block);
  std::vector<std::string_view> texts;
  read_texts(block, texts);
  for (const std::string_view text : texts) touch(text);
  BlockReader reader(block);
  std::string_view name;
  std::string_view value;
  while (!reader.done() && reader.pair(name, value)) {
    touch(name);
    touch(value);
  }
}

template <class T>
void read_frame(std::string_view payload) {
  const Received<T> table(payload);
  if (!table) return;
  if constexpr (requires { table->stream(); }) seen = table->stream() + table->generation();
  if constexpr (requires { table->block(); }) read_block(view_of(table->block()));
  if constexpr (requires { table->ops(); }) read_block(view_of(table->ops()));
  if constexpr (requires { table->bytes(); }) touch(view_of(table->bytes()));
  if constexpr (requires { table->reason(); }) touch(printable_text(table->reason()));
  if constexpr (requires { table->version(); }) touch(printable_text(table->version()));
  if constexpr (std::is_same_v<T, wire::ConfigVerdict>) {
    Verdict verdict;
    if (!read_verdict(*table, verdict)) return;
    touch(verdict.message);
    for (const uint32_t attribute : verdict.attributes) seen = attribute;
  }
}

template <class... Tables>
void read_as(uint8_t which, std::string_view payload) {
  uint8_t at = 0;
  (void)((which % sizeof...(Tables) == at++ ? (read_frame<Tables>(payload), true) : false) || ...);
}

}  // namespace
}  // namespace tsf::core::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tsf;
  tsf::test::Input in(data, size);
  const uint8_t which = in.byte();
  core::test::read_as<wire::Answer, wire::Output, wire::LocalReply, wire::Reply, wire::Fail, wire::Ops, wire::Query,
                      wire::Log, wire::Extend, wire::Act, wire::Call, wire::Welcome, wire::Refused, wire::ConfigVerdict,
                      wire::ChannelReady, wire::Drain, wire::Generation, wire::ChannelDone>(which, in.rest());
  return 0;
}
