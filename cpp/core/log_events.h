// A stream's events for its filter's log hooks. They never wait: what has no room in the ring is lost, whole.
#pragma once

#include <optional>
#include <string>

#include "core/host_side.h"
#include "core/mount.h"
#include "exchange_generated.h"

namespace tsf::core {

// Whom an access logger tells what it hears of a stream.
class LogListener {
 public:
  virtual ~LogListener() = default;
  virtual void on_log(wire::LogKind kind, const LogSource& source) = 0;
};

// The phase of that event's hook.
constexpr uint32_t log_phase(wire::LogKind kind) {
  return kind == wire::LogKind_Start      ? wire::Phase_LogStart
         : kind == wire::LogKind_Periodic ? wire::Phase_LogPeriodic
                                          : wire::Phase_Log;
}

class LogEvents {
 public:
  explicit LogEvents(HostSide& host) : host_(host) {}

  // Of a stream that has begun, in the middle of its life.
  void tell(wire::LogKind kind, const LogSource& source);
  // The maps are here for the last time; what an access logger knows better may still come.
  void on_complete();
  void know_better(const LogSource& source);
  // The stream is destroyed: the last one's hook runs.
  void finish();

 private:
  bool wants(wire::LogKind kind) const { return (host_.phases() & log_phase(kind)) != 0 && host_.reachable(); }

  HostSide& host_;
  std::optional<std::string> last_;  // attributes for onLog, until the stream is destroyed
};

}  // namespace tsf::core
