#include "core/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "core/config_size.h"

namespace tsf::core {
namespace {

Settings settings(std::string_view text) {
  auto parsed = parse_settings(text);
  EXPECT_EQ(parsed.error, "") << text;
  EXPECT_TRUE(parsed.value.has_value()) << text;
  return parsed.value.value_or(Settings{});
}

// The whole message: it names the key's path, what is wrong and the mend.
std::string refusal(std::string_view text) {
  auto parsed = parse_settings(text);
  EXPECT_FALSE(parsed.value.has_value()) << text;
  EXPECT_NE(parsed.error, "") << text;
  return parsed.error;
}

std::string with(const std::string& key, const std::string& value) { return "{\"" + key + "\":" + value + "}"; }

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    if (value == nullptr) {
      unsetenv(name);
    } else {
      setenv(name, value, 1);
    }
  }
  ~Environment() {
    if (old_) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(Config, NothingGivenMeansEveryDefaultOfTheContract) {
  for (const char* text : {"", "  \n", "{}"}) {
    const Settings s = settings(text);
    EXPECT_EQ(s.socket, default_socket());
    EXPECT_EQ(s.failure_mode, FailureMode::kClosed);
    EXPECT_EQ(s.message_timeout, Millis(5000));
    EXPECT_FALSE(s.host_wait);
    EXPECT_EQ(s.host_stall_timeout, Millis(2000));
    EXPECT_EQ(s.config_timeout, Millis(500));
    EXPECT_EQ(s.max_body_bytes, 1u << 20);
    EXPECT_EQ(s.stream_window, 256u << 10);
    EXPECT_EQ(s.max_pending_output, 32u << 20);
    EXPECT_EQ(s.max_pending_total, 256u << 20);
    EXPECT_EQ(s.ring_bytes, 1u << 20);
    EXPECT_EQ(s.max_header_bytes, s.ring_bytes / 2);
    EXPECT_EQ(s.allowed_uids, std::vector<uid_t>{getuid()});
    EXPECT_TRUE(s.allow.empty());
    EXPECT_TRUE(s.deny.empty());
    EXPECT_FALSE(s.upgrades);
    EXPECT_EQ(s.log_level, LogLevel::kInfo);
    EXPECT_FALSE(s.plugin_config.has_value());
  }
}

TEST(Config, TheSocketIsTakenFromTheKeyThenTheEnvironment) {
  const Environment direct("TS_FILTER_SOCKET", "/a/direct.sock");
  const Environment runtime("XDG_RUNTIME_DIR", "/run/user/1");
  EXPECT_EQ(settings(R"({"socket":"/the/key.sock"})").socket, "/the/key.sock");
  EXPECT_EQ(settings("").socket, "/a/direct.sock");
  const Environment no_direct("TS_FILTER_SOCKET", "");
  EXPECT_EQ(settings("").socket, "/run/user/1/ts-filter.sock");
  const Environment no_runtime("XDG_RUNTIME_DIR", nullptr);
  EXPECT_EQ(settings("").socket, "/tmp/ts-filter-" + std::to_string(getuid()) + "/ts-filter.sock");
}

TEST(Config, ASocketThatNoUnixSocketCanHaveIsRefused) {
  EXPECT_EQ(settings(with("socket", '"' + std::string(107, 'x') + '"')).socket.size(), 107u);
  EXPECT_NE(refusal(with("socket", '"' + std::string(108, 'x') + '"')).find("filter_config.socket: \"xxx"),
            std::string::npos);
  EXPECT_EQ(refusal(with("socket", "\"\"")), "filter_config.socket: must be a non-empty string");
  EXPECT_EQ(refusal(with("socket", "7")), "filter_config.socket: must be a non-empty string");
}

TEST(Config, FailureModes) {
  EXPECT_EQ(settings(with("failure_mode", "\"closed\"")).failure_mode, FailureMode::kClosed);
  EXPECT_EQ(settings(with("failure_mode", "\"open\"")).failure_mode, FailureMode::kOpen);
  EXPECT_EQ(settings(with("failure_mode", "\"replay\"")).failure_mode, FailureMode::kReplay);
  EXPECT_EQ(refusal(with("failure_mode", "\"Open\"")),
            "filter_config.failure_mode: \"Open\" is not a failure mode; use \"closed\", \"open\" or \"replay\"");
  EXPECT_EQ(refusal(with("failure_mode", "null")),
            "filter_config.failure_mode: null is not a failure mode; use \"closed\", \"open\" or \"replay\"");
}

struct DurationKey {
  const char* name;
  Millis (*of)(const Settings& settings);
  int least;
};
constexpr DurationKey kDurations[] = {
    {"message_timeout", [](const Settings& s) { return s.message_timeout; }, 1},
    {"host_wait", [](const Settings& s) { return s.host_wait.value(); }, 0},
    {"host_stall_timeout", [](const Settings& s) { return s.host_stall_timeout; }, 10},
    {"config_timeout", [](const Settings& s) { return s.config_timeout; }, 0}};

TEST(Config, DurationsHaveUnits) {
  for (const auto& key : kDurations) {
    const std::pair<const char*, int64_t> forms[] = {{"\"250ms\"", 250},     {"\"5s\"", 5000},      {"\"1.5s\"", 1500},
                                                     {"\"2m\"", 120'000},    {"\"1h\"", 3'600'000}, {"\"0.25s\"", 250},
                                                     {"\"24h\"", 86'400'000}};
    for (const auto& [text, millis] : forms) EXPECT_EQ(key.of(settings(with(key.name, text))).count(), millis);
    for (const char* bad : {"5", "5000.0", "\"5\"", "\"s\"", "\"\"", "\"-1s\"", "\"5 s\"", "\"5sec\"", "\"nans\"",
                            "\"infs\"", "\"1e9h\"", "true", "null", "[]", "{}"}) {
      EXPECT_EQ(refusal(with(key.name, bad)), std::string("filter_config.") + key.name + ": " + bad +
                                                  " is not a duration; write it as \"250ms\", \"5s\" or \"1.5s\"");
    }
  }
}

TEST(Config, DurationsThatAreTooShortAreRefusedWithTheLeast) {
  for (const auto& key : kDurations) {
    EXPECT_EQ(key.of(settings(with(key.name, "\"" + std::to_string(key.least) + "ms\""))).count(), key.least);
    if (key.least == 0) continue;
    EXPECT_EQ(refusal(with(key.name, "\"0s\"")), std::string("filter_config.") + key.name +
                                                     ": \"0s\" is too short; the least is " +
                                                     std::to_string(key.least) + "ms");
  }
}

struct SizeKey {
  const char* name;
  uint64_t Settings::*field;
  uint64_t least;
  uint64_t most;
};
constexpr uint64_t kTera = uint64_t{1} << 40;
constexpr SizeKey kSizes[] = {{"max_body_bytes", &Settings::max_body_bytes, 1, kTera},
                              {"stream_window", &Settings::stream_window, 4096, 1 << 30},
                              {"max_pending_output", &Settings::max_pending_output, 65536, kTera},
                              {"max_pending_total", &Settings::max_pending_total, 65536, kTera},
                              {"max_header_bytes", &Settings::max_header_bytes, 1024, 64 << 20}};

TEST(Config, SizesAreBytesOrHaveUnits) {
  for (const auto& key : kSizes) {
    const std::pair<const char*, uint64_t> forms[] = {{"65536", 65536},     {"65536.0", 65536},
                                                      {"6.5536e4", 65536},  {"\"65536\"", 65536},
                                                      {"\"64KiB\"", 65536}, {"\"2MiB\"", 2 << 20}};
    for (const auto& [text, bytes] : forms) EXPECT_EQ(settings(with(key.name, text)).*key.field, bytes) << text;
    for (const char* bad : {"1.5", "-1", "\"-1\"", "\"64KB\"", "\"64 KiB\"", "\"KiB\"", "\"\"", "true", "null", "[]",
                            "1e300", "\"99999999999999999999\"", "\"9007199254740992GiB\""}) {
      const std::string error = refusal(with(key.name, bad));
      EXPECT_EQ(error.find(std::string("filter_config.") + key.name + ": "), 0u) << error;
      EXPECT_NE(error.find("is not a size; write bytes as 65536 or \"64KiB\""), std::string::npos) << error;
    }
  }
}

TEST(Config, SizesOutOfRangeAreRefusedWithTheRange) {
  for (const auto& key : kSizes) {
    EXPECT_EQ(settings(with(key.name, std::to_string(key.least))).*key.field, key.least);
    EXPECT_EQ(settings(with(key.name, std::to_string(key.most))).*key.field, key.most);
    for (const uint64_t bad : {key.least - 1, key.most + 1}) {
      const std::string value = std::to_string(bad);
      const std::string error = refusal(with(key.name, value));
      EXPECT_NE(error.find(" is out of range; it must be " + std::to_string(key.least) + " to " +
                           std::to_string(key.most) + " bytes"),
                std::string::npos)
          << error;
    }
  }
}

TEST(Config, AGigabyteUnitIsKnown) {
  EXPECT_EQ(settings(with("max_body_bytes", "\"3GiB\"")).max_body_bytes, uint64_t{3} << 30);
}

TEST(Config, TheRingIsAPowerOfTwoBetweenItsBounds) {
  for (const auto& [text, bytes] : {std::pair{"65536", 65536u}, {"\"256MiB\"", 256u << 20}, {"1048576.0", 1u << 20}}) {
    const Settings s = settings(with("ring_bytes", text));
    EXPECT_EQ(s.ring_bytes, bytes);
    EXPECT_EQ(s.max_header_bytes, bytes / 2);
  }
  EXPECT_EQ(refusal(with("ring_bytes", "98304")),
            "filter_config.ring_bytes: must be a power of two, such as 1048576 or \"1MiB\"");
  EXPECT_NE(refusal(with("ring_bytes", "32768")).find("out of range; it must be 65536 to 268435456 bytes"),
            std::string::npos);
  EXPECT_NE(refusal(with("ring_bytes", "\"512MiB\"")).find("out of range"), std::string::npos);
}

TEST(Config, HeaderRulesAreListsOfNamesInLowerCase) {
  const Settings s = settings(R"({"headers":{"allow":["X-A","x-b"],"deny":["Cookie"]}})");
  EXPECT_EQ(s.allow, (std::vector<std::string>{"x-a", "x-b"}));
  EXPECT_EQ(s.deny, std::vector<std::string>{"cookie"});
  EXPECT_EQ(refusal(R"({"headers":["x"]})"), "filter_config.headers: must be an object {allow: [...], deny: [...]}");
  EXPECT_EQ(refusal(R"({"headers":{"alow":[]}})"),
            "filter_config.headers.alow: is not a known key; known are: allow, deny");
  EXPECT_EQ(refusal(R"({"headers":{"deny":"x"}})"), "filter_config.headers.deny: must be a list of header names");
  EXPECT_EQ(refusal(R"({"headers":{"deny":[7]}})"), "filter_config.headers.deny: 7 is not a header name");
  EXPECT_EQ(refusal(R"({"headers":{"allow":[""]}})"), "filter_config.headers.allow: \"\" is not a header name");
}

TEST(Config, UserIdsComeAsDoublesFromAStruct) {
  EXPECT_EQ(settings(R"({"allowed_uids":[0,1000.0,4294967294]})").allowed_uids,
            (std::vector<uid_t>{0, 1000, 4294967294}));
  EXPECT_EQ(refusal(R"({"allowed_uids":[]})"), "filter_config.allowed_uids: must be a list of user ids");
  EXPECT_EQ(refusal(R"({"allowed_uids":7})"), "filter_config.allowed_uids: must be a list of user ids");
  EXPECT_EQ(refusal(R"({"allowed_uids":[-1]})"), "filter_config.allowed_uids: -1 is not a user id");
  EXPECT_EQ(refusal(R"({"allowed_uids":[1.5]})"), "filter_config.allowed_uids: 1.5 is not a user id");
  EXPECT_EQ(refusal(R"({"allowed_uids":["root"]})"), "filter_config.allowed_uids: \"root\" is not a user id");
  EXPECT_EQ(refusal(R"({"allowed_uids":[4294967295]})"), "filter_config.allowed_uids: 4294967295 is not a user id");
}

TEST(Config, LogLevels) {
  const char* names[] = {"trace", "debug", "info", "warn", "error", "critical", "off"};
  for (int i = 0; i < 7; ++i)
    EXPECT_EQ(settings(with("log_level", '"' + std::string(names[i]) + '"')).log_level, static_cast<LogLevel>(i));
  EXPECT_EQ(refusal(with("log_level", "\"loud\"")),
            "filter_config.log_level: \"loud\" is not a level; use trace, debug, info, warn, error, critical or off");
  EXPECT_NE(refusal(with("log_level", "3")).find("filter_config.log_level: 3 is not a level"), std::string::npos);
}

TEST(Config, PluginConfigIsHandedOnAsItIs) {
  EXPECT_EQ(settings(R"({"plugin_config":{"b":1,"a":["x",null,true]}})").plugin_config,
            R"({"a":["x",null,true],"b":1})");
  EXPECT_EQ(settings(R"({"plugin_config":"text"})").plugin_config, "\"text\"");
  EXPECT_EQ(settings(R"({"plugin_config":null})").plugin_config, "null");
  EXPECT_EQ(settings(R"({"plugin_config":2.5})").plugin_config, "2.5");
}

TEST(Config, ObserveOnly) {
  EXPECT_FALSE(settings("{}").observe_only);
  EXPECT_TRUE(settings(with("observe_only", "true")).observe_only);
  EXPECT_EQ(refusal(with("observe_only", "[]")), "filter_config.observe_only: must be true or false");
  EXPECT_EQ(parse_route_settings("{}").value->observe_only, std::nullopt);
  EXPECT_EQ(parse_route_settings(R"({"observe_only": false})").value->observe_only, false);
}

TEST(Config, Upgrades) {
  EXPECT_FALSE(settings("{}").upgrades);
  EXPECT_TRUE(settings(with("upgrades", "true")).upgrades);
  EXPECT_EQ(refusal(with("upgrades", "1")), "filter_config.upgrades: must be true or false");
}

TEST(Config, MetricsHaveNameTypeAndLabels) {
  const auto metrics = settings(with("metrics", R"([{"name":"a","type":"counter","labels":["x","y"]},
      {"name":"b","type":"gauge"},{"name":"c","type":"histogram","labels":[]}])"))
                           .metrics;
  const std::vector<MetricSpec> expected{
      {"a", MetricKind::kCounter, {"x", "y"}}, {"b", MetricKind::kGauge, {}}, {"c", MetricKind::kHistogram, {}}};
  EXPECT_EQ(metrics, expected);
  const auto refused = [](const char* list) { return refusal(with("metrics", list)); };
  EXPECT_EQ(refused("{}"), "filter_config.metrics: must be a list");
  EXPECT_EQ(refused("[1]"), "filter_config.metrics[0]: must be an object");
  EXPECT_EQ(refused(R"([{"name":"a","type":"counter","lables":[]}])"),
            "filter_config.metrics[0].lables: is not a known key; known are: name, type, labels");
  EXPECT_EQ(refused(R"([{"type":"counter"}])"), "filter_config.metrics[0].name: must be a non-empty string");
  EXPECT_EQ(refused(R"([{"name":"a","type":"counter"},{"name":"a","type":"gauge"}])"),
            "filter_config.metrics[1].name: \"a\" is there twice");
  EXPECT_EQ(refused(R"([{"name":"a"}])"), "filter_config.metrics[0].type: must be counter, gauge or histogram");
  EXPECT_EQ(refused(R"([{"name":"a","type":"timer"}])"),
            "filter_config.metrics[0].type: must be counter, gauge or histogram");
  EXPECT_EQ(refused(R"([{"name":"a","type":"gauge","labels":"x"}])"),
            "filter_config.metrics[0].labels: must be a list of label names");
  EXPECT_EQ(refused(R"([{"name":"a","type":"gauge","labels":[""]}])"),
            "filter_config.metrics[0].labels: \"\" is not a label name");
}

TEST(Config, SecretsAreStaticOrCome) {
  const auto secrets = settings(with("secrets", R"([{"name":"a"},{"name":"b","sds_config":{"ads":{}}}])")).secrets;
  ASSERT_EQ(secrets.size(), 2u);
  EXPECT_EQ(secrets[0].name, "a");
  EXPECT_EQ(secrets[0].source, "");
  EXPECT_EQ(secrets[1].source, R"({"ads":{}})");
  EXPECT_EQ(refusal(with("secrets", R"([{"name":"b","sds_config":"ads"}])")),
            "filter_config.secrets[0].sds_config: must be an envoy.config.core.v3.ConfigSource");
}

TEST(Config, AListOfFiltersKeepsItsOrderAndEachPluginConfigAsJson) {
  const auto list = settings(R"({"filters":[{"name":"a","plugin_config":{"x":[1,null]}},{"name":"b"},{"name":"a",)"
                             R"("plugin_config":null}]})")
                        .filters;
  EXPECT_EQ(list, (std::vector<ChainedFilter>{{"a", R"({"x":[1,null]})"}, {"b", std::nullopt}, {"a", "null"}}));
  EXPECT_TRUE(settings("").filters.empty());
}

TEST(Config, AListOfFiltersThatIsWrongIsRefusedWithItsPlace) {
  EXPECT_EQ(refusal(with("filters", "[]")),
            "filter_config.filters: must have at least one {name: ..., plugin_config: ...}");
  EXPECT_EQ(refusal(with("filters", "{}")), "filter_config.filters: must be a list");
  EXPECT_EQ(refusal(with("filters", R"([{"name":"a"},"b"])")), "filter_config.filters[1]: must be an object");
  EXPECT_EQ(refusal(with("filters", R"([{"name":"a"},{"nmae":"b"}])")),
            "filter_config.filters[1].nmae: is not a known key; known are: name, plugin_config");
  for (const char* entry : {"{}", R"({"name":""})", R"({"name":7})", R"({"plugin_config":{}})"})
    EXPECT_EQ(refusal(with("filters", std::string("[") + entry + "]")),
              "filter_config.filters[0].name: must be a non-empty string");
  EXPECT_EQ(
      refusal(R"({"filters":[{"name":"a"}],"plugin_config":{}})"),
      "filter_config.plugin_config: cannot stand beside filter_config.filters; give each entry of filters its own");
}

TEST(Config, AnUnknownKeyIsRefusedWithThoseThatAreKnown) {
  const std::string error = refusal(R"({"sockett":"/x"})");
  EXPECT_EQ(error.find("filter_config.sockett: is not a known key; known are: "), 0u) << error;
  for (const char* key : {"socket",
                          "filters",
                          "failure_mode",
                          "message_timeout",
                          "host_wait",
                          "host_stall_timeout",
                          "config_timeout",
                          "max_body_bytes",
                          "stream_window",
                          "max_pending_output",
                          "max_pending_total",
                          "max_header_bytes",
                          "ring_bytes",
                          "headers",
                          "allowed_uids",
                          "observe_only",
                          "upgrades",
                          "log_level",
                          "metrics",
                          "secrets",
                          "plugin_config"})
    EXPECT_NE(error.find(key), std::string::npos) << key;
}

TEST(Config, WhatIsNoObjectIsRefused) {
  EXPECT_EQ(refusal("{"),
            "filter_config: is not JSON; give a google.protobuf.Struct, or a StringValue that holds a JSON object");
  EXPECT_EQ(refusal("[]"), "filter_config: must be an object, not array");
  EXPECT_EQ(refusal("7"), "filter_config: must be an object, not number");
  EXPECT_EQ(refusal("null"), "filter_config: must be an object, not null");
}

TEST(Config, BytesThatAreNotUtf8AreRefusedAndNotThrown) {
  EXPECT_FALSE(parse_settings("{\"socket\":\"\xff\"}").value.has_value());
  EXPECT_FALSE(parse_settings("{\"plugin_config\":{\"\xc0\x80\":1}}").value.has_value());
  EXPECT_FALSE(parse_settings(std::string_view("\0", 1)).value.has_value());
}

TEST(Config, EveryPrefixOfAConfigIsReadWithoutHarm) {
  const std::string text =
      R"({"socket":"/s","headers":{"allow":["x"]},"message_timeout":"1.5s","plugin_config":{"a":[1e3]}})";
  for (size_t n = 1; n < text.size(); ++n) EXPECT_FALSE(parse_settings(text.substr(0, n)).value.has_value());
  EXPECT_TRUE(parse_settings(text).value.has_value());
}

TEST(RouteConfig, HasFourKeysAndNoMore) {
  auto parsed = parse_route_settings(R"({"failure_mode":"open","message_timeout":"1s","plugin_config":{"a":1}})");
  ASSERT_TRUE(parsed.value) << parsed.error;
  EXPECT_EQ(parsed.value->failure_mode, FailureMode::kOpen);
  EXPECT_EQ(parsed.value->message_timeout, Millis(1000));
  EXPECT_EQ(parsed.value->plugin_config, R"({"a":1})");
  EXPECT_EQ(parse_route_settings(R"({"socket":"/x"})").error,
            "filter_config.socket: is not a known key; known are: failure_mode, message_timeout, observe_only, "
            "plugin_config");
  EXPECT_EQ(parse_route_settings(R"({"message_timeout":"0s"})").error,
            "filter_config.message_timeout: \"0s\" is too short; the least is 1ms");
  EXPECT_EQ(parse_route_settings(R"({"failure_mode":"replay"})").value->failure_mode, FailureMode::kReplay);
}

TEST(RouteConfig, NothingGivenChangesNothing) {
  for (const char* text : {"", "{}"}) {
    auto parsed = parse_route_settings(text);
    ASSERT_TRUE(parsed.value);
    EXPECT_FALSE(parsed.value->failure_mode || parsed.value->message_timeout || parsed.value->plugin_config);
  }
}

// What would not fit a message to the host put all filters of a socket into a loop of connections.
TEST(ConfigSize, APluginConfigOverTheLimitIsRefusedWithKeyAndLimit) {
  const std::string fits(kMostPluginConfig - 2, 'x');
  EXPECT_EQ(settings(with("plugin_config", '"' + fits + '"')).plugin_config->size(), kMostPluginConfig);
  EXPECT_EQ(refusal(with("plugin_config", '"' + fits + "x\"")),
            "filter_config.plugin_config: is 15728641 bytes of JSON; the limit is 15728640 bytes; keep large data in a "
            "file that the filter reads");
  EXPECT_EQ(parse_route_settings(with("plugin_config", '"' + fits + "x\"")).error,
            "filter_config.plugin_config: is 15728641 bytes of JSON; the limit is 15728640 bytes; keep large data in a "
            "file that the filter reads");
}

TEST(ConfigSize, AListsConfigsCountTogether) {
  const std::string half(kMostPluginConfig / 2 + 1, 'x');
  const std::string one = R"({"name":"a","plugin_config":")" + half + "\"}";
  EXPECT_NE(refusal(with("filters", "[" + one + "," + one + "]"))
                .find("filter_config.filters: their plugin_config together are"),
            std::string::npos);
}

TEST(ConfigSize, TheOtherKeysHaveALimitToo) {
  std::string names;
  for (int i = 0; i < 10'000; ++i) names += (i > 0 ? ",\"x" : "\"x") + std::to_string(i) + '"';
  EXPECT_NE(refusal(with("headers", R"({"deny":[)" + names + "]}"))
                .find("filter_config.headers.deny: with the keys before it is"),
            std::string::npos);
}

// 300 MB are not even read.
TEST(ConfigSize, WhatIsFarTooLargeIsRefusedBeforeItIsRead) {
  const std::string text(300 << 20, 'x');
  EXPECT_NE(refusal(text).find("plugin_config is too large"), std::string::npos);
  EXPECT_NE(refusal(text).find("the limit is 15728640 bytes"), std::string::npos);
}

}  // namespace
}  // namespace tsf::core
