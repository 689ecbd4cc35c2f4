// A link's connections: the one that new streams go to, and those before it, whose hosts drain, until the streams that
// they hold have ended. Link thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/connection.h"

namespace tsf::core {

class Connections {
 public:
  // More hosts than that do not drain at once: the oldest is left.
  static constexpr size_t kMostDraining = 8;

  // `events`: of the connection for new streams. Of one that drains only news are told.
  Connections(Connection::Target target, ProcessMount& process, Poller& poller, ConfigRegistry& configs,
              ConnectionEvents& events);
  ~Connections();

  // One for new streams is there, or about to be.
  bool open() const;
  // Where none is open. False: nobody is there, `error` says why.
  bool connect(std::string& error);
  void close(std::string_view why);

  void on_socket(uint32_t number);
  // See Connection.
  void look(Nanos now);
  Nanos deadline() const;

 private:
  class Line;
  void let_go_of_ended();

  const Connection::Target target_;
  ProcessMount& process_;
  Poller& poller_;
  ConfigRegistry& configs_;
  ConnectionEvents& events_;
  uint32_t last_number_ = 0;
  std::vector<std::unique_ptr<Line>> lines_;  // the oldest first; all but the last one drain
};

}  // namespace tsf::core
