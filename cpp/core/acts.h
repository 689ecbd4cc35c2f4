// What a filter asks of its stream beside the flows, and its questions: metadata, filter state, metrics, secrets, an
// upstream host.
#pragma once

#include <optional>
#include <string>

#include "core/filter_config.h"
#include "core/frame.h"
#include "core/mount.h"

namespace tsf::core {

enum class ActDone : uint8_t {
  kDone,
  kRecreate,  // the stream is to begin anew
  kBroken,    // no correct host sends it
};
ActDone do_act(const wire::Act& frame, const FilterConfig& config, StreamMount& mount, ProcessMount& process);

// The filter has failed: says so, and counts it.
void report_failure(const wire::Fail& frame, const FilterConfig& config, StreamMount& mount, ProcessMount& process);

// Null: there is no such value.
std::optional<std::string> answer_query(const wire::Query& frame, const FilterConfig& config, const StreamMount& mount);

}  // namespace tsf::core
