// What the headers of a message say of its body, and that it is so: which answers have no body, and content-length.
// transfer-encoding is the connections' own, so what a filter writes of it is let fall, and so is what would make a
// request an upgrade that came as none.
//
// While the headers are here it is said, again and again, how they may go, and the last word counts:
//
//   open()      of unknown length, or with the length that the filter promises
//   complete()  with the exact length
//   pass()      with the length that came, mended by what was added to the body
//
// go() writes it, so that headers whose length stays as it is are not touched.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/mount.h"

namespace tsf::core {

enum class BodyRule : uint8_t {
  kBody,
  kNone,    // no byte of a body may follow
  kTunnel,  // what follows belongs to an upgraded or CONNECT stream, and is no body
};

// A content-length: digits, and nothing else.
std::optional<uint64_t> length_of(std::string_view text);
// Says how long a body is, or how it is framed: not to be said in trailers (RFC 9110 §6.5.1).
bool is_framing_field(std::string_view name);
// 0: none.
uint32_t status_of(std::string_view text);

// The request as it came, as far as it decides what may follow.
class RequestKind {
 public:
  static RequestKind read(const StreamMount& mount);

  bool is_head() const { return kind_ == Kind::kHead; }
  bool is_tunnel() const { return kind_ == Kind::kConnect || kind_ == Kind::kUpgrade; }
  BodyRule request() const { return is_tunnel() ? BodyRule::kTunnel : BodyRule::kBody; }
  BodyRule response(uint32_t status) const;

 private:
  enum class Kind : uint8_t { kPlain, kHead, kConnect, kUpgrade };
  Kind kind_ = Kind::kPlain;
};

// One message of a stream.
class Framing {
 public:
  Framing(Dir dir, StreamMount& mount) : mount_(mount), dir_(dir) {}

  // The headers have come; `end`: nothing follows them.
  void begin(const RequestKind& kind, bool end);
  bool is_tunnel() const { return is_tunnel_; }

  // A filter's operation on the headers. False: it is about something else.
  bool write(std::string_view name, std::optional<std::string_view> value);

  // Bytes of the message that came, and of what is made of it.
  void took(uint64_t bytes) { read_ += bytes; }
  // False: more than was promised.
  bool made(uint64_t bytes) {
    made_ += bytes;
    return !promised_ || made_ <= *promised_;
  }
  // What has been made is the message as it came, and the filter has not said a word.
  void restore();

  // As begin(), of a message that another host gets from its beginning.
  void begin_again();

  // ---- how the headers may go; false: the length that the filter has written is wrong ----

  // Before the body is complete.
  bool open();
  // All of the body has been made: its exact length goes where one came, or where the filter has made a body of none.
  // `bare`: only where the filter names it.
  bool complete(bool bare);
  // The rest will be as it came: so many bytes that are at the host, and what is still to come.
  bool let_go(uint64_t at_host);
  // The rest is as it came; where all of that is here, it is so many bytes.
  bool pass(std::optional<uint64_t> rest);

  // They go now.
  void go();
  // No byte of a body may go on.
  bool drops_body() const { return drops_body_; }

  // ---- the headers have gone; false: not what they promised ----

  bool is_kept() const { return !promised_ || *promised_ == made_; }
  // All that was promised is here. Whoever gets it takes the message for complete, so that the last of it waits for the
  // filter's end, which shows that nothing more comes.
  bool is_full() const { return promised_ && *promised_ <= made_; }
  // Nothing is counted from here on.
  bool is_kept_by_passing(std::optional<uint64_t> rest) {
    const auto promised = std::exchange(promised_, std::nullopt);
    return !promised || promised == length_with(rest);
  }

 private:
  enum class Written : uint8_t { kNothing, kLength, kRemoved, kWrong };
  enum class Line : uint8_t { kAsItCame, kNone, kLength };

  HeaderType type() const { return headers_of(dir_); }
  uint32_t status() const;
  BodyRule rule() const;
  std::optional<uint64_t> came() const;
  std::optional<uint64_t> length_with(std::optional<uint64_t> rest) const;
  bool settle_without_body();
  bool show(uint64_t length) {
    line_ = Line::kLength;
    shown_ = length;
    return true;
  }
  bool hide() {
    line_ = Line::kNone;
    return true;
  }

  StreamMount& mount_;
  const Dir dir_;
  RequestKind kind_;
  bool is_tunnel_ = false;
  bool end_ = false;  // the headers ended it
  bool drops_body_ = false;
  Written written_ = Written::kNothing;
  uint64_t length_ = 0;  // that the filter has written
  Line line_ = Line::kAsItCame;
  uint64_t shown_ = 0;
  std::optional<uint64_t> promised_;  // by headers that go before the body is complete
  uint64_t read_ = 0;
  uint64_t made_ = 0;
};

// A reply that a filter makes. Nobody at the other end of a tunnel speaks to it, so that one has no body either.
class ReplyFraming {
 public:
  ReplyFraming() = default;
  // Takes out of the lines what an answer to that request may not have, and a length of nothing where a body may still
  // come (`end` is false): its receiver would take it for complete at once.
  ReplyFraming(const RequestKind& kind, uint32_t status, std::vector<HeaderLine>& lines, bool end);

  bool has_body() const { return has_body_; }
  // Of a whole reply: Envoy drops the body of an answer to HEAD by itself, and makes the length of it.
  bool has_length() const { return has_length_; }
  bool names_length() const { return promised_.has_value(); }
  // False: the headers name a length that is none.
  bool is_valid() const { return is_valid_; }
  // False: more than was promised.
  bool made(uint64_t bytes) {
    made_ += bytes;
    return !promised_ || made_ <= *promised_;
  }
  bool is_kept() const { return !promised_ || *promised_ == made_; }
  // As Framing::is_full.
  bool is_full() const { return promised_ && *promised_ <= made_; }

 private:
  bool has_body_ = true;
  bool has_length_ = true;
  bool is_valid_ = true;
  std::optional<uint64_t> promised_;
  uint64_t made_ = 0;
};

}  // namespace tsf::core
