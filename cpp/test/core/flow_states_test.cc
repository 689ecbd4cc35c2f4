// The table of transitions in code and the one in docs/lifecycle.md are the same.
#include "core/flow_states.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace tsf::core {
namespace {

using Row = std::vector<std::string>;

std::string trimmed(const std::string& text) {
  const auto from = text.find_first_not_of(' ');
  return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(' ') - from + 1);
}

// The rows of the first table whose head is this one.
std::vector<Row> table_of(const char* path, const std::string& head) {
  std::ifstream file(path);
  std::vector<Row> rows;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] != '|') {
      if (inside) break;
      continue;
    }
    Row row;
    std::istringstream cells(line.substr(1));
    for (std::string cell; std::getline(cells, cell, '|');) row.push_back(trimmed(cell));
    std::string joined;
    for (const auto& cell : row) joined += cell + "|";
    if (joined == head) {
      inside = true;
    } else if (inside && line.find_first_not_of("|-: ") != std::string::npos) {
      rows.push_back(row);
    }
  }
  return rows;
}

TEST(FlowStates, TheTableInTheDocumentsIsTheOneInTheCode) {
  std::vector<Row> code;
  for (const auto& t : kFlowTransitions)
    code.push_back({std::string(name_of(t.from)), std::string(name_of(t.event)), std::string(name_of(t.to))});
  std::vector<Row> documented = table_of("docs/lifecycle.md", "from|event|to|");
  ASSERT_FALSE(documented.empty()) << "docs/lifecycle.md has no table `| from | event | to |`";
  for (const auto& row : code)
    EXPECT_EQ(std::count(documented.begin(), documented.end(), row), 1)
        << "missing in docs/lifecycle.md: | " << row[0] << " | " << row[1] << " | " << row[2] << " |";
  for (const auto& row : documented)
    EXPECT_EQ(std::count(code.begin(), code.end(), row), 1)
        << "not in core/flow_states.h: | " << row[0] << " | " << row.at(1) << " | " << row.at(2) << " |";
}

TEST(FlowStates, AnEventLeadsToOneState) {
  std::set<std::pair<FlowState, FlowEvent>> seen;
  for (const auto& t : kFlowTransitions) {
    EXPECT_TRUE(seen.emplace(t.from, t.event).second) << name_of(t.from) << ", " << name_of(t.event);
    EXPECT_EQ(next_state(t.from, t.event), t.to);
  }
  EXPECT_EQ(next_state(FlowState::kDone, FlowEvent::kLast), std::nullopt);
  EXPECT_EQ(next_state(FlowState::kReplied, FlowEvent::kReply), std::nullopt);
}

TEST(FlowStates, NamesAreDistinct) {
  std::set<std::string_view> states, events;
  for (int i = 0; i <= static_cast<int>(FlowState::kReplied); ++i) states.insert(name_of(static_cast<FlowState>(i)));
  for (int i = 0; i <= static_cast<int>(FlowEvent::kReply); ++i) events.insert(name_of(static_cast<FlowEvent>(i)));
  EXPECT_EQ(states.size(), static_cast<size_t>(FlowState::kReplied) + 1);
  EXPECT_EQ(events.size(), static_cast<size_t>(FlowEvent::kReply) + 1);
}

}  // namespace
}  // namespace tsf::core
