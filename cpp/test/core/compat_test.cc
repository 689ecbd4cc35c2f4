// Hosts of other releases: what they said once, byte for byte (test/compat/protocol-*.json), is understood by the
// module of today. `make record-peer` lets this test write what the module says, for a record of the protocol as it is
// now.
#include <dirent.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/connection.h"
#include "test/core/fake_clock.h"
#include "test/core/fake_flow_mount.h"
#include "test/core/host_socket.h"

namespace tsf::core::test {
namespace {

using nlohmann::json;

constexpr uint32_t kRing = 64 << 10;
constexpr char kFolder[] = "test/compat";
constexpr Dir kReq = Dir::kRequest;
constexpr Dir kRes = Dir::kResponse;

std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[c & 15];
  }
  return out;
}
std::string from_hex(const std::string& text) {
  std::string out;
  for (size_t at = 0; at + 1 < text.size(); at += 2)
    out += static_cast<char>(std::stoi(text.substr(at, 2), nullptr, 16));
  return out;
}
json entry(uint32_t kind, std::string_view payload) { return json::array({kind, to_hex(payload)}); }

// The records of this major, and of this minor or the one before or behind it.
std::vector<json> records() {
  std::vector<json> out;
  DIR* folder = ::opendir(kFolder);
  if (folder == nullptr) return out;
  while (const dirent* file = ::readdir(folder)) {
    int major = 0;
    int minor = 0;
    if (std::sscanf(file->d_name, "protocol-%d.%d.json", &major, &minor) != 2) continue;
    if (major != wire::Protocol_Major || std::abs(minor - static_cast<int>(wire::Protocol_Minor)) > 1) continue;
    std::ifstream text(std::string(kFolder) + "/" + file->d_name);
    out.push_back(json::parse(text));
  }
  ::closedir(folder);
  return out;
}

ConfigText config_text() {
  ConfigText text;
  text.name = "compat";
  text.json = R"({"word":"hola"})";
  text.stream_window = 1000;
  text.max_body_bytes = 1 << 20;
  return text;
}

class NoEvents final : public ConnectionEvents {
 public:
  void on_expected() override {}
  void on_welcome() override { is_welcome = true; }
  void on_channel(uint32_t, const std::shared_ptr<Channel>& made) override { channel = made; }
  void on_news(uint32_t) override {}
  void on_drained() override {}
  void on_lost(std::string_view why, bool) override { lost = why; }

  bool is_welcome = false;
  std::shared_ptr<Channel> channel;
  std::string lost;
};

// One connection, to a host on a real socket.
class Greeting {
 public:
  Greeting() {
    // The number that the config of a WorkerStage has.
    std::shared_ptr<JudgedConfig> last;
    for (uint32_t id = 1; id < kConfig; ++id) {
      ConfigText text;
      text.name = std::to_string(id);
      last = ConfigRegistry::add(configs_, std::move(text));
    }
    judged = ConfigRegistry::add(configs_, config_text());
  }
  std::vector<SocketMessage> exchange() {
    connection_.on_socket();
    connection_.look(now_ns());
    return host.read();
  }
  std::vector<SocketMessage> connect() {
    std::string error;
    EXPECT_TRUE(connection_.connect(error)) << error;
    EXPECT_TRUE(host.accept());
    return exchange();
  }

 private:
  SocketPlace place_;
  FakeProcess process_{false};
  Poller poller_;
  std::shared_ptr<ConfigRegistry> configs_ = std::make_shared<ConfigRegistry>([] {});
  const Connection::Target target_{place_.path(), {::getuid()}, kRing, 1};

 public:
  HostSocket host{place_.path()};
  NoEvents events;
  std::shared_ptr<JudgedConfig> judged;

 private:
  Connection connection_{{target_, process_, poller_, *configs_}, 1, events};
};

