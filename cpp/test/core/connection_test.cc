// A connection against a host on a real socket, step by step.
#include "core/connection.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "test/core/fake_clock.h"
#include "test/core/fake_worker.h"
#include "test/core/host_socket.h"

namespace tsf::core::test {
namespace {

constexpr uint32_t kRing = 64 << 10;

class ConnectionTest : public testing::Test, public ConnectionEvents {
 protected:
  ConnectionTest() { judged_ = add("a"); }

  std::shared_ptr<JudgedConfig> add(const std::string& name) {
    ConfigText text;
    text.name = name;
    return ConfigRegistry::add(configs_, std::move(text));
  }
  // Lets the module act on what the host has said, and the host read what the module has sent.
  std::vector<SocketMessage> exchange() {
    connection_.on_socket();
    connection_.look(now_ns());
    return host_.read();
  }
  std::vector<SocketMessage> connect() {
    std::string error;
    EXPECT_TRUE(connection_.connect(error)) << error;
    EXPECT_TRUE(host_.accept());
    return exchange();
  }
  // The channels that a module offers, by number.
  static std::vector<uint32_t> channels_in(const std::vector<SocketMessage>& messages, uint32_t generation) {
    std::vector<uint32_t> out;
    for (const SocketMessage& message : messages) {
      if (message.kind != wire::ControlKind_Channel) continue;
      EXPECT_EQ(message.fds.size(), 4u);
      EXPECT_EQ(message.as<wire::Channel>().generation(), generation);
      EXPECT_EQ(message.as<wire::Channel>().ring_bytes(), kRing);
      out.push_back(message.as<wire::Channel>().id());
    }
    return out;
  }
  static size_t count(const std::vector<SocketMessage>& messages, uint32_t kind) {
    return static_cast<size_t>(
        std::count_if(messages.begin(), messages.end(), [&](const auto& m) { return m.kind == kind; }));
  }
  // Connected, judged, with a channel for both workers.
  std::vector<uint32_t> be_up() {
    connect();
    host_.welcome();
    const auto channels = channels_in(exchange(), 0);
    host_.verdict(judged_->id());
    for (const uint32_t channel : channels) host_.channel_ready(channel);
    exchange();
    return channels;
  }
  static size_t resident_bytes() {
    size_t pages = 0;
    size_t resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  }
  GenerationId generation_of(uint32_t worker) { return current_[worker]->verdicts().generation(); }

  // ---- ConnectionEvents ----
  void on_expected() override { said_ += "expected "; }
  void on_welcome() override { said_ += "welcome "; }
  void on_channel(uint32_t worker, const std::shared_ptr<Channel>& channel) override { current_[worker] = channel; }
  void on_news(uint32_t) override { ++news_; }
  void on_drained() override { said_ += "drained "; }
  void on_lost(std::string_view why, bool is_hopeless) override {
    said_ += is_hopeless ? "hopeless: " : "lost: ";
    said_ += why;
  }
  std::string said() { return std::exchange(said_, {}); }

