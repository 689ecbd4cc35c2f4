// A worker between a link of the test's own and a scripted host, without any Envoy.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/filter_config.h"
#include "core/verdict.h"
#include "core/worker.h"
#include "test/core/fake_worker.h"
#include "test/core/scripted_host.h"

namespace tsf::core::test {

class FakeLink final : public LinkSignals {
 public:
  void deadline_moved(Nanos) override {}
  void channel_condemned() override { ++condemned; }
  void channel_finished() override { ++finished; }
  void run_left() override { ++left; }
  bool expects_host() const override { return is_expected; }
  Nanos stall_limit() const override { return stall; }
  std::shared_ptr<JudgedConfig> config_of(uint32_t id) override {
    return judged && judged->id() == id ? judged : nullptr;
  }

  int condemned = 0;
  int finished = 0;
  int left = 0;  // runs that the link has to make
  bool is_expected = false;
  Nanos stall = nanos(Millis(60'000));
  std::shared_ptr<JudgedConfig> judged;
};

// A worker with a link of the test's own, and the host at its other end.
class WorkerStage {
 public:
  struct Options {
    bool shared_flag = false;
    uint32_t ring_bytes = 256 << 10;
    uint32_t phases = UINT32_MAX;
    std::vector<uint32_t> attributes = {};
  };

  explicit WorkerStage(Options options)
      : process(options.shared_flag),
        worker(7, link, process),
        options_(std::move(options)),
        judged_(new JudgedConfig(kConfig, {})) {
    config = std::make_shared<FilterConfig>();
    config->name = "tested";
    auto parsed = parse_settings(R"({"socket": "/nowhere", "message_timeout": "60s"})");
    config->settings = *parsed.value;
    config->judged = judged_;
  }

  // A host comes; the one before, if there is one, is not told.
  void connect() { connect(options_.phases, options_.attributes); }
  // Its definition declares other phases and attributes.
  void connect(uint32_t phases, std::vector<uint32_t> attributes) {
    ++generation_;
    auto [made, end] = ScriptedHost::connect(options_.ring_bytes, generation_);
    if (host) old_hosts.push_back(std::move(host));
    host = std::move(end);
    channel = made;
    judged_->judge(generation_, {accepted, phases, std::move(attributes), "", unavailable});
    link.is_expected = true;
    worker.set_channel(std::move(made));
  }
  // The link has lost its host.
  void lose() {
    if (const auto lost = channel.lock()) lost->mark_lost();
    link.is_expected = false;
    worker.set_channel(nullptr);
    turn();
  }

  // News on the channel, then the worker's events until there are none.
  void turn() {
    worker.wake();
    for (int i = 0; i < 100; ++i) {
      if (!loop.idle()) {
        loop.turn(worker);
      } else if (std::exchange(link.left, 0) > 0) {
        worker.wake_if_left();
      } else {
        return;
      }
    }
  }
  // As turn(), then what the host finds.
  std::vector<Heard> hear() {
    turn();
    return host->read();
  }

  FakeProcess process;
  FakeLink link;
  Worker worker;
  Loop loop;
  std::shared_ptr<FilterConfig> config;
  std::unique_ptr<ScriptedHost> host;
  std::vector<std::unique_ptr<ScriptedHost>> old_hosts;
  std::weak_ptr<Channel> channel;
  bool accepted = true;
  bool unavailable = false;

 private:
  const Options options_;
  std::shared_ptr<JudgedConfig> judged_;
  GenerationId generation_ = 0;
};

}  // namespace tsf::core::test
