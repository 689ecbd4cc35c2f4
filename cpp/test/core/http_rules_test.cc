#include "core/http_rules.h"

#include <gtest/gtest.h>

#include <string>

namespace tsf::core {
namespace {

TEST(HttpRules, ANameIsATokenAndNothingElse) {
  const std::string allowed = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int c = 0; c < 256; ++c) {
    const std::string name = std::string("x") + static_cast<char>(c);
    EXPECT_EQ(valid_header_name(name), allowed.find(static_cast<char>(c)) != std::string::npos) << c;
  }
  EXPECT_FALSE(valid_header_name(""));
  EXPECT_FALSE(valid_header_name(":path"));
}

TEST(HttpRules, AValueHasNoLineEndAndNoZero) {
  for (int c = 0; c < 256; ++c) {
    const std::string value = std::string("a") + static_cast<char>(c) + "b";
    EXPECT_EQ(valid_header_value(value), c != '\r' && c != '\n' && c != 0) << c;
  }
  EXPECT_TRUE(valid_header_value(""));
}

TEST(HttpRules, AStatusIsBetween200And599) {
  for (int status = 0; status < 1000; ++status) {
    std::string text = std::to_string(status);
    EXPECT_EQ(valid_status(text), status >= 200 && status <= 599) << status;
  }
  for (const char* bad : {"", "2", "20", "2000", "20x", " 200", "200 ", "+20", "-20", "2e2"})
    EXPECT_FALSE(valid_status(bad)) << bad;
}

TEST(HttpRules, PseudoHeadersAreSettableByList) {
  const HeaderType all[] = {HeaderType::kRequest, HeaderType::kRequestTrailers, HeaderType::kResponse,
                            HeaderType::kResponseTrailers};
  for (const auto type : all) {
    for (const char* name : {":path", ":method", ":authority", ":scheme"})
      EXPECT_EQ(writable_header(type, name, "x"), type == HeaderType::kRequest) << name;
    EXPECT_EQ(writable_header(type, ":status", "204"), type == HeaderType::kResponse);
    EXPECT_FALSE(writable_header(type, ":status", "99"));
    EXPECT_FALSE(writable_header(type, ":status", "100"));
    for (const char* name : {":protocol", ":", ":x", "::path", ":Path"})
      EXPECT_FALSE(writable_header(type, name, "x")) << name;
    EXPECT_TRUE(writable_header(type, "x-a", "b"));
    EXPECT_FALSE(writable_header(type, "x a", "b"));
    EXPECT_FALSE(writable_header(type, "x-a", "b\r\nc: d"));
    EXPECT_FALSE(writable_header(type, "x-a", "")) << "Envoy cannot hold an empty value";
    EXPECT_FALSE(writable_header(type, "", "b"));
  }
}

TEST(HttpRules, HttpStatusesAreMappedAsEnvoyMapsThem) {
  const std::pair<uint32_t, int> known[] = {{400, 13}, {401, 16}, {403, 7},  {404, 12}, {429, 14}, {500, 2},
                                            {502, 14}, {503, 14}, {504, 14}, {200, 2},  {418, 2}};
  for (const auto& [http, grpc] : known) EXPECT_EQ(grpc_status_of(http), grpc) << http;
}

}  // namespace
}  // namespace tsf::core
