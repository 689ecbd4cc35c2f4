// What filters ask of their stream beside the flows, and what a host that breaks the rules gets for it.
#include <cmath>
#include <functional>

#include "core/metrics.h"
#include "stream_fixture.h"

namespace tsf::core::test {
namespace {

using Acts = StreamTest;

std::string texts(std::initializer_list<std::string_view> list) {
  std::string out;
  for (const auto text : list) {
    const auto length = static_cast<uint32_t>(text.size());
    out.append(reinterpret_cast<const char*>(&length), sizeof length);
    out += text;
  }
  return out;
}
template <class T>
std::string raw_of(std::initializer_list<T> list) {
  return {reinterpret_cast<const char*>(list.begin()), list.size() * sizeof(T)};
}
const std::string kKey = packed(HeaderMap{{"ns", "key"}});

TEST_F(Acts, MetadataOfEveryTypeIsSetAndRead) {
  connect_and_open();
  const auto set = [&](wire::MetadataType type, const std::string& key, const std::string& value, double number) {
    ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, packed(HeaderMap{{"ns", key}}) + value, type, number));
  };
  set(wire::MetadataType_Number, "n", "", 2.5);
  set(wire::MetadataType_Text, "t", "a \"b\"", 0);
  set(wire::MetadataType_Bool, "b", "", 1);
  set(wire::MetadataType_NumberList, "nl", raw_of({1.0, 2.0}), 0);
  set(wire::MetadataType_TextList, "tl", texts({"x", ""}), 0);
  set(wire::MetadataType_BoolList, "bl", raw_of<uint8_t>({1, 0}), 0);
  set(wire::MetadataType_Struct, "", "a struct's bytes", 0);
  ASSERT_TRUE(host().query(id_, 9, 0, wire::QueryKind_Metadata, "ns"));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].found);
  EXPECT_EQ(heard[0].bytes, R"({"b":true,"bl":[true,false],"n":2.5,"nl":[1.0,2.0],"t":"a \"b\"","tl":["x",""]})");
  EXPECT_EQ(envoy().asked.structs["ns"], "a struct's bytes");
}

TEST_F(Acts, AListIsSetOnce) {
  connect_and_open();
  const auto set = [&](wire::MetadataType type, const std::string& value) {
    ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, kKey + value, type));
  };
  set(wire::MetadataType_TextList, texts({"x"}));
  set(wire::MetadataType_TextList, texts({"y"}));
  set(wire::MetadataType_NumberList, raw_of({3.0}));
  set(wire::MetadataType_BoolList, raw_of<uint8_t>({1}));
  ASSERT_TRUE(host().query(id_, 1, 0, wire::QueryKind_Metadata, "ns"));
  EXPECT_EQ(hear().at(0).bytes, R"({"key":["x"]})");
  ASSERT_FALSE(stage_->process.lines.empty());
  EXPECT_NE(stage_->process.lines.back().second.find("metadata \"key\" of \"ns\" is set already"), std::string::npos);
}

TEST_F(Acts, WhatIsSetWhenTheStreamHasGoneIsToldOnceAStream) {
  connect_and_open();
  ConfigText text;
  text.name = "late";
  stage_->link.judged = std::make_shared<JudgedConfig>(kConfig, text);
  envoy().disconnect();
  turn();
  const auto lines = [&] {
    return std::count_if(stage_->process.lines.begin(), stage_->process.lines.end(), [](const auto& line) {
      return line.second.find("filter late: ") != std::string::npos &&
             line.second.find("is lost; write it before the yield") != std::string::npos;
    });
  };
  ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, kKey + "value", wire::MetadataType_Text));
  ASSERT_TRUE(host().act(id_, wire::ActKind_SetFilterState, kKey));
  ASSERT_TRUE(host().act(id_, wire::ActKind_Drain, ""));
  turn();
  EXPECT_EQ(lines(), 1);
  open(kReq, kGet, true);
  envoy().disconnect();
  turn();
  ASSERT_TRUE(host().act(id_, wire::ActKind_SetFilterState, kKey));
  turn();
  EXPECT_EQ(lines(), 2);
  EXPECT_FALSE(condemned());
}