// One stream from its beginning to its end. `answer` is asked for what the host says to each step.
class Conversation {
 public:
  Conversation() {
    stage_.connect();
    stage_.turn();
  }
  template <class Answer>
  json run(Answer&& answer) {
    json said = json::object();
    const auto step = [&](const char* name) {
      stage_.turn();
      said[name] = heard();
      answer(*stage_.host, name);
      stage_.turn();
    };
    auto stream = std::make_unique<FakeStream>(stage_);
    stream->headers(kReq, {{":method", "POST"}, {":path", "/"}, {"x-asked", "yes"}}, false);
    step("request headers");
    request = *stream->map(HeaderType::kRequest);
    stream->data(kReq, "hello", true);
    step("request body");
    body = stream->mount(kReq).out;
    is_finished = stream->mount(kReq).is_finished;
    stream->headers(kRes, {{":status", "200"}}, true);
    step("response headers");
    response = *stream->map(HeaderType::kResponse);
    reply = stream->reply();
    stream.reset();
    step("end");
    condemned = stage_.link.condemned;
    return said;
  }

  HeaderMap request;
  HeaderMap response;
  std::string body;
  std::string reply;
  bool is_finished = false;
  int condemned = 0;

 private:
  json heard() {
    json out = json::array();
    shm::Frame frame;
    while (stage_.host->endpoint().peek(frame) == shm::Read::kFrame && stage_.host->endpoint().take()) {
      out.push_back(entry(frame.kind, {reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size()}));
      stage_.host->endpoint().pop();
    }
    (void)stage_.host->endpoint().release();  // the worker looks by itself
    return out;
  }
  WorkerStage stage_{{}};
};

TEST(CompatTest, ThereIsARecordOfThisProtocol) {
  if (std::getenv("RECORD_PEER") != nullptr) return;
  const std::string name = std::to_string(wire::Protocol_Major) + "." + std::to_string(wire::Protocol_Minor);
  std::ifstream file(std::string(kFolder) + "/protocol-" + name + ".json");
  EXPECT_TRUE(file.good()) << "make record-peer, and commit what it writes";
}

TEST(CompatTest, ARecordedHostIsGreetedJudgesAndServes) {
  for (const json& record : records()) {
    Greeting greeting;
    greeting.connect();
    for (const auto& message : record["host"]["socket"]) {
      greeting.host.send_raw(message[0], from_hex(message[1]));
      greeting.exchange();
    }
    EXPECT_TRUE(greeting.events.is_welcome);
    ASSERT_NE(greeting.events.channel, nullptr) << greeting.events.lost;
    const auto verdict = greeting.judged->verdict(greeting.events.channel->verdicts().generation());
    ASSERT_NE(verdict, nullptr);
    EXPECT_TRUE(verdict->accepted);
    EXPECT_EQ(greeting.events.lost, "");
  }
}

TEST(CompatTest, ARecordedHostChangesAStream) {
  for (const json& record : records()) {
    Conversation talk;
    talk.run([&](ScriptedHost& host, const char* step) {
      for (const auto& frame : record["host"]["frames"][step]) EXPECT_TRUE(host.raw(frame[0], from_hex(frame[1])));
    });
    EXPECT_EQ(talk.request.back(), (std::pair<std::string, std::string>{"x-compat", "hola"}));
    EXPECT_EQ(talk.body, "HELLO");
    EXPECT_TRUE(talk.is_finished);
    EXPECT_EQ(talk.response.back(), (std::pair<std::string, std::string>{"x-compat", "back"}));
    EXPECT_EQ(talk.reply, "");
    EXPECT_EQ(talk.condemned, 0);
  }
}

// What the other half of a record is made from: the same conversation, with answers of the tests'.
TEST(CompatTest, TheModuleOfTodayHasTheSameConversation) {
  json socket = json::array();
  const auto note = [&](const std::vector<SocketMessage>& messages) {
    for (const auto& message : messages) socket.push_back(entry(message.kind, message.payload));
  };
  Greeting greeting;
  note(greeting.connect());
  greeting.host.welcome();
  note(greeting.exchange());
  Conversation talk;
  const json frames = talk.run([&](ScriptedHost& host, std::string_view step) {
    const StreamId id{0, 1};
    if (step == "request headers") host.answer(id, HeaderType::kRequest, wire::BodyMode_Stream);
    if (step == "request body") host.output(id, kReq, 5, "HELLO", wire::OutputFlag_Digested | wire::OutputFlag_Last);
    if (step == "response headers") host.answer(id, HeaderType::kResponse, wire::BodyMode_Pass);
  });
  EXPECT_EQ(talk.body, "HELLO") << "the stream has another number than was thought";
  if (const char* path = std::getenv("RECORD_PEER"))
    std::ofstream(path) << json{{"socket", socket}, {"frames", frames}};
}

}  // namespace
}  // namespace tsf::core::test
