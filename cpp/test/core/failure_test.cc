// The table of failures and docs/failure.md say the same.
#include "core/failure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace tsf::core {
namespace {

struct DocumentedRow {
  std::string closed;
  std::string open;
  std::string replay;
};

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

// By its first column.
std::map<std::string, DocumentedRow> documented() {
  std::map<std::string, DocumentedRow> out;
  std::ifstream file("docs/failure.md");
  // The first table: those below are about the host's threads.
  for (std::string line; std::getline(file, line) && !line.starts_with("## ");) {
    if (!line.starts_with("| ") || line.starts_with("| what happens") || line.starts_with("| ---")) continue;
    std::vector<std::string> cells;
    for (size_t at = 1; at < line.size();) {
      const size_t end = line.find('|', at);
      cells.push_back(trimmed(line.substr(at, end - at)));
      at = end + 1;
    }
    out[cells.at(0)] = {cells.at(1), cells.at(2), cells.at(3)};
  }
  return out;
}

// Rows of what happens without a failure of a stream.
const std::vector<std::string> kOtherRows = {
    "malformed frame from the host",
    "host stops reading for `host_stall_timeout`",
    "a thread of the host ends or hangs",
    "a host, or its filters before a reload, could not end a stream in `--drain-timeout`",
    "no verdict on a filter's config in `message_timeout` (or `host_wait`, when that is longer)",
    "client or upstream goes",
    "the ring has no room for a log event",
};

bool goes_again(const std::string& cell) { return cell.find("goes to the next host") != std::string::npos; }

void expect_closed(const FailureRow& row, FailedState state, const std::string& closed) {
  const Outcome outcome = outcome_of(row.failure, FailureMode::kClosed, state);
  EXPECT_EQ(goes_again(closed), outcome == Outcome::kAgain) << row.when << ": " << closed;
  if (outcome == Outcome::kReply) {
    EXPECT_NE(closed.find(std::to_string(row.failure.http)), std::string::npos) << row.when << ": " << closed;
  } else if (outcome == Outcome::kReset) {
    EXPECT_NE(closed.find("reset"), std::string::npos) << row.when << ": " << closed;
  }
}

TEST(FailureTable, EveryRowIsDocumented) {
  const auto docs = documented();
  ASSERT_GT(docs.size(), 10u) << "docs/failure.md is read from the repository's root";
  for (const FailureRow& row : kFailureTable) {
    const std::string when(row.when);
    const auto found = docs.find(when);
    ASSERT_NE(found, docs.end()) << "docs/failure.md has no row \"" << when << '"';
    const DocumentedRow& doc = found->second;
    for (int i = 0; i < row.count; ++i) {
      expect_closed(row, row.states[i], doc.closed);
      const bool passes = outcome_of(row.failure, FailureMode::kOpen, row.states[i]) == Outcome::kPass;
      const bool says_pass = doc.open.find("passes") != std::string::npos ||
                             doc.open.find("continues") != std::string::npos ||
                             doc.open.find("go untouched") != std::string::npos;
      EXPECT_EQ(says_pass, passes) << when << ": " << doc.open;
      if (!says_pass) {
        EXPECT_TRUE(doc.open == "same" || doc.open == doc.closed) << when << ": " << doc.open;
      }
    }
    bool is_replayed = false;
    for (int i = 0; i < row.count; ++i)
      is_replayed |= outcome_of(row.failure, FailureMode::kReplay, row.states[i]) == Outcome::kAgain;
    const bool is_same = doc.replay == "same" && goes_again(doc.closed);
    EXPECT_EQ(goes_again(doc.replay) || is_same, is_replayed) << when << ": " << doc.replay;
    if (!is_replayed) {
      EXPECT_TRUE(doc.replay == "same" || doc.replay.starts_with("as closed")) << when << ": " << doc.replay;
    }
    // A plain "reset" is that of the rows above it.
    if (doc.closed.find('`') != std::string::npos) {
      EXPECT_NE(doc.closed.find(row.failure.code), std::string::npos) << when << ": " << doc.closed;
    }
  }
}

TEST(FailureTable, EveryDocumentedRowIsInIt) {
  for (const auto& [when, row] : documented()) {
    const bool is_other = std::find(kOtherRows.begin(), kOtherRows.end(), when) != kOtherRows.end();
    bool is_known = is_other;
    for (const FailureRow& known : kFailureTable) is_known |= known.when == when;
    EXPECT_TRUE(is_known) << when;
  }
}

TEST(FailureTable, WhatWasChangedNeverPasses) {
  for (const FailureRow& row : kFailureTable)
    for (const bool response_begun : {false, true}) {
      const FailedState touched{response_begun, false};
      EXPECT_NE(outcome_of(row.failure, FailureMode::kOpen, touched), Outcome::kPass) << row.when;
      EXPECT_EQ(outcome_of(row.failure, FailureMode::kOpen, touched),
                outcome_of(row.failure, FailureMode::kClosed, touched))
          << row.when;
    }
}

TEST(FailureTable, ReplayIsClosedWhereNothingCanBeSentOnceMore) {
  for (const FailureRow& row : kFailureTable)
    for (const bool response_begun : {false, true})
      for (const bool is_untouched : {false, true})
        EXPECT_EQ(outcome_of(row.failure, FailureMode::kReplay, {response_begun, is_untouched}),
                  outcome_of(row.failure, FailureMode::kClosed, {response_begun, is_untouched}))
            << row.when;
}

TEST(FailureTable, OnlyALostHostSendsAStreamToAnotherOne) {
  for (const FailureRow& row : kFailureTable)
    for (const FailureMode mode : {FailureMode::kClosed, FailureMode::kOpen, FailureMode::kReplay}) {
      const bool is_lost = std::string_view(row.failure.code) == "ts_filter_host_lost";
      const bool replays = is_lost && mode == FailureMode::kReplay;
      EXPECT_EQ(outcome_of(row.failure, mode, kUntaken) == Outcome::kAgain, is_lost) << row.when;
      EXPECT_EQ(outcome_of(row.failure, mode, kReplayable) == Outcome::kAgain, replays) << row.when;
    }
}

TEST(FailureTable, NothingRepliesOnceAResponseHasBegun) {
  for (const FailureRow& row : kFailureTable)
    for (const bool is_untouched : {false, true})
      EXPECT_EQ(outcome_of(row.failure, FailureMode::kClosed, {true, is_untouched}), Outcome::kReset) << row.when;
}

}  // namespace
}  // namespace tsf::core
