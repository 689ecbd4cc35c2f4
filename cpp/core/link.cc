#include "core/link.h"

#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace tsf::core {
namespace {

// Leaked: links are looked up until the process ends.
struct Links {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Link>> by_key;
};
Links& links() {
  static Links& all = *new Links();
  return all;
}

std::string key_of(const Settings& settings) {
  std::string key = settings.socket + '\0' + std::to_string(settings.ring_bytes) + '\0' +
                    std::to_string(settings.host_stall_timeout.count());
  for (const uid_t uid : settings.allowed_uids) key += '\0' + std::to_string(uid);
  return key;
}

}  // namespace

std::shared_ptr<Link> Link::obtain(const Settings& settings, ProcessMount& process, uint32_t concurrency) {
  const std::lock_guard lock(links().mutex);
  std::erase_if(links().by_key, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Link>& known = links().by_key[key_of(settings)];
  if (auto link = known.lock()) return link;
  const std::shared_ptr<Link> self(new Link(settings, process, concurrency));
  std::thread([self] { self->run(); }).detach();
  // Owners hold this handle; its end is the thread's order to stop. Who remembers the handle must not keep the link.
  std::shared_ptr<Link> handle(self.get(), [kept = std::shared_ptr<Link>(self)](Link*) mutable {
    kept->stop();
    kept.reset();
  });
  known = handle;
  return handle;
}

Link::Link(const Settings& settings, ProcessMount& process, uint32_t concurrency)
    : socket_path_(settings.socket),
      stall_limit_(nanos(settings.host_stall_timeout)),
      process_(process),
      configs_([this] { poller_.ring(); }),
      connections_({settings.socket, settings.allowed_uids, settings.ring_bytes, std::max(concurrency, 1u)}, process,
                   poller_, configs_, *this) {
  for (uint32_t i = 0; i < std::max(concurrency, 1u); ++i)
    workers_.push_back(std::make_unique<Worker>(i, *this, process));
  for (const auto& worker : workers_) sleeper_.watch(worker->deadline());
}

std::shared_ptr<JudgedConfig> Link::judge(ConfigText text) {
  return ConfigRegistry::add({shared_from_this(), &configs_}, std::move(text));
}

void Link::stop() {
  stopping_.store(true, std::memory_order_release);  // release: everything the owners did is before the thread's end
  poller_.ring();
}

void Link::deadline_moved(Nanos deadline) {
  if (sleeper_.sleeps_past(deadline)) poller_.ring();
}

// ---- the thread ----

void Link::run() {
  // acquire: pairs with stop().
  while (!stopping_.load(std::memory_order_acquire)) {
    const Nanos now = now_ns();
    if (!connections_.open() && now >= connect_at_) try_connect();
    connections_.look(now);
    const Nanos own = std::min(connections_.deadline(), connections_.open() ? kNever : connect_at_);
    const Nanos until = sleeper_.fall_asleep(own, [this](size_t worker) { workers_[worker]->wake(); });
    poller_.wait(until, *this);
    sleeper_.wake_up();
  }
  connections_.close("the filter configuration is gone");
}

void Link::on_bell() {
  for (const auto& worker : workers_) worker->wake_if_left();
}

void Link::wake_workers() {
  for (const auto& worker : workers_) worker->wake();
}

void Link::expect_host(bool expected) {
  // release: who sees it sees why
  expected_until_.store(expected ? now_ns() + nanos(kHostGrace) : 0, std::memory_order_release);
  configs_.set_host_expected(expected);
}

void Link::try_connect() {
  std::string error;
  connected_at_ = now_ns();
  if (connections_.connect(error)) {
    is_silent_ = true;
    return;
  }
  connect_at_ = now_ns() + backoff_.next();
  say_down("no host at " + socket_path_ + ": " + error + " (trying again)", !down_.is_said);
  if (!expects_host()) return;
  expect_host(false);
  wake_workers();
}

// Of what is tried again and again one line says why, and another one when that changes.
void Link::say_down(const std::string& what, bool is_news) {
  down_.is_said = true;
  if (!is_news && what.rfind("no host", 0) != 0) return;
  if (what == std::exchange(down_.what, what) || !down_.lines.allows(now_ns())) return;
  process_.log(LogLevel::kWarn, "ts_filter: " + what);
}

void Link::on_welcome() {
  down_.is_said = is_silent_ = false;
  down_.what.clear();
  expect_host(true);
}

// Another host has taken the place, or will: at once, but for hosts that do nothing else than drain.
void Link::on_drained() {
  const Nanos now = now_ns();
  backoff_.lived(now - connected_at_);
  connect_at_ = std::max(now, connected_at_ + backoff_.next());
}

void Link::on_lost(std::string_view why, bool is_hopeless) {
  // A host that never greeted is no news while none is there; one that cannot be used is.
  say_down("host at " + socket_path_ + " lost: " + std::string(why), is_hopeless || !down_.is_said);
  // A greeting alone is no success: a host that dies of it would be connected to a hundred times a second.
  backoff_.lived(now_ns() - connected_at_);
  connect_at_ = now_ns() + (is_hopeless ? backoff_.hopeless() : backoff_.next());
  expect_host(false);
  for (const auto& worker : workers_) worker->set_channel(nullptr);
}

}  // namespace tsf::core
