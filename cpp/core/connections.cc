#include "core/connections.h"

#include <algorithm>
#include <utility>

namespace tsf::core {

// One connection, and how much of what it says is news for the link.
class Connections::Line final : private ConnectionEvents {
 public:
  Line(Connections& all, uint32_t number)
      : all_(all),
        number_(number),
        connection_({all.target_, all.process_, all.poller_, all.configs_}, number, *this) {}

  Connection& connection() { return connection_; }
  uint32_t number() const { return number_; }
  bool takes_streams() const { return connection_.open() && !is_draining_; }
  bool is_over() const { return is_draining_ && !connection_.open(); }
  bool is_draining() const { return is_draining_; }

 private:
  void on_expected() override {
    if (!is_draining_) all_.events_.on_expected();
  }
  void on_welcome() override {
    if (!is_draining_) all_.events_.on_welcome();
  }
  void on_channel(uint32_t worker, const std::shared_ptr<Channel>& channel) override {
    if (!is_draining_) all_.events_.on_channel(worker, channel);
  }
  void on_news(uint32_t worker) override { all_.events_.on_news(worker); }
  void on_drained() override {
    if (!std::exchange(is_draining_, true)) all_.events_.on_drained();
  }
  void on_lost(std::string_view why, bool is_hopeless) override {
    if (!is_draining_) return all_.events_.on_lost(why, is_hopeless);
    all_.process_.log(LogLevel::kInfo, "ts_filter: the host at " + all_.target_.socket +
                                           " that has drained is gone: " + std::string(why));
    // What its channels still held is lost.
    for (uint32_t worker = 0; worker < all_.target_.workers; ++worker) all_.events_.on_news(worker);
  }

  Connections& all_;
  const uint32_t number_;
  Connection connection_;
  bool is_draining_ = false;
};

Connections::Connections(Connection::Target target, ProcessMount& process, Poller& poller, ConfigRegistry& configs,
                         ConnectionEvents& events)
    : target_(std::move(target)), process_(process), poller_(poller), configs_(configs), events_(events) {}

Connections::~Connections() = default;

bool Connections::open() const { return !lines_.empty() && lines_.back()->takes_streams(); }

bool Connections::connect(std::string& error) {
  if (lines_.empty() || lines_.back()->is_draining()) lines_.push_back(std::make_unique<Line>(*this, ++last_number_));
  if (lines_.size() > kMostDraining + 1) {
    lines_.front()->connection().close("too many hosts drain at once");
    let_go_of_ended();
  }
  return lines_.back()->connection().connect(error);
}

void Connections::close(std::string_view why) {
  for (const auto& line : lines_) line->connection().close(why);
}

void Connections::on_socket(uint32_t number) {
  for (const auto& line : lines_)
    if (line->number() == number) return line->connection().on_socket();
}

void Connections::look(Nanos now) {
  for (const auto& line : lines_) line->connection().look(now);
  let_go_of_ended();
}

void Connections::let_go_of_ended() {
  std::erase_if(lines_, [](const auto& line) { return line->is_over(); });
}

Nanos Connections::deadline() const {
  Nanos first = kNever;
  for (const auto& line : lines_) first = std::min(first, line->connection().deadline());
  return first;
}

}  // namespace tsf::core
