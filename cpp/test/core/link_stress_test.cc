// A link between two workers and a host on a real socket, each on its own thread, while everything happens that can:
// the host drains, begins generations of its filters, goes and comes back; configs are updated; workers have no
// stream, one, several; streams die inside and outside of runs. Under TSan, and with the heap, the descriptors and the
// threads counted.
//
//   LINK_RECONNECTS=n  so many connections instead of a few (10000 take 19 minutes: a link waits between two)
//   LINK_SEED=n
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "core/link.h"
#include "test/core/fake_flow_mount.h"
#include "test/core/fake_host.h"

extern "C" size_t __sanitizer_get_current_allocated_bytes();

namespace tsf::core::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

size_t count_files(const char* directory) {
  const std::filesystem::directory_iterator all(directory);
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

struct Level {
  size_t heap = __sanitizer_get_current_allocated_bytes();
  size_t descriptors = count_files("/proc/self/fd");
  size_t threads = count_files("/proc/self/task");
};

// Keeps no lines, only counts them.
class QuietProcess final : public ProcessMount {
 public:
  void log(LogLevel level, std::string_view) override {
    if (level == LogLevel::kError) ++errors;
  }
  bool log_enabled(LogLevel) const override { return true; }
  uint32_t capabilities() const override { return 0; }
  std::string_view envoy_version() const override { return "1.40"; }

  std::atomic<int> errors{0};
};

// What Envoy has loaded; workers take it when a stream begins.
class CurrentConfig {
 public:
  void set(std::shared_ptr<FilterConfig> config) {
    const std::lock_guard lock(mutex_);
    config_.swap(config);
  }
  std::shared_ptr<FilterConfig> get() const {
    const std::lock_guard lock(mutex_);
    return config_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<FilterConfig> config_;
};

// One worker's event loop.
class WorkerThread {
 public:
  WorkerThread(Worker& worker, const CurrentConfig& config, uint64_t seed)
      : worker_(worker), config_(config), random_(seed), thread_([this] { run(); }) {}
  ~WorkerThread() { stop(); }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // Has no stream, until it is told otherwise.
  void pause(bool yes) {
    is_paused_ = yes;
    while (yes && !is_idle_) ::usleep(100);
  }

  std::atomic<uint64_t> answered{0};
  std::atomic<uint64_t> replied{0};
  std::atomic<uint64_t> stuck{0};
  std::atomic<uint64_t> violations{0};

 private:
  struct Open {
    std::unique_ptr<FakeStream> stream;
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  };
  uint64_t pick(uint64_t n) { return random_() % n; }

  void run() {
    while (!stopping_) {
      loop_.turn(worker_);
      sweep();
      if (!is_paused_ && streams_.size() < 4 && pick(3) == 0) open();
      if (is_paused_ || pick(200) == 0) destroy_all();
      is_idle_ = is_paused_ && streams_.empty();
      ::usleep(pick(8) == 0 ? 2000 : 200);
    }
    destroy_all();
  }
  void open() {
    auto stream = std::make_unique<FakeStream>(worker_, loop_, config_.get());
    FakeStream* const raw = stream.get();
    if (pick(2)) {
      stream->on_move = [raw] { raw->destroy(); };  // as Envoy 1.38 does
    }
    stream->headers(Dir::kRequest, {{":method", "GET"}}, true);
    streams_.push_back({std::move(stream)});
  }
  void sweep() {
    for (Open& open : streams_) {
      FakeStream& stream = *open.stream;
      const bool is_through = stream.is_ended() || stream.mount(Dir::kRequest).is_passing;
      if (std::chrono::steady_clock::now() - open.since > seconds(60) && !is_through) ++stuck;
      if (!stream.reply().empty()) {
        ++replied;
      } else if (is_through) {
        ++answered;
      }
      if (!stream.core().is_over() && (is_through || pick(300) == 0)) stream.destroy();
      violations += stream.violations.size();
    }
    std::erase_if(streams_, [](const Open& open) { return open.stream->core().is_over(); });
  }
  void destroy_all() { streams_.clear(); }

  Worker& worker_;
  const CurrentConfig& config_;
  std::mt19937_64 random_;
  Loop loop_;
  std::vector<Open> streams_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> is_paused_{false};
  std::atomic<bool> is_idle_{false};
  std::thread thread_;
};

class LinkStress : public testing::Test {
 protected:
  std::shared_ptr<FilterConfig> load(uint64_t number) {
    auto config = std::make_shared<FilterConfig>();
    config->name = "tested";
    config->settings = *parse_settings(R"({"socket": ")" + place_.path() + R"(", "message_timeout": "60s"})").value;
    config->settings.plugin_config = std::to_string(number);
    if (number % 2 == 1) config->settings.failure_mode = FailureMode::kReplay;
    config->link = Link::obtain(config->settings, process_, 2);
    config->judged = config->link->judge(filter_text(config->name, config->settings));
    return config;
  }
  template <class Done>
  static bool wait_for(Done done, seconds limit = seconds(120)) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > until) return false;
      ::usleep(1000);
    }
    return true;
  }

  SocketPlace place_;
  // As Envoy's: it outlives every link's thread.
  inline static QuietProcess& process_ = *new QuietProcess();
};

