// One host follows another at the same place, each on a real socket, step by step.
#include "core/connections.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "test/core/fake_worker.h"
#include "test/core/host_socket.h"

namespace tsf::core::test {
namespace {

class ConnectionsTest : public testing::Test, public ConnectionEvents {
 protected:
  ConnectionsTest() {
    ConfigText text;
    text.name = "a";
    judged_ = ConfigRegistry::add(configs_, std::move(text));
  }
  // The link's thread, for as long as something is to be read.
  void turn() {
    constexpr int kMost = 8;
    for (int i = 0; i < kMost; ++i) poller_.wait(now_ns(), *this);
    connections_.look(now_ns());
  }
  // Connected and judged, with a channel.
  void be_up(HostSocket& host) {
    std::string error;
    ASSERT_TRUE(connections_.connect(error)) << error;
    ASSERT_TRUE(host.accept());
    host.welcome();
    turn();
    host.verdict(judged_->id());
    for (const SocketMessage& message : host.read())
      if (message.kind == wire::ControlKind_Channel) host.channel_ready(message.as<wire::Channel>().id());
    turn();
    ASSERT_NE(current_, nullptr);
  }
  GenerationId generation() { return current_->verdicts().generation(); }

  // ---- ConnectionEvents ----
  void on_expected() override {}
  void on_welcome() override {}
  void on_channel(uint32_t, const std::shared_ptr<Channel>& channel) override { current_ = channel; }
  void on_news(uint32_t) override { ++news_; }
  void on_drained() override { ++drained_; }
  void on_lost(std::string_view why, bool) override { lost_ = why; }

 public:
  // ---- Poller::wait ----
  void on_bell() {}
  void on_socket(uint32_t number) { connections_.on_socket(number); }
  void on_doorbell(uint32_t) {}

 protected:
  SocketPlace place_;
  FakeProcess process_{false};
  Poller poller_;
  std::shared_ptr<ConfigRegistry> configs_ = std::make_shared<ConfigRegistry>([] {});
  Connections connections_{{place_.path(), {::getuid()}, 64 << 10, 1}, process_, poller_, *configs_, *this};
  std::shared_ptr<JudgedConfig> judged_;
  std::shared_ptr<Channel> current_;
  std::string lost_;
  int drained_ = 0;
  int news_ = 0;
};

TEST_F(ConnectionsTest, TheNextHostIsConnectedToWhileTheOneBeforeDrains) {
  HostSocket first(place_.path());
  be_up(first);
  const auto old = current_;
  const GenerationId before = generation();
  HostSocket second(place_.path());
  first.drain();
  turn();
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(current_, nullptr);
  EXPECT_FALSE(connections_.open()) << "there is none for new streams";
  be_up(second);
  EXPECT_TRUE(connections_.open());
  EXPECT_FALSE(old->lost()) << "those that the old one has go on";
  EXPECT_NE(generation(), before);
  EXPECT_NE(judged_->verdict(before), nullptr);
  EXPECT_NE(judged_->verdict(generation()), nullptr);
  // What the old one says and does is no news for new streams.
  const auto young = current_;
  first.channel_done(old->id());
  turn();
  EXPECT_TRUE(old->is_over());
  news_ = 0;
  first.hang_up();
  turn();
  EXPECT_EQ(lost_, "");
  EXPECT_EQ(news_, 1) << "the streams that it still had have lost it";
  EXPECT_EQ(current_, young);
  EXPECT_EQ(judged_->verdict(before), nullptr);
  EXPECT_NE(judged_->verdict(generation()), nullptr) << "the other host's stays";
}

TEST_F(ConnectionsTest, TheNextHostMayGoBeforeTheOneThatDrains) {
  HostSocket first(place_.path());
  be_up(first);
  const auto old = current_;
  HostSocket second(place_.path());
  first.drain();
  turn();
  be_up(second);
  second.hang_up();
  turn();
  EXPECT_EQ(lost_, "the host closed the connection");
  EXPECT_FALSE(connections_.open());
  EXPECT_FALSE(old->lost());
  HostSocket third(place_.path());
  be_up(third);
  first.hang_up();
  turn();
  EXPECT_TRUE(old->lost());
  EXPECT_FALSE(current_->lost());
}

TEST_F(ConnectionsTest, MoreThanSomeDoNotDrainAtOnce) {
  std::vector<std::unique_ptr<HostSocket>> hosts;
  std::vector<std::shared_ptr<Channel>> channels;
  for (size_t i = 0; i < Connections::kMostDraining + 2; ++i) {
    hosts.push_back(std::make_unique<HostSocket>(place_.path()));
    be_up(*hosts.back());
    channels.push_back(current_);
    hosts.back()->drain();
    turn();
  }
  // The last one drains, and nobody has come after it.
  EXPECT_TRUE(channels[0]->lost()) << "the oldest is left";
  EXPECT_EQ(std::count_if(channels.begin(), channels.end(), [](const auto& one) { return one->lost(); }), 1);
}

TEST_F(ConnectionsTest, TheEndIsTheEndOfAll) {
  HostSocket first(place_.path());
  be_up(first);
  const auto old = current_;
  HostSocket second(place_.path());
  first.drain();
  turn();
  be_up(second);
  const auto young = current_;
  connections_.close("no more");
  EXPECT_TRUE(old->lost());
  EXPECT_TRUE(young->lost());
}

}  // namespace
}  // namespace tsf::core::test