TEST_F(Acts, AnUnknownNamespaceIsAnEmptyObject) {
  connect_and_open();
  ASSERT_TRUE(host().query(id_, 1, 0, wire::QueryKind_Metadata, "nobody"));
  EXPECT_EQ(hear().at(0).bytes, "{}");
}

TEST_F(Acts, BrokenMetadataDropsTheHost) {
  const std::pair<uint8_t, std::string> broken[] = {{wire::MetadataType_Text, "short"},
                                                    {wire::MetadataType_NumberList, kKey + "1234567"},
                                                    {wire::MetadataType_TextList, kKey + texts({"x"}) + "y"},
                                                    {7, kKey}};
  for (const auto& [type, block] : broken) {
    restage({});
    connect_and_open();
    ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, block, type));
    turn();
    EXPECT_TRUE(condemned()) << int{type};
  }
}

TEST_F(Acts, AFilterStateKeepsItsFirstValue) {
  connect_and_open();
  for (const char* value : {"one", "two"})
    ASSERT_TRUE(host().act(id_, wire::ActKind_SetFilterState, packed(HeaderMap{{"key", value}})));
  ASSERT_TRUE(host().query(id_, 1, 0, wire::QueryKind_FilterState, "key"));
  ASSERT_TRUE(host().query(id_, 2, 0, wire::QueryKind_FilterState, "other"));
  const auto heard = hear();
  EXPECT_EQ(heard.at(0).bytes, "one");
  EXPECT_FALSE(heard.at(1).found);
  ASSERT_FALSE(stage_->process.lines.empty());
  EXPECT_NE(stage_->process.lines.back().second.find("filter state \"key\" is set already"), std::string::npos);
}

TEST_F(Acts, HostAndDrain) {
  connect_and_open();
  ASSERT_TRUE(host().act(id_, wire::ActKind_OverrideHost, "10.0.0.1:80", 1));
  ASSERT_TRUE(host().act(id_, wire::ActKind_Drain, ""));
  turn();
  EXPECT_EQ(envoy().asked.host, "10.0.0.1:80 strict");
  EXPECT_TRUE(envoy().asked.drained);
  ASSERT_TRUE(host().act(id_, wire::ActKind_OverrideHost, "nonsense\n"));
  turn();
  EXPECT_NE(stage_->process.lines.back().second.find("\"nonsense \" is no address"), std::string::npos);
}

TEST_F(Acts, SecretsByNameOfTheConfig) {
  settings().secrets = {{"a", ""}, {"b", ""}};
  stage_->config->secrets = {7, 8};
  connect_and_open();
  envoy().asked.secrets = {{8, "hush"}};
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(host().query(id_, 1, 0, wire::QueryKind_Secret, name));
  const auto heard = hear();
  EXPECT_FALSE(heard.at(0).found);
  EXPECT_EQ(heard.at(1).bytes, "hush");
  EXPECT_FALSE(heard.at(2).found);
}

class Metrics : public Acts {
 protected:
  void SetUp() override {
    Acts::SetUp();
    settings().metrics = {{"acts_test_c" + std::to_string(++runs_), MetricKind::kCounter, {"who"}},
                          {"acts_test_g" + std::to_string(runs_), MetricKind::kGauge, {}},
                          {"acts_test_h" + std::to_string(runs_), MetricKind::kHistogram, {}}};
    stage_->config->metrics = {11, 12, 13};
    connect_and_open();
  }
  void record(uint32_t index, wire::MetricOp op, double value, const std::string& labels = {}) {
    ASSERT_TRUE(host().act(id_, wire::ActKind_Metric, labels, op, value, index));
    turn();
  }
  double value(uint32_t index, const std::string& labels = {}) {
    EXPECT_TRUE(host().query(id_, 1, index, wire::QueryKind_Metric, labels));
    const auto heard = hear();
    double out = -1;
    if (heard.size() == 1 && heard[0].bytes.size() == sizeof out) std::memcpy(&out, heard[0].bytes.data(), sizeof out);
    return out;
  }
  static int runs_;
};
int Metrics::runs_ = 0;

