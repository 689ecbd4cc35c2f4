#include "core/link.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <thread>

#include "core/text.h"
#include "core/version.h"

namespace tsf::core {
namespace {

constexpr uint64_t kWakeTag = 0;
constexpr uint64_t kSocketTag = 1;
constexpr uint64_t kFirstChannelTag = 2;
constexpr Nanos kGreetingTimeout = nanos(Millis(5000));

// Leaked: links are looked up until the process ends.
struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Link>> links;
};
Registry& registry() {
  static Registry& all = *new Registry();
  return all;
}

std::string_view bytes_of(const flatbuffers::FlatBufferBuilder& builder) {
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

// Socket messages come as unaligned text: a private aligned copy is verified.
template <class T>
class Received {
 public:
  explicit Received(std::string_view payload) : copy_((payload.size() + 7) / 8) {
    std::memcpy(copy_.data(), payload.data(), payload.size());
    table_ = verified<T>(std::as_bytes(std::span(copy_)).first(payload.size()));
  }
  explicit operator bool() const { return table_ != nullptr; }
  const T* operator->() const { return table_; }

 private:
  std::vector<uint64_t> copy_;
  const T* table_;
};

std::string printable_text(const flatbuffers::String* text) {
  constexpr size_t kMost = 2000;
  return text == nullptr ? std::string() : printable(text->string_view().substr(0, kMost));
}

}  // namespace

std::shared_ptr<Link> Link::obtain(const Settings& settings, ProcessMount& process, uint32_t concurrency) {
  std::string key = settings.socket + '\0' + std::to_string(settings.ring_bytes) + '\0' +
                    std::to_string(settings.host_stall_timeout.count());
  for (const uid_t uid : settings.allowed_uids) key += '\0' + std::to_string(uid);
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (auto link = all.links[key].lock()) return link;
  const std::shared_ptr<Link> self(new Link(settings, process, concurrency));
  std::thread([self] { self->run(); }).detach();
  // Owners hold this handle; its end is the thread's order to stop.
  std::shared_ptr<Link> handle(self.get(), [self](Link*) { self->stop(); });
  all.links[key] = handle;
  return handle;
}

std::vector<std::shared_ptr<Link>> Link::all() {
  Registry& registered = registry();
  const std::lock_guard lock(registered.mutex);
  std::vector<std::shared_ptr<Link>> out;
  for (const auto& [key, link] : registered.links)
    if (auto live = link.lock()) out.push_back(std::move(live));
  return out;
}

Link::Link(const Settings& settings, ProcessMount& process, uint32_t concurrency)
    : socket_path_(settings.socket),
      allowed_uids_(settings.allowed_uids),
      ring_bytes_(settings.ring_bytes),
      stall_limit_(nanos(settings.host_stall_timeout)),
      process_(process),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (uint32_t i = 0; i < std::max(concurrency, 1u); ++i)
    workers_.push_back(std::make_unique<Worker>(i, *this, process));
  for (const auto& worker : workers_) sleeper_.watch(worker->deadline());
  channels_.resize(workers_.size());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_fd_.get(), &event);
}

void Link::stop() {
  stopping_.store(true, std::memory_order_release);  // release: everything the owners did is before the thread's end
  ring();
}

void Link::ring() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_fd_.get(), &one, sizeof one);
}

void Link::deadline_moved(Nanos deadline) {
  if (sleeper_.sleeps_past(deadline)) ring();
}

// ---- configs ----

std::shared_ptr<JudgedConfig> Link::judge(ConfigText text) {
  const std::lock_guard lock(mutex_);
  for (const auto& known : configs_)
    if (auto config = known.lock(); config && config->text() == text) return config;
  std::erase_if(configs_, [](const auto& config) { return config.expired(); });
  const uint32_t id = ++last_id_;
  std::shared_ptr<JudgedConfig> config(new JudgedConfig(id, std::move(text)),
                                       [weak = weak_from_this()](JudgedConfig* dead) {
                                         if (const auto link = weak.lock()) {
                                           const std::lock_guard forget_lock(link->forget_mutex_);
                                           link->forgotten_.push_back(dead->id());
                                           link->ring();
                                         }
                                         delete dead;
                                       });
  configs_.push_back(config);
  unsent_.push_back(id);
  ring();
  return config;
}

