// The committed vectors are what the C++ ring does today. A difference is a change of the layout or the protocol.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "test/shm/golden.h"

namespace tsf::shm::test {
namespace {

// From the repository's root, or from anywhere below it.
std::string committed() {
  for (std::string up; up.size() < 30; up += "../") {
    std::ifstream file(up + "test/golden/ring.json");
    if (!file) continue;
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  return {};
}

TEST(RingGolden, TheRingStillDoesWhatTheVectorsSay) {
  const std::string golden = committed();
  ASSERT_FALSE(golden.empty()) << "run from the repository: test/golden/ring.json is not found";
  // Not EXPECT_EQ: it would print all of both.
  EXPECT_TRUE(golden == golden_ring_json())
      << "the ring's bytes or steps differ from test/golden/ring.json; if that "
         "is meant: build/test/release/shm/ring_golden_main > test/golden/ring.json";
}

}  // namespace
}  // namespace tsf::shm::test