TEST_F(Metrics, AreRecordedAndRead) {
  record(0, wire::MetricOp_Increment, 2, texts({"me"}));
  record(0, wire::MetricOp_Increment, 1, texts({"me"}));
  record(0, wire::MetricOp_Increment, 5, texts({"you"}));
  EXPECT_EQ(value(0, texts({"me"})), 3);
  record(1, wire::MetricOp_Set, 3);
  record(1, wire::MetricOp_Decrement, 2);
  EXPECT_EQ(value(1), 1);
  record(1, wire::MetricOp_Decrement, 9);
  EXPECT_EQ(value(1), 0);
  record(2, wire::MetricOp_Record, 9007199254740992.0);
  const auto& records = envoy().asked.records;
  ASSERT_EQ(records.size(), 7u);
  EXPECT_EQ(records[0].metric, 11u);
  EXPECT_EQ(records[0].labels, std::vector<std::string>{"me"});
  EXPECT_EQ(records[5].value, 1u);  // what is left of the gauge
  EXPECT_EQ(records[6].value, uint64_t{1} << 53);
}

// Of a config that Envoy still has.
class Sink final : public MetricSink {
 public:
  bool record(MetricKind kind, MetricOp, size_t index, std::span<const std::string_view> labels,
              uint64_t value) override {
    if (detached) return false;
    records.push_back(std::to_string(static_cast<int>(kind)) + " " + std::to_string(index) + " " +
                      std::string(labels.empty() ? "" : labels[0]) + " " + std::to_string(value));
    return true;
  }

  std::vector<std::string> records;
  bool detached = false;
};

TEST_F(Metrics, OfAStreamThatIsGoneGoByItsConfig) {
  ConfigText text;
  text.metrics = settings().metrics;
  auto judged = std::make_shared<JudgedConfig>(kConfig, text);
  const auto gone = std::make_shared<Sink>();
  const auto sink = std::make_shared<Sink>();
  gone->detached = true;
  judged->add_metrics(gone);
  judged->add_metrics(sink);
  stage_->link.judged = judged;
  envoy().disconnect();
  turn();
  const StreamId old = id_;
  ASSERT_TRUE(host().act(old, wire::ActKind_Metric, texts({"you"}), wire::MetricOp_Increment, 1, 0));
  turn();
  EXPECT_EQ(sink->records, std::vector<std::string>{"0 0 you 1"});
  sink->records.clear();
  open(kReq, kGet, true);
  ASSERT_TRUE(host().act(old, wire::ActKind_Metric, texts({"me"}), wire::MetricOp_Increment, 2, 0));
  ASSERT_TRUE(host().act(old, wire::ActKind_Drain, ""));
  turn();
  EXPECT_EQ(sink->records, std::vector<std::string>{"0 0 me 2"});
  EXPECT_FALSE(envoy().asked.drained);
  EXPECT_FALSE(condemned());
  ASSERT_TRUE(host().act(old, wire::ActKind_Metric, "", wire::MetricOp_Increment, 2, 9));
  turn();
  EXPECT_TRUE(condemned());
}

TEST_F(Metrics, WhatNoHostSendsDropsIt) {
  struct Wrong {
    uint32_t index;
    uint8_t op;
    double value;
    std::string labels;
  };
  const Wrong wrong[] = {{3, 0, 1, ""},  {0, 0, 1, ""},   {0, 2, 1, texts({"me"})}, {1, 4, 1, ""},
                         {1, 0, -1, ""}, {1, 0, 0.5, ""}, {1, 0, 1e300, ""},        {1, 0, std::nan(""), ""}};
  for (const Wrong& w : wrong) {
    close();
    SetUp();
    record(w.index, static_cast<wire::MetricOp>(w.op), w.value, w.labels);
    EXPECT_TRUE(condemned()) << w.index << " " << int{w.op} << " " << w.value;
  }
}

// ---- beginning anew ----

TEST_F(Acts, ARequestWithoutBodyBeginsAnew) {
  connect_and_open(kGet, true);
  ASSERT_TRUE(host().act(id_, wire::ActKind_Recreate, ""));
  turn();
  EXPECT_EQ(envoy().asked.recreated, 1);
}

