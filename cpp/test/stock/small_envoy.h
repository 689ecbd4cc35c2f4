// A stock::Envoy with nothing behind it: bodies are strings, moves are noted. For tests of one class.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "envoy_stub.h"

namespace tsf::core::test {

class SmallEnvoy final : private StreamFacts, public EnvoyStub {
 public:
  SmallEnvoy() : EnvoyStub(static_cast<StreamFacts&>(*this)) {}

  StreamFacts& facts() { return *this; }
  std::string& received(Dir dir) { return received_[static_cast<size_t>(dir)]; }
  std::string& buffered(Dir dir) { return buffered_[static_cast<size_t>(dir)]; }

  size_t body_size(Dir dir, stock::BodySource source) const override { return body(dir, source).size(); }
  bool body_chunks(Dir dir, stock::BodySource source, std::vector<Bytes>& out) const override {
    const std::string& bytes = body(dir, source);
    out.assign(1, {bytes.data(), bytes.size()});
    return !bytes.empty();
  }
  void drain_body(Dir dir, stock::BodySource source, size_t length) override {
    const_cast<std::string&>(body(dir, source)).erase(0, length);
  }
  void append_body(Dir dir, stock::BodySource source, std::string_view bytes) override {
    const_cast<std::string&>(body(dir, source)).append(bytes);
    ++appends;
  }
  bool received_is_buffered(Dir) const override { return is_buffered; }
  uint64_t buffer_limit() const override { return limit; }
  void set_buffer_limit(uint64_t to) override { limit = to; }
  void continue_flow(Dir dir) override {
    moves.push_back(dir == Dir::kRequest ? "continue request" : "continue response");
    if (on_continue) on_continue(dir);
  }
  void inject_response(std::string_view bytes) override {
    moves.push_back("inject " + std::string(bytes));
    if (on_inject) on_inject();
  }
  void repeat_response_end() override { moves.push_back("end again"); }
  const void* stream_key() const override { return key; }
  void read_response_trailers_from(stock::Envoy* other) override { trailers_from = other; }
  void send_local_reply(uint32_t status, std::span<const HeaderLine> headers, std::string_view body,
                        std::string_view details) override {
    moves.push_back("reply " + std::to_string(status) + text_of(headers) + " " + std::string(body) + " " +
                    std::string(details));
  }
  void send_reply_headers(std::span<const HeaderLine> headers, bool end) override {
    move("headers" + text_of(headers) + (end ? " end" : ""));
  }
  void send_reply_data(std::string_view bytes, bool end) override {
    move("data " + std::string(bytes) + (end ? " end" : ""));
  }
  void send_reply_trailers(std::span<const HeaderLine> headers) override { move("trailers" + text_of(headers)); }
  void reset(std::string_view details) override { move("reset " + std::string(details)); }
  bool recreate() override {
    move("recreate");
    return true;
  }
  std::unique_ptr<Waker> make_waker() override { return nullptr; }

  std::vector<std::string> moves;
  std::function<void(Dir)> on_continue;
  std::function<void()> on_inject;
  std::function<void()> on_move;
  const void* key = this;
  uint64_t limit = 0;
  int appends = 0;
  bool is_buffered = false;
  stock::Envoy* trailers_from = nullptr;

 private:
  static std::string text_of(std::span<const HeaderLine> headers) {
    std::string out;
    for (const auto& line : headers) out += " " + std::string(line.name()) + "=" + std::string(line.value());
    return out;
  }
  void move(std::string what) {
    moves.push_back(std::move(what));
    if (on_move) on_move();
  }
  const std::string& body(Dir dir, stock::BodySource source) const {
    return (source == stock::BodySource::kReceived ? received_ : buffered_)[static_cast<size_t>(dir)];
  }

  std::array<std::string, 2> received_;
  std::array<std::string, 2> buffered_;
};

}  // namespace tsf::core::test