const Verdict* Link::wait_for_verdict(const JudgedConfig& config, Millis limit) {
  std::unique_lock lock(mutex_);
  const Nanos now = now_ns();
  // Configs that come within a second belong to one update and share its patience.
  if (now > update_until_ + nanos(Millis(1000))) update_until_ = now + nanos(limit);
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::nanoseconds(std::max<Nanos>(update_until_ - now, 0));
  const Verdict* verdict = nullptr;
  changed_.wait_until(lock, until, [&] {
    verdict = config.verdict();
    if (verdict != nullptr && verdict->epoch != epoch_) verdict = nullptr;
    return verdict != nullptr || down();
  });
  return verdict;
}

std::shared_ptr<JudgedConfig> Link::config_of(uint32_t id) {
  const std::lock_guard lock(mutex_);
  for (const auto& weak : configs_)
    if (auto known = weak.lock(); known && known->id() == id) return known;
  return nullptr;
}

void Link::send_config(const JudgedConfig& config) {
  const ConfigText& text = config.text();
  flatbuffers::FlatBufferBuilder b(1024);
  const auto name = b.CreateString(text.name);
  const auto json = text.json ? b.CreateString(*text.json) : flatbuffers::Offset<flatbuffers::String>();
  const auto allow = b.CreateVectorOfStrings(text.allow);
  const auto deny = b.CreateVectorOfStrings(text.deny);
  std::vector<flatbuffers::Offset<wire::Metric>> metrics;
  for (const MetricSpec& metric : text.metrics)
    metrics.push_back(wire::CreateMetric(b, b.CreateString(metric.name), static_cast<wire::MetricKind>(metric.kind),
                                         b.CreateVectorOfStrings(metric.labels)));
  const auto metric_list = b.CreateVector(metrics);
  std::vector<flatbuffers::Offset<wire::ChainedFilter>> chain;
  for (const ChainedFilter& filter : text.filters) {
    const auto chained = b.CreateString(filter.name);
    const auto own =
        filter.plugin_config ? b.CreateString(*filter.plugin_config) : flatbuffers::Offset<flatbuffers::String>();
    chain.push_back(wire::CreateChainedFilter(b, chained, own));
  }
  const auto filters = chain.empty() ? 0 : b.CreateVector(chain);
  b.Finish(wire::CreateFilterConfig(b, config.id(), name, text.route, json, allow, deny, text.log_level,
                                    text.stream_window, static_cast<wire::Capability>(process_.capabilities()),
                                    metric_list, filters, text.max_body_bytes));
  control_.send(wire::ControlKind_FilterConfig, bytes_of(b));
}

void Link::send_configs() {
  std::vector<std::shared_ptr<JudgedConfig>> configs;
  std::vector<uint32_t> forgotten;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& weak : configs_)
      if (auto config = weak.lock(); config && std::find(unsent_.begin(), unsent_.end(), config->id()) != unsent_.end())
        configs.push_back(std::move(config));
    unsent_.clear();
  }
  {
    const std::lock_guard lock(forget_mutex_);
    forgotten.swap(forgotten_);
  }
  for (const auto& config : configs) send_config(*config);
  for (const uint32_t id : forgotten) {
    flatbuffers::FlatBufferBuilder b(64);
    b.Finish(wire::CreateForgetConfig(b, id));
    control_.send(wire::ControlKind_ForgetConfig, bytes_of(b));
  }
}

// ---- the thread ----

void Link::run() {
  // acquire: pairs with stop().
  while (!stopping_.load(std::memory_order_acquire)) {
    const Nanos now = now_ns();
    if (!control_.open() && now >= connect_at_) try_connect();
    if (control_.open() && greeting_overdue(now)) lose("the host did not greet back in time");
    sleep();
  }
  if (control_.open()) lose("the filter configuration is gone");
}

void Link::set_phase(Phase phase) {
  {
    const std::lock_guard lock(mutex_);
    phase_.store(phase, std::memory_order_release);  // release: with the mutex, wait_for_verdict sees it
  }
  changed_.notify_all();
}

