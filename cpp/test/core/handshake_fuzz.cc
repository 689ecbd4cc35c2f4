// A host that says on its socket what it likes, in pieces of any length: the connection goes on or ends with a reason,
// and every channel that was handed out is lost with it.
#include "core/connection.h"
#include "test/core/fake_worker.h"
#include "test/core/host_socket.h"
#include "test/fuzz_input.h"

namespace tsf::core::test {
namespace {

using tsf::test::Input;
using tsf::test::require;

constexpr uint32_t kWorkers = 2;

class Module final : public ConnectionEvents {
 public:
  Module(const std::string& path, HostSocket& host)
      : target_{path, {::getuid()}, 64 << 10, kWorkers}, host_(host), judged_(add("a")), other_(add("b")) {}

  void run(Input& in) {
    std::string error;
    require(connection_.connect(error), error);
    require(host_.accept(), "nobody has connected");
    for (int i = 0; i < 40 && !in.done() && connection_.open(); ++i) {
      say(in);
      if (in.byte() % 4 == 0) turn();
    }
    turn();
    connection_.close("over");
    for (const auto& channel : current_)
      require(channel == nullptr || channel->lost(), "a channel outlives its connection");
    require(was_lost_ <= 1, "lost twice");
    host_.hang_up();
  }

  void on_expected() override {}
  void on_welcome() override {}
  void on_channel(uint32_t worker, const std::shared_ptr<Channel>& channel) override {
    require(worker < kWorkers, "a worker that there is not");
    current_[worker] = channel;
  }
  void on_news(uint32_t) override {}
  void on_drained() override {}
  void on_lost(std::string_view why, bool) override {
    require(!why.empty(), "lost without a reason");
    ++was_lost_;
  }

 private:
  std::shared_ptr<JudgedConfig> add(const std::string& name) {
    ConfigText text;
    text.name = name;
    return ConfigRegistry::add(configs_, std::move(text));
  }

  void say(Input& in) {
    if (!host_.connected()) return;
    switch (in.byte() % 12) {
      case 0:
      case 1: return host_.welcome();
      case 2: return host_.verdict(in.byte() % 4, in.byte() % 3, in.byte() % 2 == 0, {in.byte()}, in.word());
      case 3: return host_.channel_ready(in.byte() % 8);
      case 4: return host_.channel_done(in.byte() % 8, in.byte() % 2 == 0);
      case 5: return host_.generation(in.byte() % 4);
      case 6: return host_.drain(in.byte() % 4);
      case 7: return host_.noise(in.byte());
      case 8: return host_.welcome(in.byte());
      case 9: {
        // No whole message, or one of a length that it does not have.
        const std::string bytes = in.text(in.byte() % 32);
        (void)::send(host_.peer(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
      }
      default: {
        const uint32_t kind = in.byte() % 14;
        return host_.send_raw(kind, in.text(in.byte()));
      }
    }
  }
  void turn() {
    if (connection_.open()) connection_.on_socket();
    if (connection_.open()) connection_.look(now_ns());
    (void)host_.read();
  }

  FakeProcess process_{false};
  Poller poller_;
  std::shared_ptr<ConfigRegistry> configs_ = std::make_shared<ConfigRegistry>([] {});
  const Connection::Target target_;
  HostSocket& host_;
  Connection connection_{{target_, process_, poller_, *configs_}, 1, *this};
  std::shared_ptr<JudgedConfig> judged_;
  std::shared_ptr<JudgedConfig> other_;
  std::shared_ptr<Channel> current_[kWorkers];
  int was_lost_ = 0;
};

}  // namespace
}  // namespace tsf::core::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tsf::core::test;
  static const SocketPlace place;
  static HostSocket host(place.path());
  tsf::test::Input in(data, size);
  Module(place.path(), host).run(in);
  return 0;
}
