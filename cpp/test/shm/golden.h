// Golden vectors: what both ends of a channel do, step by step, with every result and the bytes at the end. Made here
// by the C++ ring; test/golden/ring.test.ts makes the TypeScript ring take the same steps.
//
// A step is [side, what, arguments..., results...]:
//   put     kind claimed committed -> offset in the own file, -1 for no room; filled with fill() below
//   abort   kind claimed -> offset
//   publish -> rang
//   drain   limit -> frames as [kind, offset in the peer's file, length, checksum], rang; or "malformed"
//   sleep   -> may wait
//   wake
//   unread  -> bytes
//   close
//   untaken -> bytes
//   set     offset value: writes a word of that side's file by hand
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "shm/ring.h"
#include "test/shm/two_files.h"

namespace tsf::shm::test {

class Scenario {
 public:
  Scenario(const std::string& name, std::uint32_t a_tail, std::uint32_t b_tail)
      : name_(name), a_tail_(a_tail), b_tail_(b_tail), files_(kMinCapacity), a_(start()), b_(files_.attach_b()) {}

  bool put(char side, std::uint32_t kind, std::uint32_t claimed, std::uint32_t committed) {
    const auto room = endpoint(side).claim(kind, claimed);
    if (room.data() != nullptr) {
      fill(room.first(committed), kind);
      endpoint(side).commit(committed);
    }
    step(side, "put",
         number(kind) + "," + number(claimed) + "," + number(committed) + "," + offset(file(side), room.data()));
    return room.data() != nullptr;
  }
  bool put(char side, std::uint32_t kind, std::uint32_t length) { return put(side, kind, length, length); }

  void abort(char side, std::uint32_t kind, std::uint32_t claimed) {
    const auto room = endpoint(side).claim(kind, claimed);
    endpoint(side).abort();
    step(side, "abort", number(kind) + "," + number(claimed) + "," + offset(file(side), room.data()));
  }

  void publish(char side) { step(side, "publish", truth(endpoint(side).publish())); }

  void drain(char side, int limit = 1000) {
    std::string frames;
    Frame frame;
    Read read = Read::kEmpty;
    for (int i = 0; i < limit && (read = endpoint(side).peek(frame)) == Read::kFrame; i++) {
      const bool is_ours = endpoint(side).take();
      endpoint(side).pop();
      if (!is_ours) break;
      frames += (frames.empty() ? "[" : ",[") + number(frame.kind) + "," +
                offset(file(side == 'a' ? 'b' : 'a'), frame.payload.data()) + "," +
                number(static_cast<std::uint32_t>(frame.payload.size())) + "," + number(checksum(frame.payload)) + "]";
    }
    const bool rang = endpoint(side).release();
    const std::string result = read == Read::kMalformed ? "\"malformed\"" : "[" + frames + "]," + truth(rang);
    step(side, "drain", std::to_string(limit) + "," + result);
  }

  void sleep(char side) { step(side, "sleep", truth(endpoint(side).sleep())); }
  void wake(char side) {
    endpoint(side).wake();
    step(side, "wake", {});
  }
  void unread(char side) {
    const auto bytes = endpoint(side).unread();
    step(side, "unread", bytes ? number(*bytes) : "\"malformed\"");
  }
  void close(char side) {
    endpoint(side).close();
    step(side, "close", {});
  }
  // With all committed published.
  void untaken(char side) {
    Endpoint& e = endpoint(side);
    std::uint32_t bytes = 0;
    while (bytes < kMinCapacity && !e.has_taken(e.position() - bytes)) bytes += 8;
    step(side, "untaken", number(bytes));
  }
  void set(char side, std::uint32_t offset, std::uint32_t value) {
    std::memcpy(file(side).bytes().data() + offset, &value, sizeof value);
    step(side, "set", number(offset) + "," + number(value));
  }

  std::string json() {
    return "{\"name\":\"" + name_ + "\",\"capacity\":" + number(kMinCapacity) + ",\"aTail\":" + number(a_tail_) +
           ",\"bTail\":" + number(b_tail_) + ",\"steps\":[\n" + steps_ + "\n],\"end\":{\n\"a\":" + image(files_.a) +
           ",\n\"b\":" + image(files_.b) + "}}";
  }

  /// The first and last 16 bytes tell where a frame lies; zeros between keep the vectors short.
  static void fill(std::span<std::byte> out, std::uint32_t kind) {
    for (std::size_t i = 0; i < out.size(); i++) {
      const bool edge = i < 16 || i + 16 >= out.size();
      out[i] = static_cast<std::byte>(edge ? kind * 31 + i * 7 + out.size() : 0);
    }
  }

 private:
  Endpoint start() {
    files_.a.header().tail = files_.b.header().head = a_tail_;
    files_.b.header().tail = files_.a.header().head = b_tail_;
    return files_.attach_a();
  }

  Endpoint& endpoint(char side) { return side == 'a' ? a_ : b_; }
  File& file(char side) { return side == 'a' ? files_.a : files_.b; }

  static std::string number(std::uint32_t value) { return std::to_string(value); }
  static std::string truth(bool value) { return value ? "true" : "false"; }
  static std::string offset(File& file, const std::byte* at) {
    return at == nullptr ? "-1" : std::to_string(at - file.bytes().data());
  }
  static std::uint32_t checksum(std::span<const std::byte> bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i++) {
      sum += static_cast<std::uint8_t>(bytes[i]) * static_cast<std::uint32_t>(i + 1);
    }
    return sum;
  }

  void step(char side, const char* what, const std::string& rest) {
    steps_ += std::string(steps_.empty() ? "" : ",\n") + "[\"" + side + "\",\"" + what + "\"" +
              (rest.empty() ? "" : ",") + rest + "]";
  }

  // The words, and every eight bytes of data that are not all zero as [offset in data, hex], neighbours joined.
  static std::string image(File& file) {
    std::string runs;
    bool open = false;
    for (std::size_t at = 0; at < file.data().size(); at += 8) {
      std::string hex;
      bool zero = true;
      for (const std::byte byte : file.data().subspan(at, 8)) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte));
        hex += digits;
        zero = zero && byte == std::byte{0};
      }
      if (!zero && !open) runs += (runs.empty() ? "[" : ",[") + std::to_string(at) + ",\"";
      if (zero && open) runs += "\"]";
      if (!zero) runs += hex;
      open = !zero;
    }
    if (open) runs += "\"]";
    return "{\"tail\":" + number(file.header().tail) + ",\"head\":" + number(file.header().head) +
           ",\"sleep\":" + number(file.header().sleep) + ",\"starved\":" + number(file.header().starved) +
           ",\"taken\":" + number(file.header().taken) + ",\"closed\":" + number(file.header().closed) + ",\"data\":[" +
           runs + "]}";
  }

  std::string name_;
  std::uint32_t a_tail_;
  std::uint32_t b_tail_;
  TwoFiles files_;
  std::string steps_;
  Endpoint a_;
  Endpoint b_;
};

/// All of test/golden/ring.json.
std::string golden_ring_json();

}  // namespace tsf::shm::test
