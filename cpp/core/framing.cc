#include "core/framing.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>

namespace tsf::core {
namespace {

constexpr std::string_view kLength = "content-length";
constexpr std::string_view kEncoding = "transfer-encoding";

bool is_named(std::string_view name, std::string_view lower) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; };
  return std::equal(name.begin(), name.end(), lower.begin(), lower.end(), same);
}

constexpr bool is_bodiless(uint32_t status) { return status < 200 || status == 204 || status == 304; }
// Not even the length that a body would have.
constexpr bool forbids_length(uint32_t status) { return status < 200 || status == 204; }

}  // namespace

std::optional<uint64_t> length_of(std::string_view text) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc{} || at != end) return std::nullopt;
  return number;
}

bool is_framing_field(std::string_view name) { return is_named(name, kLength) || is_named(name, kEncoding); }

uint32_t status_of(std::string_view text) { return static_cast<uint32_t>(length_of(text).value_or(0)); }

// ---- RequestKind ----

RequestKind RequestKind::read(const StreamMount& mount) {
  RequestKind kind;
  const auto method = mount.header(HeaderType::kRequest, ":method").value_or("");
  if (method == "CONNECT") {
    kind.kind_ = Kind::kConnect;
  } else if (mount.header(HeaderType::kRequest, "upgrade")) {
    kind.kind_ = Kind::kUpgrade;
  } else if (method == "HEAD") {
    kind.kind_ = Kind::kHead;
  }
  return kind;
}

BodyRule RequestKind::response(uint32_t status) const {
  constexpr uint32_t kSwitching = 101;
  if (kind_ == Kind::kUpgrade && status == kSwitching) return BodyRule::kTunnel;
  if (kind_ == Kind::kConnect && status >= 200 && status < 300) return BodyRule::kTunnel;
  return is_head() || is_bodiless(status) ? BodyRule::kNone : BodyRule::kBody;
}

// ---- Framing ----

void Framing::begin(const RequestKind& kind, bool end) {
  kind_ = kind;
  end_ = end;
  is_tunnel_ = kind.is_tunnel() && rule() == BodyRule::kTunnel;
}

void Framing::begin_again() {
  drops_body_ = false;
  written_ = Written::kNothing;
  length_ = shown_ = read_ = made_ = 0;
  line_ = Line::kAsItCame;
  promised_.reset();
}

uint32_t Framing::status() const { return status_of(mount_.header(HeaderType::kResponse, ":status").value_or("")); }

BodyRule Framing::rule() const { return dir_ == Dir::kRequest ? kind_.request() : kind_.response(status()); }

bool Framing::write(std::string_view name, std::optional<std::string_view> value) {
  if (is_named(name, kEncoding)) return true;
  // A request that a filter made an upgrade would go on without any framing of its body.
  if (dir_ == Dir::kRequest && !kind_.is_tunnel() && (is_named(name, "upgrade") || is_named(name, "connection")))
    return true;
  if (!is_named(name, kLength)) return false;
  const auto length = value ? length_of(*value) : std::nullopt;
  length_ = length.value_or(0);
  written_ = !value ? Written::kRemoved : length ? Written::kLength : Written::kWrong;
  return true;
}

void Framing::restore() {
  written_ = Written::kNothing;
  made_ = read_;
}

// With the message. Nothing is written before the headers go.
std::optional<uint64_t> Framing::came() const {
  const auto text = mount_.header(type(), kLength);
  return text ? length_of(*text) : std::nullopt;
}

// Of the whole message as it goes on.
std::optional<uint64_t> Framing::length_with(std::optional<uint64_t> rest) const {
  if (end_) return made_;
  if (const auto all = came(); all && *all >= read_) return made_ + *all - read_;
  if (rest) return made_ + *rest;
  return std::nullopt;
}

