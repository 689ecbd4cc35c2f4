// Header blocks from the host, right and wrong.
#include "core/header_ops.h"

#include <gtest/gtest.h>

#include "core/frame.h"
#include "test/core/mount_stub.h"
#include "test/core/scripted_host.h"

namespace tsf::core::test {
namespace {

// ---- read_headers ----

bool reads(const HeaderMap& lines, BlockOf of, HeaderMap* got = nullptr) {
  const std::string block = packed(lines);
  std::vector<HeaderLine> out;
  const bool ok = read_headers(block, of, out);
  if (got != nullptr)
    for (const auto& line : out) got->emplace_back(line.name(), line.value());
  return ok;
}

TEST(ReadHeaders, AReplyBeginsWithItsStatus) {
  const HeaderMap lines = {{":status", "201"}, {"a", "b"}, {"a", ""}};
  HeaderMap got;
  EXPECT_TRUE(reads(lines, BlockOf::kReply, &got));
  EXPECT_EQ(got, lines);
  EXPECT_FALSE(reads({}, BlockOf::kReply));
  EXPECT_FALSE(reads({{"a", "b"}}, BlockOf::kReply));
  EXPECT_FALSE(reads({{"a", "b"}, {":status", "200"}}, BlockOf::kReply));
  EXPECT_FALSE(reads({{":status", "200"}, {":status", "200"}}, BlockOf::kReply));
  EXPECT_FALSE(reads({{":status", "101"}}, BlockOf::kReply));
  EXPECT_FALSE(reads({{":status", "600"}}, BlockOf::kReply));
  EXPECT_FALSE(reads({{":path", "200"}}, BlockOf::kReply));
}

TEST(ReadHeaders, AWholeReplyAndTrailersHaveNoPseudoHeader) {
  for (const BlockOf of : {BlockOf::kWholeReply, BlockOf::kTrailers}) {
    EXPECT_TRUE(reads({}, of));
    EXPECT_TRUE(reads({{"a", "b"}}, of));
    EXPECT_FALSE(reads({{":status", "200"}}, of));
    EXPECT_FALSE(reads({{"", "b"}}, of));
    EXPECT_FALSE(reads({{"a b", "c"}}, of));
    EXPECT_FALSE(reads({{"a", "b\nc"}}, of));
  }
}

TEST(ReadHeaders, TrailersSayNothingOfTheFraming) {
  const HeaderMap lines = {{"Content-Length", "5"}, {"a", "b"}, {"transfer-encoding", "chunked"}};
  HeaderMap got;
  EXPECT_TRUE(reads(lines, BlockOf::kTrailers, &got));
  EXPECT_EQ(got, (HeaderMap{{"a", "b"}}));
}

TEST(ReadHeaders, ABrokenBlockIsRefusedWhereverItBreaks) {
  const std::string block = packed({{":status", "200"}, {"name", "value"}});
  std::vector<HeaderLine> out;
  for (size_t length = 1; length < block.size(); ++length) {
    out.clear();
    const bool ok = read_headers(std::string(block, 0, length), BlockOf::kReply, out);
    EXPECT_EQ(ok, length == packed({{":status", "200"}}).size()) << length;
  }
}

// ---- apply_header_ops ----

class HeaderOps : public testing::Test {
 protected:
  HeaderOps() { facts_.map(HeaderType::kRequest) = HeaderMap{{":path", "/"}, {"a", "1"}, {"a", "2"}}; }
  bool apply(const std::vector<Op>& ops, bool held = true, HeaderType type = HeaderType::kRequest) {
    return apply_header_ops(mount_, type, packed(ops), held, &framing_);
  }
  HeaderMap& request() { return *facts_.map(HeaderType::kRequest); }

  StreamFacts facts_;
  StillMount mount_{facts_};
  Framing framing_{Dir::kRequest, mount_};
};

TEST_F(HeaderOps, AreAppliedInOrder) {
  EXPECT_TRUE(apply({{wire::HeaderOp_Add, "a", "3"},
                     {wire::HeaderOp_Set, "b", "1"},
                     {wire::HeaderOp_Delete, "a", ""},
                     {wire::HeaderOp_Add, "a", "4"},
                     {wire::HeaderOp_Set, ":path", "/x"}}));
  EXPECT_EQ(request(), (HeaderMap{{"b", "1"}, {"a", "4"}, {":path", "/x"}}));
}

TEST_F(HeaderOps, RouteCacheOpsAreDoneEvenWhenTheHeadersHaveGone) {
  EXPECT_TRUE(apply({{wire::HeaderOp_ClearRouteCache, "", ""}, {wire::HeaderOp_RefreshRouteCache, "", ""}}, false));
  EXPECT_EQ(facts_.route_clears, 1);
  EXPECT_EQ(facts_.route_refreshes, 1);
}

TEST_F(HeaderOps, WritesToAMapThatHasGoneAreCheckedAndDropped) {
  const HeaderMap before = request();
  EXPECT_TRUE(apply({{wire::HeaderOp_Set, "a", "9"}, {wire::HeaderOp_Delete, "a", ""}}, false));
  EXPECT_EQ(request(), before);
  EXPECT_FALSE(apply({{wire::HeaderOp_Set, "a b", "9"}}, false));
  EXPECT_FALSE(apply({{wire::HeaderOp_Delete, ":path", ""}}, false));
}

TEST_F(HeaderOps, WhatIsWrittenOfTheFramingIsNotWrittenToTheMap) {
  const HeaderMap before = request();
  EXPECT_TRUE(
      apply({{wire::HeaderOp_Set, "Content-Length", "5"}, {wire::HeaderOp_Set, "transfer-encoding", "chunked"}}));
  EXPECT_EQ(request(), before);
  EXPECT_TRUE(framing_.open());
  framing_.go();
  EXPECT_EQ(request().back(), (std::pair<std::string, std::string>("content-length", "5")));
}

TEST_F(HeaderOps, TrailersSayNothingOfTheFraming) {
  facts_.map(HeaderType::kRequestTrailers) = HeaderMap{};
  EXPECT_TRUE(apply({{wire::HeaderOp_Set, "Content-Length", "5"},
                     {wire::HeaderOp_Add, "transfer-encoding", "chunked"},
                     {wire::HeaderOp_Set, "x", "y"}},
                    true, HeaderType::kRequestTrailers));
  EXPECT_EQ(facts_.map(HeaderType::kRequestTrailers), (HeaderMap{{"x", "y"}}));
}

TEST_F(HeaderOps, WhatNoCorrectHostSendsIsRefused) {
  EXPECT_FALSE(apply({{wire::HeaderOp_Set, "a", ""}})) << "an empty value removes, in Envoy";
  EXPECT_FALSE(apply({{wire::HeaderOp_Add, "a", "b\r\nc: d"}}));
  EXPECT_FALSE(apply({{wire::HeaderOp_Set, ":status", "200"}}));
  EXPECT_FALSE(apply({{wire::HeaderOp_Set, ":path", "/"}}, true, HeaderType::kRequestTrailers));
  EXPECT_FALSE(apply({{5, "a", "b"}}));
  EXPECT_FALSE(apply({{UINT32_MAX, "a", "b"}}));
  EXPECT_FALSE(apply_header_ops(mount_, HeaderType::kRequest, "abc", true, nullptr));
  const std::string block = packed(std::vector<Op>{{wire::HeaderOp_Set, "name", "value"}});
  for (size_t length = 1; length < block.size(); ++length)
    EXPECT_FALSE(apply_header_ops(mount_, HeaderType::kRequest, std::string(block, 0, length), true, nullptr))
        << length;
}

}  // namespace
}  // namespace tsf::core::test