void Link::try_connect() {
  std::string error;
  if (!control_.connect(socket_path_, allowed_uids_, error)) {
    retry_in(backoff_.next());
    if (!said_down_)
      process_.log(LogLevel::kWarn, "ts_filter: no host at " + socket_path_ + ": " + error +
                                        "; start ts-filter-host --socket " + socket_path_ + " (trying again)");
    said_down_ = true;
    if (phase_.load(std::memory_order_relaxed) == Phase::kGreeting) {  // relaxed: only this thread writes it
      set_phase(Phase::kDown);
      wake_workers();
    }
    return;
  }
  set_phase(Phase::kGreeting);
  greeting_until_ = now_ns() + kGreetingTimeout;
  flatbuffers::FlatBufferBuilder b(256);
  const auto module_version = b.CreateString(kModuleVersion);
  const auto envoy_version = b.CreateString(process_.envoy_version().data(), process_.envoy_version().size());
  b.Finish(wire::CreateHello(b, wire::Protocol_Major, wire::Protocol_Minor, module_version, envoy_version,
                             static_cast<uint32_t>(workers_.size())));
  control_.send(wire::ControlKind_Hello, bytes_of(b));
}

bool Link::greeting_overdue(Nanos now) const {
  return phase_.load(std::memory_order_relaxed) == Phase::kGreeting && now >= greeting_until_;  // relaxed: own word
}

void Link::lose(std::string_view why) {
  if (phase_.load(std::memory_order_relaxed) != Phase::kGreeting || !said_down_)  // relaxed: own word
    process_.log(LogLevel::kWarn, "ts_filter: host at " + socket_path_ + " lost: " + std::string(why));
  said_down_ = true;
  control_.close();
  registered_ = false;
  retry_in(backoff_.next());
  for (auto& channel : channels_) {
    if (!channel) continue;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel->parts().worker_doorbell.fd(), nullptr);
    channel->mark_lost();
    channel.reset();
  }
  set_phase(Phase::kDown);
  for (const auto& worker : workers_) worker->set_channel(nullptr);
}

void Link::wake_workers() {
  for (const auto& worker : workers_) worker->wake();
}

bool Link::make_channels() {
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    auto outbound = shm::Segment::create_outbound(ring_bytes_);
    auto inbound = shm::Segment::create_inbound(ring_bytes_);
    auto host_doorbell = shm::Doorbell::create();
    auto worker_doorbell = shm::Doorbell::create();
    if (!outbound || !inbound || !host_doorbell || !worker_doorbell) {
      process_.log(LogLevel::kError, "ts_filter: cannot make a channel: " + (!outbound  ? outbound.error
                                                                             : !inbound ? inbound.error
                                                                                        : std::strerror(errno)));
      return false;
    }
    auto endpoint = shm::Endpoint::attach(outbound->writable(), inbound->bytes());
    if (!endpoint || !shm::watch_doorbell(epoll_.get(), worker_doorbell->fd(), kFirstChannelTag + i)) return false;
    const std::vector<int> fds{outbound->fd(), inbound->fd(), host_doorbell->fd(), worker_doorbell->fd()};
    channels_[i] = std::make_shared<Channel>(i + 1, epoch_,
                                             Channel::Parts{std::move(*outbound), std::move(*inbound), *endpoint,
                                                            std::move(*host_doorbell), std::move(*worker_doorbell)});
    flatbuffers::FlatBufferBuilder b(64);
    b.Finish(wire::CreateChannel(b, i + 1, i, ring_bytes_));
    if (!control_.send(wire::ControlKind_Channel, bytes_of(b), fds)) return false;
  }
  return true;
}

