// The states of one direction of a stream and what moves it from one to another. docs/lifecycle.md holds the same table
// for people; a test holds the two together.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tsf::core {

enum class FlowState : uint8_t {
  kIdle,       // no headers yet
  kAsked,      // the host has the headers, or will have them
  kStreaming,  // the body goes to the host as it comes
  kGathering,  // the body is gathered here, then goes to the host whole
  kLettingGo,  // the filter is out; what the host still has comes back
  kEnding,     // the output is complete, the input or the trailers' answer is not
  kPassing,    // the mount lets everything by
  kDone,       // the end was given to the mount
  kReplied,    // a reply is in this message's place
};

enum class FlowEvent : uint8_t {
  kSkip,      // no hook of the filter concerns this direction
  kAsk,       // headers for the host
  kPass,      // Answer(Pass), or a failure that lets the message pass
  kStream,    // Answer(Stream or StreamHold)
  kGather,    // Answer(Whole)
  kOutput,    // first output of a gathered body
  kLast,      // Output(Last)
  kLetGo,     // Output(Bypass)
  kAgain,     // the host is lost, and another one gets the message from its beginning
  kConsumed,  // the host has given back all it had
  kTrailers,  // trailers of a body that goes by are for the host
  kDrain,     // of a message that has no body: what comes of it goes nowhere
  kEnd,       // the mount has taken the end
  kReply,     // the host, or a failure, answers instead
};

struct FlowTransition {
  FlowState from;
  FlowEvent event;
  FlowState to;
};

inline constexpr std::array kFlowTransitions = {
    FlowTransition{FlowState::kIdle, FlowEvent::kSkip, FlowState::kPassing},
    FlowTransition{FlowState::kIdle, FlowEvent::kAsk, FlowState::kAsked},
    FlowTransition{FlowState::kAsked, FlowEvent::kPass, FlowState::kPassing},
    FlowTransition{FlowState::kAsked, FlowEvent::kStream, FlowState::kStreaming},
    FlowTransition{FlowState::kAsked, FlowEvent::kGather, FlowState::kGathering},
    FlowTransition{FlowState::kAsked, FlowEvent::kAgain, FlowState::kAsked},
    FlowTransition{FlowState::kAsked, FlowEvent::kTrailers, FlowState::kEnding},
    FlowTransition{FlowState::kAsked, FlowEvent::kDrain, FlowState::kEnding},
    FlowTransition{FlowState::kStreaming, FlowEvent::kLast, FlowState::kEnding},
    FlowTransition{FlowState::kStreaming, FlowEvent::kLetGo, FlowState::kLettingGo},
    FlowTransition{FlowState::kStreaming, FlowEvent::kPass, FlowState::kPassing},
    FlowTransition{FlowState::kStreaming, FlowEvent::kDrain, FlowState::kEnding},
    FlowTransition{FlowState::kGathering, FlowEvent::kOutput, FlowState::kStreaming},
    FlowTransition{FlowState::kGathering, FlowEvent::kLast, FlowState::kEnding},
    FlowTransition{FlowState::kGathering, FlowEvent::kAgain, FlowState::kAsked},
    FlowTransition{FlowState::kGathering, FlowEvent::kLetGo, FlowState::kLettingGo},
    FlowTransition{FlowState::kGathering, FlowEvent::kPass, FlowState::kPassing},
    FlowTransition{FlowState::kGathering, FlowEvent::kDrain, FlowState::kEnding},
    FlowTransition{FlowState::kLettingGo, FlowEvent::kConsumed, FlowState::kPassing},
    FlowTransition{FlowState::kLettingGo, FlowEvent::kLast, FlowState::kEnding},
    FlowTransition{FlowState::kLettingGo, FlowEvent::kTrailers, FlowState::kEnding},
    FlowTransition{FlowState::kLettingGo, FlowEvent::kPass, FlowState::kPassing},
    FlowTransition{FlowState::kLettingGo, FlowEvent::kDrain, FlowState::kEnding},
    FlowTransition{FlowState::kPassing, FlowEvent::kTrailers, FlowState::kEnding},
    FlowTransition{FlowState::kEnding, FlowEvent::kPass, FlowState::kPassing},
    FlowTransition{FlowState::kEnding, FlowEvent::kEnd, FlowState::kDone},
    FlowTransition{FlowState::kIdle, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kAsked, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kStreaming, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kGathering, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kLettingGo, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kEnding, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kPassing, FlowEvent::kReply, FlowState::kReplied},
    FlowTransition{FlowState::kDone, FlowEvent::kReply, FlowState::kReplied},
};

// Null: the event does not belong there.
constexpr std::optional<FlowState> next_state(FlowState from, FlowEvent event) {
  for (const auto& transition : kFlowTransitions)
    if (transition.from == from && transition.event == event) return transition.to;
  return std::nullopt;
}

// The words of docs/lifecycle.md.
constexpr std::string_view name_of(FlowState state) {
  constexpr std::string_view kNames[] = {"idle",   "asked",   "streaming", "gathering", "letting go",
                                         "ending", "passing", "done",      "replied"};
  return kNames[static_cast<size_t>(state)];
}
constexpr std::string_view name_of(FlowEvent event) {
  constexpr std::string_view kNames[] = {"skip",   "ask",   "pass",     "stream",   "gather", "output", "last",
                                         "let go", "again", "consumed", "trailers", "drain",  "end",    "reply"};
  return kNames[static_cast<size_t>(event)];
}

}  // namespace tsf::core