TEST_F(Acts, ABodyIsWaitedFor) {
  connect_and_open();
  ASSERT_TRUE(host().act(id_, wire::ActKind_Recreate, ""));
  turn();
  envoy().data(kReq, "one", false);
  turn();
  EXPECT_EQ(envoy().asked.recreated, 0);
  envoy().data(kReq, "two", true);
  turn();
  EXPECT_EQ(envoy().asked.recreated, 1);
}

TEST_F(Acts, ABodyThatTheHostHasSeenCannotBeginAnew) {
  connect_and_open();
  answer(kReq, BodyMode_Whole);
  envoy().data(kReq, "body", true);
  hear();
  ASSERT_TRUE(host().act(id_, wire::ActKind_Recreate, ""));
  turn();
  EXPECT_EQ(envoy().asked.recreated, 0);
  EXPECT_EQ(envoy().reply_details(), "ts_filter_recreate_refused");
}

TEST_F(Acts, WhatEnvoyRefusesFails) {
  connect_and_open(kGet, true);
  envoy().asked.recreates = false;
  ASSERT_TRUE(host().act(id_, wire::ActKind_Recreate, ""));
  turn();
  EXPECT_EQ(envoy().reply_details(), "ts_filter_recreate_refused");
}

// ---- calls ----

class CallTest : public Acts {
 protected:
  void SetUp() override {
    Acts::SetUp();
    connect_and_open();
  }
  void start(uint32_t call, bool end = true, const std::string& cluster = "c") {
    ASSERT_TRUE(host().call(id_, call, wire::CallPart_Start, cluster + packed(kLines), end, 250,
                            static_cast<uint32_t>(cluster.size())));
    turn();
  }
  const HeaderMap kLines = {{":method", "GET"}, {":path", "/x"}, {":authority", "a"}};
  Stream& stream() { return envoy().core(); }
};

TEST_F(CallTest, PartsGoAndComeInOrder) {
  start(5, false);
  EXPECT_EQ(envoy().asked.calls.at(0), "start 101 c :method=GET :path=/x :authority=a 250ms");
  ASSERT_TRUE(host().call(id_, 5, wire::CallPart_Data, "some", false));
  ASSERT_TRUE(host().call(id_, 5, wire::CallPart_Trailers, packed(HeaderMap{{"t", "1"}}), true));
  turn();
  EXPECT_EQ(envoy().asked.calls.at(1), "data 101 some");
  EXPECT_EQ(envoy().asked.calls.at(2), "trailers 101 1");
  const HeaderLine status = HeaderLine::of(":status", "200");
  stream().on_call_headers(101, {&status, 1}, false);
  const Bytes chunks[2] = {{"he", 2}, {"llo", 3}};
  stream().on_call_data(101, chunks, false);
  const HeaderLine trailer = HeaderLine::of("done", "yes");
  stream().on_call_trailers(101, {&trailer, 1});
  stream().on_call_reset(101);  // nothing more is heard of it
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  EXPECT_EQ(heard[0].type, wire::CallEventPart_Headers);
  EXPECT_EQ(heard[0].number, 5u);
  EXPECT_EQ(heard[0].bytes, packed(HeaderMap{{":status", "200"}}));
  EXPECT_EQ(heard[1].bytes, "hello");
  EXPECT_FALSE(heard[1].found);
  EXPECT_EQ(heard[2].type, wire::CallEventPart_Trailers);
  EXPECT_TRUE(heard[2].found);
}

TEST_F(CallTest, FailuresHaveAReason) {
  envoy().asked.call_starts = CallStart::kNoCluster;
  start(1);
  envoy().asked.call_starts = CallStart::kRefused;
  start(2);
  envoy().asked.call_starts = CallStart::kStarted;
  start(3);
  stream().on_call_reset(101);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 3u);
  const char* reasons[] = {"no such cluster", "refused", "reset"};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(heard[i].type, wire::CallEventPart_Failed);
    EXPECT_EQ(heard[i].bytes, reasons[i]);
  }
}

