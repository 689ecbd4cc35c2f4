// HTTP's grammar for what comes from the host (RFC 9110 §5.1, §5.5; RFC 9113 §8.3), and gRPC's view of failures.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/mount.h"

namespace tsf::core {

namespace detail {
constexpr std::array<bool, 256> token_table() {
  std::array<bool, 256> table{};
  for (char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}
inline constexpr std::array<bool, 256> kToken = token_table();
}  // namespace detail

inline bool valid_header_name(std::string_view name) {
  if (name.empty()) return false;
  for (char c : name)
    if (!detail::kToken[static_cast<unsigned char>(c)]) return false;
  return true;
}

inline bool valid_header_value(std::string_view value) {
  for (char c : value)
    if (c == '\r' || c == '\n' || c == '\0') return false;
  return true;
}

inline bool valid_status(std::string_view value) {
  if (value.size() != 3) return false;
  for (char c : value)
    if (c < '0' || c > '9') return false;
  return value[0] >= '2' && value[0] <= '5';
}

// Whether a filter may set this pseudo-header on this map.
inline bool settable_pseudo_header(HeaderType type, std::string_view name) {
  if (type == HeaderType::kRequest)
    return name == ":path" || name == ":method" || name == ":authority" || name == ":scheme";
  return type == HeaderType::kResponse && name == ":status";
}

// A name and value that may be written to this map.
inline bool writable_header(HeaderType type, std::string_view name, std::string_view value) {
  if (value.empty() || !valid_header_value(value)) return false;
  if (!name.starts_with(':')) return valid_header_name(name);
  if (!settable_pseudo_header(type, name)) return false;
  return name != ":status" || valid_status(value);
}

// A content-type of gRPC's.
inline bool names_grpc(const std::optional<std::string_view>& type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!type || !type->starts_with(kGrpc)) return false;
  return type->size() == kGrpc.size() || (*type)[kGrpc.size()] == '+' || (*type)[kGrpc.size()] == ';';
}

// gRPC status of an HTTP status, as Envoy maps it.
constexpr int grpc_status_of(uint32_t http) {
  switch (http) {
    case 400: return 13;
    case 401: return 16;
    case 403: return 7;
    case 404: return 12;
    case 429:
    case 502:
    case 503:
    case 504: return 14;
    default: return 2;
  }
}

}  // namespace tsf::core