TEST_F(LinkStress, ReconnectsUpdatesAndDrainsLeaveNothingBehind) {
  const uint64_t reconnects = number_of("LINK_RECONNECTS", 60);
  const uint64_t seed = number_of("LINK_SEED", std::random_device()());
  printf("LINK_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::thread([] {}).join();  // a sanitizer begins one of its own with the first
  const Level empty;
  {
    CurrentConfig current;
    current.set(load(0));
    const auto link = current.get()->link;
    // Configs that nobody changes, so that what is kept of them for each connection would add up.
    std::vector<std::shared_ptr<FilterConfig>> lasting;
    for (uint64_t i = 0; i < 8; ++i) lasting.push_back(load(1'000'000 + i));
    FakeHost host(place_.path(), seed);
    WorkerThread first(link->worker(0), current, seed + 1);
    WorkerThread second(link->worker(1), current, seed + 2);
    uint64_t updates = 0;
    const auto run_until = [&](uint64_t connections) {
      return wait_for(
          [&] {
            current.set(load(++updates));
            ::usleep(3000);
            return host.connections >= connections;
          },
          seconds(600));
    };
    // Nothing goes on, one host is connected, and its first generation only.
    const auto measure = [&] {
      for (WorkerThread* worker : {&first, &second}) worker->pause(true);
      host.is_calm = true;
      const uint64_t before = host.connections;
      host.restart = true;
      EXPECT_TRUE(wait_for([&] { return host.connections > before; }));
      current.set(load(0));
      EXPECT_NE(link->wait_for_verdict(*current.get()->judged, milliseconds(30'000)), nullptr);
      EXPECT_TRUE(wait_for([&] { return host.channels_served == 2; }));
      ::usleep(50'000);
      const Level level;
      host.is_calm = false;
      for (WorkerThread* worker : {&first, &second}) worker->pause(false);
      return level;
    };
    ASSERT_TRUE(run_until(reconnects / 5));
    const Level early = measure();
    for (uint64_t done = reconnects / 5; done < reconnects;) {
      done = std::min(reconnects, done + 1000);
      ASSERT_TRUE(run_until(done));
    }
    const Level late = measure();
    EXPECT_EQ(late.descriptors, early.descriptors);
    EXPECT_EQ(late.threads, early.threads);
    // Containers keep some room.
    printf("heap: %zu bytes after the first part, %zu at the end\n", early.heap, late.heap);
    EXPECT_LT(late.heap, early.heap + (16 << 10));

    for (WorkerThread* worker : {&first, &second}) {
      worker->stop();
      EXPECT_EQ(worker->stuck, 0u);
      EXPECT_EQ(worker->violations, 0u);
      EXPECT_GT(worker->answered, 0u);
      EXPECT_GT(worker->replied, 0u);
    }
    printf(
        "%llu connections (%llu beside others), %llu updates, %llu drains, %llu generations, %llu channels let go, "
        "%llu answers\n",
        static_cast<unsigned long long>(host.connections), static_cast<unsigned long long>(host.overlaps),
        static_cast<unsigned long long>(updates), static_cast<unsigned long long>(host.counts.drains),
        static_cast<unsigned long long>(host.counts.generations),
        static_cast<unsigned long long>(host.counts.channels_done),
        static_cast<unsigned long long>(host.counts.answers));
    EXPECT_GT(host.counts.generations, 0u);
    EXPECT_GT(host.counts.drains, 0u);
    EXPECT_GT(host.overlaps, 0u);
    EXPECT_GT(host.counts.channels_done, 0u);
  }
  EXPECT_EQ(process_.errors, 0);
  EXPECT_TRUE(wait_for([&] { return Level().threads == empty.threads; }, seconds(30)))
      << "the link's thread ends with its configs";
  EXPECT_EQ(Level().descriptors, empty.descriptors);
}

}  // namespace
}  // namespace tsf::core::test