bool Link::on_message(uint32_t kind, std::string_view payload) {
  const Phase phase = phase_.load(std::memory_order_relaxed);  // relaxed: own word
  switch (kind) {
    case wire::ControlKind_Welcome: {
      const Received<wire::Welcome> welcome(payload);
      if (!welcome || phase != Phase::kGreeting) return false;
      if (welcome->major() != wire::Protocol_Major) {
        said_down_ = false;
        lose("it speaks protocol " + std::to_string(welcome->major()) + ", this module speaks " +
             std::to_string(wire::Protocol_Major) + "; use the same release of both");
        retry_in(backoff_.longest());
        return true;
      }
      process_.log(LogLevel::kInfo, "ts_filter: connected to ts-filter-host " +
                                        printable_text(welcome->host_version()) + " (pid " +
                                        std::to_string(welcome->pid()) + ") at " + socket_path_);
      said_down_ = false;
      backoff_.succeeded();
      on_welcome();
      return true;
    }
    case wire::ControlKind_Refused: {
      const Received<wire::Refused> refused(payload);
      if (!refused) return false;
      said_down_ = false;
      lose("it refused this module: " + printable_text(refused->reason()));
      retry_in(backoff_.longest());
      return true;
    }
    case wire::ControlKind_ConfigVerdict: {
      const Received<wire::ConfigVerdict> verdict(payload);
      if (!verdict) return false;
      const auto config = config_of(verdict->id());
      if (!config) return true;
      Verdict out{epoch_, verdict->accepted(), verdict->phases(), {}, printable_text(verdict->message())};
      if (verdict->attributes() != nullptr)
        out.attributes.assign(verdict->attributes()->begin(), verdict->attributes()->end());
      if (out.attributes.size() > 256) return false;
      if (!out.accepted)
        process_.log(LogLevel::kError,
                     "ts_filter: the host refuses the config of filter " + config->text().name + ": " + out.message);
      config->judge(std::move(out));
      set_phase(phase);  // tells those who wait
      wake_workers();
      return true;
    }
    case wire::ControlKind_ChannelReady: {
      const Received<wire::ChannelReady> ready(payload);
      if (!ready || ready->id() == 0 || ready->id() > channels_.size() || !channels_[ready->id() - 1]) return false;
      workers_[ready->id() - 1]->set_channel(channels_[ready->id() - 1]);
      return true;
    }
    case wire::ControlKind_Drain:
      set_phase(Phase::kDown);
      for (const auto& worker : workers_) worker->set_channel(nullptr);
      return true;
    default: return true;  // a newer host's message
  }
}

void Link::on_welcome() {
  {
    const std::lock_guard lock(mutex_);
    ++epoch_;
    unsent_.clear();
    for (const auto& weak : configs_)
      if (const auto config = weak.lock()) unsent_.push_back(config->id());
  }
  set_phase(Phase::kUp);
  send_configs();
  if (!make_channels()) lose("no channel could be made");
}

// When the thread has something to do of its own.
Nanos Link::next_own() const {
  if (!control_.open()) return connect_at_;
  return phase_.load(std::memory_order_relaxed) == Phase::kGreeting ? greeting_until_ : kNever;  // relaxed: own word
}

void Link::sleep() {
  const bool wants_write = control_.open() && control_.wants_write();
  if (control_.open()) {
    epoll_event event{};
    event.events = wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u64 = kSocketTag;
    ::epoll_ctl(epoll_.get(), registered_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, control_.fd(), &event);
    registered_ = true;
  }
  const Nanos until = sleeper_.fall_asleep(next_own(), [this](size_t i) { workers_[i]->wake(); });
  const int timeout =
      until == kNever ? -1 : static_cast<int>(std::clamp<Nanos>((until - now_ns() + 999'999) / 1'000'000, 0, 60'000));
  epoll_event events[32];
  const int n = ::epoll_wait(epoll_.get(), events, 32, timeout);
  sleeper_.wake_up();
  for (int i = 0; i < n; ++i) {
    const uint64_t tag = events[i].data.u64;
    if (tag == kWakeTag) {
      uint64_t count;
      [[maybe_unused]] const ssize_t read = ::read(wake_fd_.get(), &count, sizeof count);
      for (const auto& worker : workers_) worker->wake_if_left();
    } else if (tag == kSocketTag && control_.open()) {
      std::string error;
      if (!control_.receive([this](uint32_t kind, std::string_view payload) { return on_message(kind, payload); },
                            error) ||
          (control_.open() && !control_.flush()))
        lose(error.empty() ? "cannot write to it" : error);
    } else if (tag >= kFirstChannelTag && tag - kFirstChannelTag < workers_.size()) {
      workers_[tag - kFirstChannelTag]->wake();
    }
  }
  for (const auto& channel : channels_) {
    if (!channel || !channel->lost()) continue;
    lose(channel->verdict());
    break;
  }
  if (control_.open() && phase_.load(std::memory_order_relaxed) == Phase::kUp) send_configs();  // relaxed: own word
}

}  // namespace tsf::core