TEST_F(CallTest, ALargeAnswerWaitsForTheRingAndNoByteIsLost) {
  start(1);
  std::string sent;
  for (int i = 0; i < 40; ++i) {
    const std::string piece(30'000, static_cast<char>('a' + i % 26));
    const Bytes chunk{piece.data(), piece.size()};
    stream().on_call_data(101, {&chunk, 1}, i == 39);
    sent += piece;
  }
  std::string got;
  bool ended = false;
  for (int i = 0; i < 100 && !ended; ++i) {
    for (const auto& event : hear()) {
      EXPECT_FALSE(ended);
      got += event.bytes;
      ended = event.found;
    }
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(got, sent);
}

TEST_F(CallTest, AnAnswerOverTheLimitIsCancelled) {
  settings().max_pending_output = 65536;
  start(1);
  const std::string piece(60'000, 'x');
  const Bytes chunk{piece.data(), piece.size()};
  for (int i = 0; i < 20; ++i) stream().on_call_data(101, {&chunk, 1}, false);
  EXPECT_EQ(envoy().asked.calls.back(), "cancel 101");
  std::vector<Heard> heard;
  for (int i = 0; i < 20; ++i)
    for (auto& event : hear()) heard.push_back(std::move(event));
  EXPECT_EQ(heard.back().type, wire::CallEventPart_Failed);
}

TEST_F(CallTest, LostHostsCallsAreCancelled) {
  start(1);
  stage_->lose();
  EXPECT_EQ(envoy().asked.calls.back(), "cancel 101");
}

TEST_F(CallTest, WhatNoHostSendsDropsIt) {
  start(1, true);
  const std::function<void()> wrong[] = {
      [&] { start(1); },
      [&] { ASSERT_TRUE(host().call(id_, 1, wire::CallPart_Data, "after the end", false)); },
      [&] { ASSERT_TRUE(host().call(id_, 2, wire::CallPart_Start, "c", true, 0, 9)); },
      [&] {
        ASSERT_TRUE(host().call(id_, 2, wire::CallPart_Start, packed(HeaderMap{{":status", "1"}}), true));
      },
      [&] {
        ASSERT_TRUE(host().call(id_, 2, wire::CallPart_Start, packed(HeaderMap{{"a", "b\n"}}), true));
      },
  };
  for (const auto& act : wrong) {
    close();
    SetUp();
    start(1, true);
    act();
    turn();
    EXPECT_TRUE(condemned());
  }
}

// A call may go over a connection that other streams use: what is longer or shorter than its content-length would be
// taken for a part of theirs.
TEST_F(CallTest, ABodyThatIsNotAsLongAsItsLengthSaysGoesNowhere) {
  const auto begin = [&](uint32_t call, bool end) {
    HeaderMap lines = kLines;
    lines.emplace_back("Content-Length", "4");
    ASSERT_TRUE(host().call(id_, call, wire::CallPart_Start, "c" + packed(lines), end, 0, 1));
  };
  begin(1, false);
  ASSERT_TRUE(host().call(id_, 1, wire::CallPart_Data, "four", true));
  begin(2, false);
  ASSERT_TRUE(host().call(id_, 2, wire::CallPart_Data, "fourGET /admin", false));
  begin(3, false);
  ASSERT_TRUE(host().call(id_, 3, wire::CallPart_Data, "4", true));
  begin(4, true);
  begin(5, false);
  ASSERT_TRUE(host().call(id_, 5, wire::CallPart_Trailers, packed(HeaderMap{{"t", "1"}}), true));
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(heard[i].number, i + 2);
    EXPECT_EQ(heard[i].type, wire::CallEventPart_Failed);
  }
  for (const std::string& asked : envoy().asked.calls) {
    EXPECT_EQ(asked.find("GET /admin"), std::string::npos);
    EXPECT_EQ(asked.find("trailers"), std::string::npos);
  }
  EXPECT_FALSE(condemned());
}

TEST_F(CallTest, HowACallIsFramedIsNotForTheHostToSay) {
  for (const char* name : {"transfer-encoding", "Connection", "upgrade"}) {
    close();
    SetUp();
    HeaderMap lines = kLines;
    lines.emplace_back(name, "chunked");
    ASSERT_TRUE(host().call(id_, 1, wire::CallPart_Start, "c" + packed(lines), true, 0, 1));
    turn();
    EXPECT_TRUE(condemned()) << name;
    EXPECT_TRUE(envoy().asked.calls.empty());
  }
}

TEST_F(CallTest, AStreamHasSoManyCallsAtOnce) {
  for (uint32_t call = 0; call < 300; ++call) start(call);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 300u - 256u);
  EXPECT_EQ(heard[0].bytes, "too many calls at once");
}

// Each failed call is an event, which waits where the ring is full.
TEST_F(CallTest, AHostThatCallsAndReadsNoAnswersIsDropped) {
  envoy().asked.call_starts = CallStart::kNoCluster;
  for (uint32_t call = 0; call < 50'000 && !condemned(); ++call)
    if (!host().call(id_, call, wire::CallPart_Start, "c" + packed(kLines), true, 0, 1)) turn();
  turn();
  EXPECT_TRUE(condemned());
}

// By that namespace the access logger finds a stream's filters: a number of the host's own would be another's stream.
TEST_F(Acts, TheNamespaceByWhichOurFiltersAreFoundIsNotTheHosts) {
  connect_and_open();
  const std::string key = packed(HeaderMap{{"ts_filter", "chain"}});
  ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, key + "7", wire::MetadataType_Text));
  ASSERT_TRUE(host().act(id_, wire::ActKind_SetMetadata, key + "a struct", wire::MetadataType_Struct));
  ASSERT_TRUE(host().query(id_, 1, 0, wire::QueryKind_Metadata, "ts_filter"));
  EXPECT_EQ(hear().at(0).bytes, "{}");
  EXPECT_TRUE(envoy().asked.structs.empty());
  EXPECT_FALSE(condemned());
}