bool Framing::open() {
  promised_.reset();
  switch (rule()) {
    case BodyRule::kTunnel: return true;
    case BodyRule::kNone: return settle_without_body();
    case BodyRule::kBody: break;
  }
  if (written_ == Written::kWrong) return false;
  if (written_ != Written::kLength) return hide();
  promised_ = length_;
  return show(length_) && made_ <= length_;
}

bool Framing::let_go(uint64_t at_host) {
  if (!open()) return false;
  if (line_ != Line::kNone || written_ != Written::kNothing) return true;
  const auto all = came();
  if (!all || *all < read_) return true;
  promised_ = made_ + at_host + *all - read_;
  return show(*promised_);
}

bool Framing::complete(bool bare) {
  promised_.reset();
  switch (rule()) {
    case BodyRule::kTunnel: return true;
    case BodyRule::kNone: return settle_without_body();
    case BodyRule::kBody: break;
  }
  if (written_ == Written::kWrong || (written_ == Written::kLength && length_ != made_)) return false;
  // Where none came none is made up: a filter behind us that changes the body would have to mend it.
  const bool has_one = end_ || (written_ == Written::kNothing && came());
  return written_ == Written::kLength || (has_one && !bare) ? show(made_) : hide();
}

bool Framing::pass(std::optional<uint64_t> rest) {
  promised_.reset();
  line_ = Line::kAsItCame;
  switch (rule()) {
    case BodyRule::kTunnel: return true;
    case BodyRule::kNone: return settle_without_body();
    case BodyRule::kBody: break;
  }
  const bool has_own_end = dir_ == Dir::kResponse && end_;  // it may have been an answer without a body
  const bool is_changed = made_ != read_ || has_own_end;
  if (written_ == Written::kNothing && !is_changed && !rest) return true;  // as most
  const auto length = length_with(rest);
  switch (written_) {
    case Written::kWrong: return false;
    case Written::kRemoved: return hide();
    case Written::kLength:
      // Of unknown length nobody would see whether it is right: a host sends such a body through the filter.
      if (!length) return hide();
      return show(length_) && *length == length_;
    case Written::kNothing: break;
  }
  if (!length) return is_changed ? hide() : true;
  return has_own_end && made_ == 0 && !came() ? true : show(*length);
}

// The length of an answer to HEAD, or of a 304, is that of the body which a GET would get.
bool Framing::settle_without_body() {
  drops_body_ = true;
  if (written_ == Written::kWrong) return false;
  if (written_ == Written::kRemoved || forbids_length(status())) return hide();
  if (written_ == Written::kLength) return show(length_);
  const auto all = came();
  return all && made_ > read_ ? show(*all + made_ - read_) : true;
}

void Framing::go() {
  if (line_ == Line::kAsItCame) return;
  const auto there = mount_.header(type(), kLength);
  if (line_ == Line::kNone) {
    if (there) mount_.remove_header(type(), kLength);
    return;
  }
  const std::string text = std::to_string(shown_);
  if (there != text) mount_.set_header(type(), kLength, text);
}

// ---- ReplyFraming ----

ReplyFraming::ReplyFraming(const RequestKind& kind, uint32_t status, std::vector<HeaderLine>& lines, bool end)
    : has_body_(kind.response(status) == BodyRule::kBody),
      has_length_(has_body_ || (kind.is_head() && !is_bodiless(status))) {
  const bool keeps_length = !forbids_length(status) && kind.response(status) != BodyRule::kTunnel;
  std::erase_if(lines, [&](const HeaderLine& line) {
    if (is_named(line.name(), kEncoding)) return true;
    if (!is_named(line.name(), kLength)) return false;
    const auto length = length_of(line.value());
    if (!length || (promised_ && promised_ != length)) is_valid_ = false;
    promised_ = length;
    return !keeps_length || (has_body_ && !end && length == 0);
  });
  if (!has_body_ || (!end && promised_ == 0)) promised_.reset();
}

}  // namespace tsf::core
