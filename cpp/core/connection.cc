#include "core/connection.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "core/control_messages.h"
#include "core/timers.h"

namespace tsf::core {
namespace {
constexpr Nanos kGreetingTimeout = nanos(std::chrono::milliseconds(5000));
// Until there may be memory and descriptors again.
constexpr Nanos kNoMeansPause = nanos(std::chrono::milliseconds(500));
}  // namespace

Connection::Connection(const Shared& shared, uint32_t number, ConnectionEvents& events)
    : shared_(shared),
      number_(number),
      events_(events),
      generations_(shared_.target.workers),
      chosen_(shared_.target.workers) {}

// ---- beginning and end ----

bool Connection::connect(std::string& error) {
  uid_t peer = 0;
  if (!socket_.connect(shared_.target.socket, peer, error)) return false;
  const auto& allowed = shared_.target.allowed_uids;
  if (std::find(allowed.begin(), allowed.end(), peer) == allowed.end()) {
    error = "TSF_PEER_REFUSED: the host runs as uid " + std::to_string(peer) +
            ", which allowed_uids does not name; add it to filter_config.allowed_uids, or run the host as uid " +
            std::to_string(::getuid());
    // It would see only that somebody came and went.
    send_refused(socket_, error);
    socket_.close();
    return false;
  }
  shared_.poller.add_socket(socket_.fd(), number_);
  watches_writes_ = false;
  greeting_until_ = now_ns() + kGreetingTimeout;
  last_channel_ = 0;
  reopening_.last = 0;
  events_.on_expected();
  send_hello(socket_, shared_.process, shared_.target.workers);
  return true;
}

void Connection::close(std::string_view why, bool is_hopeless) {
  if (!open()) return;
  socket_.close();
  greeting_until_ = reopening_.at = kNever;
  const auto ended = generations_.ids();
  for (const auto& channel : generations_.clear()) {
    let_go(*channel);
    channel->mark_lost();
  }
  for (auto& channel : chosen_) channel.reset();
  for (const GenerationId generation : ended) shared_.configs.end_generation(generation);
  events_.on_lost(why, is_hopeless);
}

void Connection::let_go(Channel& channel) { shared_.poller.remove_doorbell(channel.parts().worker_doorbell.fd()); }

// ---- what wakes the thread ----

void Connection::on_socket() {
  if (!open()) return;
  std::string error;
  if (!socket_.receive([this](uint32_t kind, std::string_view payload) { return on_message(kind, payload); }, error))
    close(error);
}

void Connection::look(Nanos now) {
  if (!open()) return;
  if (now >= greeting_until_) return close("the host did not greet back in time");
  std::string condemned;
  generations_.each_channel([&](Channel& channel) {
    if (channel.lost() && !channel.has_stopped()) condemned = channel.reason();
    if (channel.take_finished()) send_channel_done(socket_, channel.id());
  });
  if (!condemned.empty()) return close(condemned);
  drop_stopped();
  if (std::exchange(has_news_, false)) tell_news();
  // A host that does not read what it asks for gets no more.
  if (now >= reopening_.at && !socket_.wants_write()) {
    reopening_.last = now;
    fill_gaps(now);
  }
  if (!open()) return;
  // One that drains begins no stream with them.
  if (generations_.takes_streams()) send_configs();
  if (!socket_.flush()) return close(socket_.wants_write() ? "it does not read its socket" : "cannot write to it");
  const bool wants_write = socket_.wants_write();
  if (wants_write != std::exchange(watches_writes_, wants_write))
    shared_.poller.watch_writes(socket_.fd(), number_, wants_write);
}

void Connection::send_configs() {
  const ConfigsTold::News news = told_.take(shared_.configs);
  to_tell_.insert(to_tell_.end(), news.configs.begin(), news.configs.end());
  for (const uint32_t id : news.forgotten) send_forget(socket_, id);
  // One at a time: they may be large, and a host that does not read would have them all in our memory.
  for (; !to_tell_.empty() && !socket_.wants_write(); to_tell_.pop_front())
    if (const auto config = to_tell_.front().lock()) send_config(socket_, *config, shared_.process.capabilities());
}

// ---- what the host says ----

bool Connection::on_message(uint32_t kind, std::string_view payload) {
  const bool has_greeted = greeting_until_ == kNever;
  if (limits_.flood.floods(now_ns(), told_.count())) {
    close("it floods its socket with messages", true);
    return true;
  }
  switch (kind) {
    case wire::ControlKind_Welcome: return !has_greeted && on_welcome(payload);
    case wire::ControlKind_Refused: return on_refused(payload);
    case wire::ControlKind_ConfigVerdict: return on_verdict(payload);
    case wire::ControlKind_ChannelReady: return on_channel_ready(payload);
    case wire::ControlKind_Drain: return on_drain(payload);
    case wire::ControlKind_Generation: return has_greeted && on_generation(payload);
    case wire::ControlKind_ChannelDone: return on_channel_done(payload);
    default: return true;  // a newer host's message
  }
}

bool Connection::on_welcome(std::string_view payload) {
  const Received<wire::Welcome> welcome(payload);
  if (!welcome) return false;
  if (welcome->major() != wire::Protocol_Major) {
    close("it speaks protocol " + std::to_string(welcome->major()) + ", this module speaks " +
              std::to_string(wire::Protocol_Major) + "; use the same release of both",
          true);
    return true;
  }
  shared_.process.log(LogLevel::kInfo, "ts_filter: connected to ts-filter-host " +
                                           printable_text(welcome->host_version()) + " (pid " +
                                           std::to_string(welcome->pid()) + ") at " + shared_.target.socket);
  greeting_until_ = kNever;
  told_ = {};
  to_tell_.clear();
  events_.on_welcome();
  begin_generation(0);
  return true;
}

bool Connection::on_refused(std::string_view payload) {
  const Received<wire::Refused> refused(payload);
  if (!refused) return false;
  close("it refused this module: " + printable_text(refused->reason()), true);
  return true;
}

bool Connection::on_verdict(std::string_view payload) {
  const Received<wire::ConfigVerdict> message(payload);
  Verdict verdict;
  if (!message || !read_verdict(*message, verdict)) return false;
  const GenerationId* generation = generations_.find(message->generation());
  if (generation == nullptr) return true;  // it has ended meanwhile
  const bool accepted = verdict.accepted;
  const bool unavailable = verdict.unavailable;
  const std::string why = verdict.message;
  const auto config = shared_.configs.judge(message->id(), *generation, std::move(verdict));
  if (!config) return true;
  has_news_ = true;
  if (!accepted && !limits_.verdict_lines.allows(now_ns(), why.size())) return true;
  if (unavailable)
    shared_.process.log(LogLevel::kWarn, "ts_filter: filter " + config->text().name + " cannot be served now: " + why);
  else if (!accepted)
    shared_.process.log(LogLevel::kError,
                        "ts_filter: the host refuses the config of filter " + config->text().name + ": " + why);
  return true;
}

// Once for all that came: each worker looks at all its streams that wait.
void Connection::tell_news() {
  choose_channels();
  for (uint32_t worker = 0; worker < shared_.target.workers; ++worker) events_.on_news(worker);
}

bool Connection::on_channel_ready(std::string_view payload) {
  const Received<wire::ChannelReady> ready(payload);
  if (!ready) return false;
  switch (generations_.channel_ready(ready->id())) {
    case Generations::Ready::kUnknown: return ready->id() <= last_channel_;  // one that we have let go of already?
    case Generations::Ready::kAgain: return false;
    case Generations::Ready::kNew: break;
  }
  choose_channels();
  return true;
}

bool Connection::on_drain(std::string_view payload) {
  const Received<wire::Drain> drain(payload);
  if (!drain) return false;
  generations_.drain(drain->generation());
  const bool is_over = drain->generation() == Generations::kAll;
  // First, so that a stream that finds no channel finds also that another host is expected.
  if (is_over) events_.on_expected();
  choose_channels();
  if (is_over) events_.on_drained();
  // Of one that has not greeted there is nothing to wait for.
  if (greeting_until_ != kNever) close("it drains");
  return true;
}

bool Connection::on_generation(std::string_view payload) {
  const Received<wire::Generation> generation(payload);
  if (!generation || generation->generation() == 0) return false;
  events_.on_expected();
  begin_generation(generation->generation());
  return true;
}

bool Connection::on_channel_done(std::string_view payload) {
  const Received<wire::ChannelDone> done(payload);
  if (!done) return false;
  const auto channel = generations_.remove(done->id());
  // One that we have let go of already?
  if (!channel) return done->id() <= last_channel_;
  let_go(*channel);
  // First, so that a stream that finds the channel closed finds also that a host is expected.
  look_for_gaps();
  channel->close(done->drained());
  went_away();
  return true;
}

// ---- channels ----

void Connection::begin_generation(uint32_t number) {
  const GenerationId id = shared_.configs.begin_generation();
  if (!generations_.begin(number, id)) return close("it may not begin generation " + std::to_string(number));
  // Not while messages wait: each channel is four descriptors.
  if (socket_.wants_write()) {
    reopening_.at = now_ns();
  } else {
    fill_gaps(now_ns());
  }
}

// At once; more and more slowly for a host that closes every channel as soon as it has it.
void Connection::reopen_soon() {
  const Nanos now = now_ns();
  const Nanos since = now - reopening_.last;
  reopening_.pause.lived(since);
  reopening_.at = since >= Backoff::kSteady ? now : std::max(now, reopening_.last + reopening_.pause.next());
}

// A host's thread may die, or hang: another one serves the worker's next streams.
void Connection::look_for_gaps() {
  if (generations_.gaps().empty()) return;
  reopen_soon();
  events_.on_expected();
}

void Connection::drop_stopped() {
  std::vector<uint32_t> stopped;
  generations_.each_channel([&](Channel& channel) {
    if (channel.lost() && channel.has_stopped()) stopped.push_back(channel.id());
  });
  if (stopped.empty()) return;
  for (const uint32_t id : stopped) {
    const auto channel = generations_.remove(id);
    shared_.process.log(LogLevel::kWarn, "ts_filter: a channel to the host at " + shared_.target.socket +
                                             " is closed: " + std::string(channel->reason()));
    let_go(*channel);
    send_channel_done(socket_, id);
  }
  look_for_gaps();
  went_away();
}

// Behind each channel that is let go of.
void Connection::went_away() { tell_news(); }

void Connection::fill_gaps(Nanos now) {
  reopening_.at = kNever;
  for (const Generations::Gap& gap : generations_.gaps()) {
    switch (make_channel(gap)) {
      case Made::kYes: said_no_means_ = false; break;
      case Made::kNoMeans: reopening_.at = now + kNoMeansPause; return;
      case Made::kBroken: return close("cannot write to it");
    }
  }
}

Connection::Made Connection::make_channel(const Generations::Gap& gap) {
  auto outbound = shm::Segment::create_outbound(shared_.target.ring_bytes);
  auto inbound = shm::Segment::create_inbound(shared_.target.ring_bytes);
  auto host_doorbell = shm::HostDoorbell::create();
  auto worker_doorbell = shm::Doorbell::create();
  const bool all = outbound && inbound && host_doorbell && worker_doorbell;
  const auto endpoint = all ? shm::Endpoint::attach(outbound->writable(), inbound->bytes()) : std::nullopt;
  // Of its own: a message may wait, and the host may close the channel before it is sent.
  std::vector<shm::UniqueFd> fds;
  if (endpoint) {
    for (const int fd : {outbound->fd(), inbound->fd(), worker_doorbell->fd()})
      fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    fds.insert(fds.begin() + 2, host_doorbell->take_host_end());
  }
  const bool is_able = endpoint && std::all_of(fds.begin(), fds.end(), [](const auto& fd) { return bool(fd); });
  if (!is_able || !shared_.poller.add_doorbell(worker_doorbell->fd(), gap.worker)) {
    if (!std::exchange(said_no_means_, true))
      shared_.process.log(LogLevel::kError,
                          "ts_filter: cannot make a channel (trying again): " + (!outbound  ? outbound.error
                                                                                 : !inbound ? inbound.error
                                                                                            : std::strerror(errno)));
    return Made::kNoMeans;
  }
  const uint32_t number = ++last_channel_;
  generations_.add(gap.number, gap.worker,
                   std::make_shared<Channel>(number, gap.id,
                                             Channel::Parts{std::move(*outbound), std::move(*inbound), *endpoint,
                                                            std::move(*host_doorbell), std::move(*worker_doorbell)}));
  const bool sent = send_channel(socket_, {number, gap.worker, shared_.target.ring_bytes, gap.number}, std::move(fds));
  return sent ? Made::kYes : Made::kBroken;
}

void Connection::choose_channels() {
  for (const GenerationId generation : generations_.incomplete())
    if (shared_.configs.has_judged_all(generation)) generations_.complete(generation);
  generations_.retire_old();
  for (uint32_t worker = 0; worker < shared_.target.workers; ++worker) {
    auto channel = generations_.for_new_streams(worker);
    if (channel == chosen_[worker]) continue;
    chosen_[worker] = channel;
    if (channel) channel->give();
    events_.on_channel(worker, channel);
  }
  for (const auto& unused : generations_.take_unused()) {
    let_go(*unused);
    send_channel_done(socket_, unused->id());
  }
  for (const GenerationId ended : generations_.take_ended()) shared_.configs.end_generation(ended);
}

}  // namespace tsf::core