  SocketPlace place_;
  HostSocket host_{place_.path()};
  FakeProcess process_{false};
  Poller poller_;
  std::shared_ptr<ConfigRegistry> configs_ = std::make_shared<ConfigRegistry>([] {});
  const Connection::Target target_{place_.path(), {::getuid()}, kRing, 2};
  Connection connection_{{target_, process_, poller_, *configs_}, 1, *this};
  std::shared_ptr<JudgedConfig> judged_;
  std::shared_ptr<Channel> current_[2];
  std::string said_;
  int news_ = 0;
};

TEST_F(ConnectionTest, GreetsThenTellsConfigsAndOffersChannels) {
  const auto hello = connect();
  ASSERT_EQ(hello.size(), 1u);
  EXPECT_EQ(hello[0].kind, wire::ControlKind_Hello);
  EXPECT_EQ(hello[0].as<wire::Hello>().concurrency(), 2u);
  EXPECT_NE(connection_.deadline(), kNever);
  host_.welcome();
  const auto heard = exchange();
  EXPECT_EQ(connection_.deadline(), kNever);
  EXPECT_EQ(count(heard, wire::ControlKind_FilterConfig), 1u);
  const auto channels = channels_in(heard, 0);
  ASSERT_EQ(channels.size(), 2u);
  EXPECT_EQ(current_[0], nullptr);
  host_.channel_ready(channels[1]);
  exchange();
  EXPECT_EQ(current_[0], nullptr);
  ASSERT_NE(current_[1], nullptr);
  host_.verdict(judged_->id(), 0, true, {3});
  exchange();
  EXPECT_EQ(news_, 2) << "both workers may have streams that wait for it";
  ASSERT_NE(judged_->verdict(generation_of(1)), nullptr);
  EXPECT_EQ(judged_->verdict(generation_of(1))->attributes, std::vector<uint32_t>{3});
  EXPECT_EQ(said(), "expected welcome ");
}

TEST_F(ConnectionTest, TellsOfConfigsThatComeAndGo) {
  be_up();
  const auto later = add("b");
  EXPECT_EQ(count(exchange(), wire::ControlKind_FilterConfig), 1u);
  const uint32_t id = later->id();
  const_cast<std::shared_ptr<JudgedConfig>&>(later).reset();
  const auto heard = exchange();
  ASSERT_EQ(count(heard, wire::ControlKind_ForgetConfig), 1u);
  EXPECT_EQ(heard[0].as<wire::ForgetConfig>().id(), id);
}

TEST_F(ConnectionTest, EndsWithTheSocketAndTakesItsChannelsAlong) {
  be_up();
  const auto channel = current_[0];
  const GenerationId generation = generation_of(0);
  host_.hang_up();
  connection_.on_socket();
  EXPECT_FALSE(connection_.open());
  EXPECT_TRUE(channel->lost());
  EXPECT_EQ(judged_->verdict(generation), nullptr);
  EXPECT_EQ(said(), "expected welcome lost: the host closed the connection");
  // The next one is another host.
  const auto channels = be_up();
  ASSERT_EQ(channels.size(), 2u);
  EXPECT_NE(generation_of(0), generation);
}

TEST_F(ConnectionTest, ACondemnedChannelEndsIt) {
  be_up();
  current_[1]->condemn("it has talked nonsense");
  connection_.look(now_ns());
  EXPECT_EQ(said(), "expected welcome lost: it has talked nonsense");
  EXPECT_FALSE(connection_.open());
}

TEST_F(ConnectionTest, AHostThatDoesNotGreetIsLeft) {
  FakeClock clock;
  connect();
  clock.pass(std::chrono::milliseconds(4999));
  connection_.look(now_ns());
  EXPECT_TRUE(connection_.open());
  clock.pass(std::chrono::milliseconds(1));
  connection_.look(now_ns());
  EXPECT_EQ(said(), "expected lost: the host did not greet back in time");
}

TEST_F(ConnectionTest, AHostOfAnotherReleaseIsHopeless) {
  connect();
  host_.welcome(wire::Protocol_Major + 1);
  exchange();
  EXPECT_NE(said().find("hopeless: it speaks protocol"), std::string::npos);
  connect();
  flatbuffers::FlatBufferBuilder b;
  const auto reason = b.CreateString("not today");
  host_.send(wire::ControlKind_Refused, b, wire::CreateRefused(b, reason));
  exchange();
  EXPECT_EQ(said(), "expected hopeless: it refused this module: not today");
}

TEST_F(ConnectionTest, WhatBreaksARuleEndsIt) {
  std::vector<uint32_t> channels;
  const std::vector<std::function<void()>> wrong = {
      [&] { host_.welcome(); },                   // twice
      [&] { host_.channel_ready(channels[0]); },  // as well
      [&] { host_.channel_ready(99); },
      [&] { host_.channel_done(99); },
      [&] { host_.generation(0); },
      [&] { host_.generation(UINT32_MAX); },
      [&] { host_.verdict(judged_->id(), 0, true, std::vector<uint32_t>(257)); },
      [&] { host_.send_raw(wire::ControlKind_Drain, "no table"); },
  };
  for (size_t i = 0; i < wrong.size(); ++i) {
    channels = be_up();
    wrong[i]();
    exchange();
    EXPECT_FALSE(connection_.open()) << i;
  }
  be_up();
  host_.send_raw(4711, "from a newer host");
  exchange();
  EXPECT_TRUE(connection_.open());
}

TEST_F(ConnectionTest, BeforeItsGreetingAHostCanSayLittle) {
  connect();
  host_.generation(1);
  exchange();
  EXPECT_FALSE(connection_.open());
}

TEST_F(ConnectionTest, ADrainedHostTakesNoNewStreams) {
  be_up();
  const auto channel = current_[0];
  said();
  host_.drain();
  exchange();
  EXPECT_EQ(said(), "expected drained ");
  EXPECT_EQ(current_[0], nullptr);
  EXPECT_EQ(current_[1], nullptr);
  EXPECT_FALSE(channel->lost()) << "those that it has go on";
}

TEST_F(ConnectionTest, ChannelsThatNoWorkerHasHadAreGivenBackWhenTheHostDrains) {
  connect();
  host_.welcome();
  const auto channels = channels_in(exchange(), 0);
  host_.drain();
  const auto heard = exchange();
  EXPECT_EQ(count(heard, wire::ControlKind_ChannelDone), 2u);
  EXPECT_TRUE(connection_.open());
  // Both were on their way.
  for (const uint32_t channel : channels) host_.channel_ready(channel);
  for (const uint32_t channel : channels) host_.channel_done(channel);
  exchange();
  EXPECT_TRUE(connection_.open());
}

TEST_F(ConnectionTest, AHostThatDrainsBeforeItsGreetingIsLeft) {
  connect();
  host_.drain();
  exchange();
  EXPECT_FALSE(connection_.open());
  EXPECT_EQ(said(), "expected expected drained lost: it drains");
}

TEST_F(ConnectionTest, NothingBeginsInAHostThatDrains) {
  be_up();
  host_.drain();
  host_.generation(1);
  exchange();
  EXPECT_FALSE(connection_.open());
}

TEST_F(ConnectionTest, WhatHasNotEndedInTimeIsToldFromWhatIsLost) {
  const auto channels = be_up();
  const auto late = current_[0];
  const auto lost = current_[1];
  host_.drain();
  host_.channel_done(channels[0], true);
  host_.hang_up();
  exchange();
  EXPECT_TRUE(late->is_over());
  EXPECT_TRUE(late->was_drained());
  EXPECT_TRUE(lost->is_over());
  EXPECT_FALSE(lost->was_drained());
}

// ---- channels that a host closes ----

TEST_F(ConnectionTest, AChannelThatTheHostClosesIsMadeAnewAndTheOthersGoOn) {
  const auto channels = be_up();
  const auto closed = current_[0];
  const auto other = current_[1];
  const GenerationId generation = generation_of(0);
  said();
  host_.channel_done(channels[0]);
  const auto offered = exchange();
  const auto anew = channels_in(offered, 0);
  ASSERT_EQ(anew.size(), 1u);
  EXPECT_EQ(offered[0].as<wire::Channel>().worker(), 0u);
  EXPECT_TRUE(closed->is_over());
  EXPECT_FALSE(other->lost());
  EXPECT_EQ(current_[0], nullptr) << "nobody serves it yet";
  EXPECT_EQ(current_[1], other);
  EXPECT_EQ(said(), "expected ");
  host_.channel_ready(anew[0]);
  exchange();
  ASSERT_NE(current_[0], nullptr);
  EXPECT_EQ(current_[0]->id(), anew[0]);
  EXPECT_EQ(generation_of(0), generation) << "what was judged stays so";
}

TEST_F(ConnectionTest, AChannelWhoseThreadHasStoppedReadingGoesAlone) {
  const auto channels = be_up();
  const auto stopped = current_[1];
  stopped->stop("it reads nothing");
  connection_.look(now_ns());
  EXPECT_TRUE(connection_.open());
  EXPECT_EQ(current_[1], nullptr);
  EXPECT_NE(current_[0], nullptr);
  auto heard = exchange();
  ASSERT_EQ(count(heard, wire::ControlKind_ChannelDone), 1u);
  const auto anew = channels_in(heard, 0);
  ASSERT_EQ(anew.size(), 1u);
  host_.channel_done(channels[1]);  // its thread has died meanwhile
  host_.channel_ready(anew[0]);
  exchange();
  EXPECT_TRUE(connection_.open());
  ASSERT_NE(current_[1], nullptr);
  EXPECT_EQ(current_[1]->id(), anew[0]);
}

TEST_F(ConnectionTest, AHostThatClosesEveryChannelDoesNotKeepItBusy) {
  FakeClock clock;
  const auto channels = be_up();
  host_.channel_done(channels[0]);
  auto anew = channels_in(exchange(), 0);
  ASSERT_EQ(anew.size(), 1u);
  host_.channel_done(anew[0]);
  EXPECT_TRUE(channels_in(exchange(), 0).empty());
  EXPECT_EQ(connection_.deadline(), now_ns() + nanos(std::chrono::milliseconds(10)));
  clock.pass(std::chrono::milliseconds(10));
  EXPECT_EQ(channels_in(exchange(), 0).size(), 1u);
  EXPECT_EQ(connection_.deadline(), kNever);
}

// No more descriptors, while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

TEST_F(ConnectionTest, WithoutDescriptorsAChannelIsMadeLaterAndTheOthersGoOn) {
  FakeClock clock;
  const auto channels = be_up();
  host_.channel_done(channels[0]);
  {
    const NoDescriptors none;
    EXPECT_TRUE(channels_in(exchange(), 0).empty());
    EXPECT_EQ(connection_.deadline(), now_ns() + nanos(std::chrono::milliseconds(500)));
    clock.pass(std::chrono::milliseconds(500));
    EXPECT_TRUE(channels_in(exchange(), 0).empty());
  }
  EXPECT_TRUE(connection_.open());
  EXPECT_NE(current_[1], nullptr);
  EXPECT_EQ(
      std::count_if(process_.lines.begin(), process_.lines.end(),
                    [](const auto& line) { return line.second.find("cannot make a channel") != std::string::npos; }),
      1);
  clock.pass(std::chrono::milliseconds(499));
  EXPECT_TRUE(channels_in(exchange(), 0).empty());
  clock.pass(std::chrono::milliseconds(1));
  EXPECT_EQ(channels_in(exchange(), 0).size(), 1u);
  EXPECT_EQ(connection_.deadline(), kNever);
}

TEST_F(ConnectionTest, WithoutDescriptorsAtTheBeginningTheConnectionStays) {
  FakeClock clock;
  connect();
  host_.welcome();
  {
    const NoDescriptors none;
    EXPECT_TRUE(channels_in(exchange(), 0).empty());
  }
  EXPECT_TRUE(connection_.open());
  clock.pass(std::chrono::milliseconds(500));
  EXPECT_EQ(channels_in(exchange(), 0).size(), 2u);
}

TEST_F(ConnectionTest, AHostThatSaysMuchLeavesTimeForOtherWork) {
  be_up();
  news_ = 0;
  host_.noise(100 << 10);
  host_.verdict(judged_->id());
  connection_.on_socket();
  connection_.look(now_ns());
  EXPECT_EQ(news_, 0);
  connection_.on_socket();
  connection_.look(now_ns());
  EXPECT_EQ(news_, 2) << "the rest has not been lost";
}

TEST_F(ConnectionTest, ADrainedHostsChannelsAreNotMadeAnew) {
  const auto channels = be_up();
  host_.drain();
  for (const uint32_t channel : channels) host_.channel_done(channel);
  EXPECT_TRUE(channels_in(exchange(), 0).empty());
  EXPECT_TRUE(connection_.open());
}

// ---- generations ----

TEST_F(ConnectionTest, ANewGenerationTakesTheStreamsOnceItHasJudgedAll) {
  be_up();
  const auto before = current_[0];
  const GenerationId old = generation_of(0);
  host_.generation(1);
  const auto channels = channels_in(exchange(), 1);
  ASSERT_EQ(channels.size(), 2u);
  for (const uint32_t channel : channels) host_.channel_ready(channel);
  exchange();
  EXPECT_EQ(current_[0], before) << "no stream waits for a verdict that the generation before has given";
  host_.verdict(judged_->id(), 1, true, {9});
  exchange();
  ASSERT_NE(current_[0], before);
  EXPECT_EQ(current_[0]->id(), channels[0]);
  EXPECT_TRUE(judged_->verdict(old)->attributes.empty()) << "what was said before stays for those who began before";
  EXPECT_EQ(judged_->verdict(generation_of(0))->attributes, std::vector<uint32_t>{9});
  said();
  host_.drain(0);
  exchange();
  EXPECT_EQ(said(), "") << "the new one takes streams";
  EXPECT_EQ(current_[0]->id(), channels[0]);
}

TEST_F(ConnectionTest, TheModuleSaysWhenAChannelIsUsedNoMoreAndTheHostHasTheLastWord) {
  const auto old_channels = be_up();
  const auto before = current_[0];
  const GenerationId old = generation_of(0);
  host_.generation(1);
  for (const uint32_t channel : channels_in(exchange(), 1)) host_.channel_ready(channel);
  host_.verdict(judged_->id(), 1);
  host_.drain(0);
  exchange();
  EXPECT_TRUE(before->finish());
  auto heard = exchange();
  ASSERT_EQ(count(heard, wire::ControlKind_ChannelDone), 1u);
  EXPECT_EQ(heard[0].as<wire::ChannelDone>().id(), old_channels[0]);
  EXPECT_EQ(exchange().size(), 0u) << "once";
  EXPECT_FALSE(before->is_over());
  for (const uint32_t channel : old_channels) host_.channel_done(channel);
  exchange();
  EXPECT_TRUE(before->is_over());
  EXPECT_FALSE(before->lost());
  EXPECT_EQ(judged_->verdict(old), nullptr) << "the generation has ended";
  EXPECT_TRUE(connection_.open());
  host_.verdict(judged_->id(), 0);  // late: nobody asks
  exchange();
  EXPECT_TRUE(connection_.open());
}

TEST_F(ConnectionTest, AGenerationEndsAlsoWhereItsThreadsHaveStoppedReading) {
  be_up();
  const std::shared_ptr<Channel> before[] = {current_[0], current_[1]};
  const GenerationId old = generation_of(0);
  host_.generation(1);
  for (const uint32_t channel : channels_in(exchange(), 1)) host_.channel_ready(channel);
  host_.verdict(judged_->id(), 1);
  host_.drain(0);
  exchange();
  for (const auto& channel : before) channel->stop("it reads nothing");
  exchange();
  EXPECT_EQ(judged_->verdict(old), nullptr);
  EXPECT_NE(judged_->verdict(generation_of(0)), nullptr);
}

// ---- what a hostile host can make of it ----

// Its socket's thread has the timers of all streams.
TEST_F(ConnectionTest, AFloodOfMessagesEndsItAndWorkersAreToldOnceForMany) {
  be_up();
  news_ = 0;
  for (int i = 0; i < 60'000 && connection_.open(); ++i) {
    host_.verdict(judged_->id());
    if (i % 100 == 99) exchange();
  }
  EXPECT_FALSE(connection_.open());
  EXPECT_NE(said().find("hopeless: it floods its socket"), std::string::npos);
  EXPECT_LT(news_, 500);
}

TEST_F(ConnectionTest, AHostThatReadsNothingHasOneConfigWaitingAndNotAll) {
  connect();
  host_.welcome();
  std::vector<std::shared_ptr<JudgedConfig>> kept;
  for (int i = 0; i < 100; ++i) {
    ConfigText text;
    text.name = "large";
    text.json = std::string(1 << 20, 'x') + std::to_string(i);
    kept.push_back(ConfigRegistry::add(configs_, std::move(text)));
  }
  const size_t before = resident_bytes();
  for (int i = 0; i < 50; ++i) {
    connection_.on_socket();
    connection_.look(now_ns());
  }
  EXPECT_TRUE(connection_.open());
  EXPECT_LT(resident_bytes() - before, size_t{32} << 20);
  // It gets them all when it reads.
  size_t heard = 0;
  for (int i = 0; i < 5000 && heard < 101; ++i) heard += count(exchange(), wire::ControlKind_FilterConfig);
  EXPECT_EQ(heard, 101u);
}

TEST_F(ConnectionTest, ChannelsThatAreClosedAgainAndAgainAreMadeMoreAndMoreSlowly) {
  FakeClock clock;
  be_up();
  int made = 0;
  for (int i = 0; i < 1000; ++i) {
    clock.pass(std::chrono::milliseconds(1));
    for (const uint32_t channel : channels_in(exchange(), 0)) {
      ++made;
      host_.channel_done(channel);
    }
    if (i == 0)
      for (uint32_t channel = 1; channel <= 2; ++channel) host_.channel_done(channel);
  }
  EXPECT_GT(made, 2);
  EXPECT_LT(made, 40) << "of two workers, in a second";
}

}  // namespace
}  // namespace tsf::core::test