// ---- what trials on real Envoys found ----

TEST_F(Acts, ARequestThatCameAsGrpcStaysOne) {
  connect_and_open(kGrpc);
  ASSERT_TRUE(host().ops(id_, HeaderType::kRequest, {{wire::HeaderOp_Set, "content-type", "application/json"}}));
  ASSERT_TRUE(host().local_reply(id_, 403, {}, ""));
  turn();
  EXPECT_EQ(envoy().downstream().header("grpc-status"), "7");
}

TEST_F(Acts, ATooLargeBodyIsNeverLetPass) {
  settings().failure_mode = FailureMode::kOpen;
  settings().max_body_bytes = 10;
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {}, wire::Phase_DecodeData);
  envoy().data(kReq, "more than ten bytes", true);
  turn();
  EXPECT_EQ(envoy().reply_details(), "ts_filter_body_too_large");
}

TEST_F(Acts, AFilterWithEncodeHooksSaysItselfThatABodyIsTooLarge) {
  settings().max_body_bytes = 10;
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {}, wire::Phase_DecodeData | wire::Phase_EncodeData);
  envoy().data(kReq, "more than ten bytes", false);
  auto heard = hear();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].has(wire::DataFlag_TooLarge));
  EXPECT_EQ(heard[0].bytes, "");
  envoy().data(kReq, "and more", true);
  EXPECT_TRUE(hear().empty());
  ASSERT_TRUE(host().local_reply(id_, 413, {}, "PAYLOAD TOO LARGE", "ts_filter_body_too_large"));
  turn();
  EXPECT_EQ(envoy().downstream().body, "PAYLOAD TOO LARGE");
}

TEST_F(Acts, AHostThatDoesNotSayItIsNotWaitedFor) {
  settings().max_body_bytes = 10;
  settings().message_timeout = Millis(5);
  connect_and_open();
  answer(HeaderType::kRequest, BodyMode_Whole, {}, wire::Phase_DecodeData | wire::Phase_EncodeData);
  envoy().data(kReq, "more than ten bytes", true);
  hear();
  pass_time(20);
  EXPECT_EQ(envoy().reply_details(), "ts_filter_body_too_large");
}

}  // namespace
}  // namespace tsf::core::test
