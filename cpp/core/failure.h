// What becomes of a stream when something fails: one table, which docs/failure.md shows to users and a test holds to
// it. A failure has a code, and a reply for as long as no response has begun; failure_mode decides whether the stream
// may go on as if the filter were not there.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/config.h"

namespace tsf::core {

// What failure_mode open makes of it.
enum class WhenOpen : uint8_t {
  kPasses,  // what was not changed goes on as it came
  kSame,    // as closed: bytes are lost already, or the filter has had its say
};

// What failure_mode replay makes of it, and every mode where the host never took the stream.
enum class WhenReplay : uint8_t {
  kSame,   // as closed
  kAgain,  // another host gets what this one has not answered
};

struct Failure {
  uint32_t http = 0;  // 0: no reply, reset
  int grpc = 0;
  const char* code = nullptr;  // response code details, and the body when there is no other
  const char* body = nullptr;
  WhenOpen open = WhenOpen::kPasses;
  bool is_said = false;  // in Envoy's log, also when it is a reply: an operator has to see it
  WhenReplay replay = WhenReplay::kSame;
};

inline constexpr Failure kNoHost{503, 14, "ts_filter_no_host"};
inline constexpr Failure kHostLost{
    503, 14, "ts_filter_host_lost", nullptr, WhenOpen::kPasses, false, WhenReplay::kAgain};
inline constexpr Failure kHostLostLate{
    502, 14, "ts_filter_host_lost", nullptr, WhenOpen::kPasses, false, WhenReplay::kAgain};
inline constexpr Failure kHostDrained{
    503, 14, "ts_filter_host_drained", nullptr, WhenOpen::kPasses, false, WhenReplay::kAgain};
inline constexpr Failure kHostDrainedLate{
    502, 14, "ts_filter_host_drained", nullptr, WhenOpen::kPasses, false, WhenReplay::kAgain};
inline constexpr Failure kTimeout{504, 4, "ts_filter_timeout"};
inline constexpr Failure kRejected{500, 13, "ts_filter_config_rejected"};
inline constexpr Failure kRequestTooLarge{413, 8, "ts_filter_body_too_large", "Payload Too Large", WhenOpen::kSame,
                                          true};
inline constexpr Failure kResponseTooLarge{500, 8, "ts_filter_body_too_large", "Internal Server Error", WhenOpen::kSame,
                                           true};
inline constexpr Failure kRequestHeadersTooLarge{431, 8, "ts_filter_headers_too_large"};
inline constexpr Failure kHeadersTooLarge{502, 13, "ts_filter_headers_too_large"};
inline constexpr Failure kOutputLimit{500, 8, "TSF_OUTPUT_LIMIT", nullptr, WhenOpen::kSame, true};
inline constexpr const char* kFilterErrorBody = "error happened in filter\r\n";
inline constexpr Failure kFilterError{500, 13, "ts_filter_error", kFilterErrorBody, WhenOpen::kSame};
inline constexpr Failure kFilterErrorLate{0, 13, "ts_filter_error_late", nullptr, WhenOpen::kSame};
inline constexpr Failure kReplyTooLate{0, 13, "ts_filter_reply_late", nullptr, WhenOpen::kSame};
inline constexpr Failure kRecreateRefused{500, 13, "ts_filter_recreate_refused", nullptr, WhenOpen::kSame};
// As an upstream HTTP filter it would have to do what it cannot do there (docs/lifecycle.md).
inline constexpr Failure kNotUpstream{500, 13, "ts_filter_not_upstream", nullptr, WhenOpen::kSame, true};
// A fault of the module's own, in a hook of Envoy's. Not in the table: it can be anywhere, and then decides alone.
inline constexpr Failure kFault{500, 13, "ts_filter_fault"};
// A filter has named a length that its body does not have.
inline constexpr Failure kWrongLength{500, 13, "ts_filter_wrong_length", kFilterErrorBody, WhenOpen::kSame, true};
// Another filter of the chain has ended the message before ours was through (docs/chains.md).
inline constexpr Failure kCutByChain{502, 13, "ts_filter_cut_by_chain", nullptr, WhenOpen::kSame, true};
// Envoy 1.38 lost the request's last continue (docs/lifecycle.md).
inline constexpr Failure kContinueLost{502, 13, "ts_filter_continue_lost", nullptr, WhenOpen::kSame, true};

// ---- state x mode ----

enum class Outcome : uint8_t { kReply, kReset, kPass, kAgain };

// How much of a stream its lost host has.
enum class Hold : uint8_t {
  kBound,     // some of it has gone on, or was answered and the filter is not `stateless`, or it was replayed already
  kWhole,     // all that waits for the host can be sent once more
  kNeverHad,  // the host has not taken its first frame: as kWhole, and nothing has happened for it
};

// Of a stream, where the failure meets it.
struct FailedState {
  bool response_begun = false;  // its headers have gone: nobody can reply any more
  bool is_untouched = true;     // nothing of what waits for the host was changed or has gone on
  Hold hold = Hold::kBound;
};

constexpr Outcome outcome_of(const Failure& failure, FailureMode mode, FailedState state) {
  const bool goes_again = state.hold == Hold::kNeverHad || (state.hold == Hold::kWhole && mode == FailureMode::kReplay);
  if (failure.replay == WhenReplay::kAgain && goes_again) return Outcome::kAgain;
  if (mode == FailureMode::kOpen && failure.open == WhenOpen::kPasses && state.is_untouched) return Outcome::kPass;
  return failure.http != 0 && !state.response_begun ? Outcome::kReply : Outcome::kReset;
}

// A message whose host is lost. `is_unanswered`: its headers, or its whole body, and not a part of it that has gone on.
constexpr const Failure& host_lost(Dir dir, bool is_unanswered) {
  return dir == Dir::kRequest && is_unanswered ? kHostLost : kHostLostLate;
}

// The same by plan: the host has drained, and the stream did not end in its time.
constexpr const Failure& host_drained(Dir dir, bool is_unanswered) {
  return dir == Dir::kRequest && is_unanswered ? kHostDrained : kHostDrainedLate;
}

// A fault of the filter's.
constexpr const Failure& filter_error(bool response_begun) { return response_begun ? kFilterErrorLate : kFilterError; }

// The table, as docs/failure.md has it: in which states each failure is met. `when` is the first column there.
struct FailureRow {
  std::string_view when;
  const Failure& failure;
  FailedState states[2];  // the usual one, and another one where the same row has two answers
  int count = 1;
};
inline constexpr FailedState kBefore{false, true};  // nothing has been answered
inline constexpr FailedState kUntaken{false, true, Hold::kNeverHad};
inline constexpr FailedState kReplayable{false, true, Hold::kWhole};
inline constexpr FailedState kPartly{false, false};            // something has been changed, no response has begun
inline constexpr FailedState kAnswered{true, false};           // a response has begun
inline constexpr FailedState kAnsweredByUpstream{true, true};  // a response has begun, and what waits is untouched

inline constexpr FailureRow kFailureTable[] = {
    {"no host when the stream starts", kNoHost, {kBefore}},
    {"a filter's file cannot be loaded (\"Threads of the host\")", kNoHost, {kBefore}},
    {"host lost, which had not taken the stream yet", host_lost(Dir::kRequest, true), {kUntaken}},
    {"host lost, request headers or whole request body unanswered", host_lost(Dir::kRequest, true), {kReplayable}},
    {"host lost, streamed request body partly sent on", host_lost(Dir::kRequest, false), {kPartly, kAnswered}, 2},
    {"host lost, response headers or whole response body unanswered",
     host_lost(Dir::kResponse, true),
     {kReplayable, kBefore},
     2},
    {"host lost, response body or streamed reply partly sent", host_lost(Dir::kResponse, false), {kAnswered}},
    {"host lost, trailers unanswered", kHostLostLate, {kBefore, kAnsweredByUpstream}, 2},
    {"no answer to headers, trailers or a whole body in `message_timeout`",
     kTimeout,
     {kBefore, kAnsweredByUpstream},
     2},
    {"filter throws or rejects", filter_error(false), {kBefore}},
    {"filter throws or rejects", filter_error(true), {kAnswered}},
    {"a reply after the response has begun", kReplyTooLate, {kAnswered}},
    {"`recreateStream` of a stream whose body has gone on, or that Envoy refuses",
     kRecreateRefused,
     {kPartly, kAnswered},
     2},
    {"output over `max_pending_output` or `max_pending_total`; input that Envoy's buffer cannot hold, over "
     "`max_pending_output` + `max_body_bytes`",
     kOutputLimit,
     {kPartly, kAnswered},
     2},
    {"another filter of the chain ends a request before ours is through with it", kCutByChain, {kPartly, kAnswered}, 2},
    {"another filter of the chain ends a response before ours is through with it",
     kCutByChain,
     {kPartly, kAnswered},
     2},
    {"whole body over `max_body_bytes`", kRequestTooLarge, {kPartly}},
    {"whole body over `max_body_bytes`", kResponseTooLarge, {kPartly}},
    {"a body is not as long as the `content-length` that its filter wrote or declared to keep",
     kWrongLength,
     {kPartly, kAnswered},
     2},
    {"header map over `max_header_bytes`", kRequestHeadersTooLarge, {kBefore}},
    {"header map over `max_header_bytes`", kHeadersTooLarge, {kBefore}},
    {"an upgraded or CONNECT stream with `upgrades: true` whose headers a hook holds for the body (StopAndBuffer, "
     "StopAndBufferWatermark)",
     kTimeout,
     {kBefore}},
    {"as an upstream HTTP filter: one that works on responses, streams a body, or has trailers or log hooks",
     kNotUpstream,
     {kBefore}},
    {"config refused by the filter, told after Envoy took it", kRejected, {kBefore}},
    {"Envoy 1.38 loses a continue (docs/lifecycle.md)", kContinueLost, {kPartly, kAnswered}, 2},
};

}  // namespace tsf::core
