// What core has is told: each failure has a row of the table (failure_test.cc holds that to docs/failure.md), each key
// of a config one of the README's.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "core/config.h"

namespace tsf::core {
namespace {

using Words = std::set<std::string>;

std::string read(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path << " is read from the repository's root";
  return text.str();
}

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

// The word that begins at `at`.
std::string_view word_at(std::string_view text, size_t at) {
  return text.substr(at, text.find_first_not_of(kLetters, at) - at);
}

size_t count_of(std::string_view text, std::string_view word) {
  size_t count = 0;
  for (size_t at = text.find_first_of(kLetters); at != std::string_view::npos;) {
    const std::string_view found = word_at(text, at);
    count += found == word;
    at = text.find_first_of(kLetters, at + found.size());
  }
  return count;
}

// Failures that a stream meets in no state of its own. Each with a word on why.
const Words kWithoutRow = {"kFault"};  // anywhere: docs/failure.md has a paragraph

TEST(Documented, EachFailureHasARowOfTheTable) {
  constexpr std::string_view kDeclared = "inline constexpr Failure k";
  const std::string text = read("cpp/core/failure.h");
  size_t count = 0;
  for (size_t at = text.find(kDeclared); at != std::string::npos; at = text.find(kDeclared, at + 1), ++count) {
    const std::string name(word_at(text, at + kDeclared.size() - 1));
    // A row names the failure, or a function that chooses it.
    EXPECT_NE(count_of(text, name) > 1, kWithoutRow.contains(name))
        << name << " needs a row in kFailureTable and in docs/failure.md, or a place in kWithoutRow";
  }
  EXPECT_GT(count, 10u);
}

// The words of the cell in backticks; what is in brackets is about the word before it.
Words keys_of(std::string_view cell) {
  Words out;
  int depth = 0;
  for (size_t at = 0; at < cell.size(); ++at) {
    if (cell[at] == '(' || cell[at] == '{') ++depth;
    if (cell[at] == ')' || cell[at] == '}') --depth;
    if (cell[at] != '`' || depth > 0) continue;
    if (const std::string_view key = word_at(cell, at + 1); !key.empty()) out.emplace(key);
  }
  return out;
}

// The keys that a refusal lists.
template <class Parse>
Words keys_known(Parse parse) {
  constexpr std::string_view kKnown = "known are: ";
  const std::string refusal = parse(R"({"?":0})").error;
  Words out;
  for (size_t at = refusal.find(kKnown) + kKnown.size(); at < refusal.size();) {
    const std::string key(word_at(refusal, at));
    at += key.size() + 2;
    const bool is_later = parse("{\"" + key + "\":0}").error.find("is not supported yet") != std::string::npos;
    if (!is_later) out.insert(key);
  }
  return out;
}

TEST(Documented, TheReadmeHasEachKeyOfAConfigAndNoOther) {
  const std::string readme = read("README.md");
  const size_t table = readme.find("| key (default) | meaning |");
  ASSERT_NE(table, std::string::npos);
  std::istringstream rows(readme.substr(table, readme.find("\n\n", table) - table));
  Words documented;
  for (std::string row; std::getline(rows, row);)
    documented.merge(keys_of(std::string_view(row).substr(0, row.find('|', 1))));
  EXPECT_EQ(documented, keys_known(parse_settings));
}

TEST(Documented, TheReadmeHasEachKeyOfARoutesConfig) {
  const std::string readme = read("README.md");
  const size_t routes = readme.find("Per route: ");
  ASSERT_NE(routes, std::string::npos);
  Words documented = keys_of(readme.substr(routes, readme.find(';', routes) - routes));
  documented.erase("per_route_config_name");  // Envoy's own
  EXPECT_EQ(documented, keys_known(parse_route_settings));
}

}  // namespace
}  // namespace tsf::core
