#include "core/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace tsf::core {
namespace {

ConfigText text(const std::string& name) {
  ConfigText out;
  out.name = name;
  return out;
}
Verdict accepted(uint32_t phases = UINT32_MAX) { return {true, phases, {}, ""}; }
Verdict unavailable() { return {false, 0, {}, "gone", true}; }

class RegistryTest : public testing::Test {
 protected:
  std::shared_ptr<JudgedConfig> add(const std::string& name) { return ConfigRegistry::add(registry_, text(name)); }
  // "+id" for each config that the host is to be told, "-id" for each that it is to forget.
  std::string news() {
    const auto all = told_.take(*registry_);
    std::string out;
    for (const auto& config : all.configs) out += "+" + std::to_string(config->id());
    for (const uint32_t id : all.forgotten) out += "-" + std::to_string(id);
    return out;
  }

  int rings_ = 0;
  ConfigsTold told_;
  UpdatePatience patience_;
  std::shared_ptr<ConfigRegistry> registry_ = std::make_shared<ConfigRegistry>([this] { ++rings_; }, patience_);
};

TEST_F(RegistryTest, TheSameTextIsOneConfig) {
  const auto one = add("a");
  EXPECT_EQ(add("a"), one);
  EXPECT_NE(add("b"), one);
  EXPECT_EQ(registry_->find(one->id()), one);
  EXPECT_EQ(registry_->find(99), nullptr);
}

TEST_F(RegistryTest, TheHostIsToldOnceAndOfTheEnd) {
  auto one = add("a");
  EXPECT_EQ(rings_, 1);
  EXPECT_EQ(news(), "+1");
  EXPECT_EQ(news(), "");
  one.reset();
  EXPECT_EQ(rings_, 2);
  EXPECT_EQ(news(), "-1");
  EXPECT_EQ(add("a")->id(), 2u) << "numbers are not used again";
}

TEST_F(RegistryTest, AnotherHostIsToldAllThatThereIs) {
  const auto one = add("a");
  add("b").reset();
  (void)news();
  const auto three = add("c");
  told_ = {};
  EXPECT_EQ(news(), "+1+3") << "and nothing of what the host before it was to forget";
}

TEST_F(RegistryTest, EachHostIsToldForItself) {
  auto one = add("a");
  EXPECT_EQ(news(), "+1");
  ConfigsTold second;
  EXPECT_EQ(second.take(*registry_).configs.size(), 1u);
  one.reset();
  EXPECT_EQ(news(), "-1");
  EXPECT_EQ(second.take(*registry_).forgotten, std::vector<uint32_t>{1});
}

TEST_F(RegistryTest, AVerdictBelongsToItsGeneration) {
  const auto one = add("a");
  EXPECT_EQ(registry_->begin_generation(), 1u);
  EXPECT_EQ(registry_->judge(one->id(), 1, accepted(5)), one);
  EXPECT_EQ(registry_->judge(77, 1, accepted()), nullptr);
  const auto first = one->verdict(1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(one->verdict(2), nullptr);
  EXPECT_EQ(registry_->begin_generation(), 2u);
  registry_->judge(one->id(), 2, accepted(6));
  registry_->judge(one->id(), 2, accepted(7));
  EXPECT_EQ(one->verdict(1), first);
  EXPECT_EQ(one->verdict(2)->phases, 6u) << "the first word counts";
  registry_->end_generation(1);
  EXPECT_EQ(one->verdict(1), nullptr);
  EXPECT_EQ(first->phases, 5u) << "who keeps it has it";
  EXPECT_NE(one->verdict(2), nullptr) << "the other one's stays";
}

TEST_F(RegistryTest, AFilterThatCannotBeLoadedIsNotRefused) {
  const auto one = add("a");
  EXPECT_EQ(registry_->begin_generation(), 1u);
  registry_->judge(one->id(), 1, unavailable());
  EXPECT_TRUE(registry_->has_judged_all(1));
  EXPECT_TRUE(registry_->wait_for_verdict(*one, std::chrono::seconds(30))->unavailable) << "nobody waits for it";
  EXPECT_EQ(one->logger_phases(), UINT32_MAX);
  registry_->judge(one->id(), 1, accepted(5));
  EXPECT_EQ(one->verdict(1)->phases, 5u);
  registry_->judge(one->id(), 1, unavailable());
  EXPECT_TRUE(one->verdict(1)->unavailable) << "the thread that had it is gone";
  registry_->judge(one->id(), 1, accepted(6));
  registry_->judge(one->id(), 1, accepted(7));
  EXPECT_EQ(one->verdict(1)->phases, 6u);
}

TEST_F(RegistryTest, AFilterIsHooklessByTheLatestWordOfAGeneration) {
  const auto one = add("a");
  EXPECT_EQ(registry_->begin_generation(), 1u);
  EXPECT_EQ(one->hookless_in(), 0u) << "nobody has said so";
  registry_->judge(one->id(), 1, accepted(0));
  EXPECT_EQ(one->hookless_in(), 1u);
  registry_->judge(one->id(), 1, unavailable());
  EXPECT_EQ(one->hookless_in(), 0u);
  registry_->judge(one->id(), 1, accepted(0));
  EXPECT_EQ(registry_->begin_generation(), 2u);
  registry_->judge(one->id(), 2, accepted(1));
  EXPECT_EQ(one->hookless_in(), 1u) << "the one before serves on";
  registry_->end_generation(1);
  EXPECT_EQ(one->hookless_in(), 0u);
}

TEST_F(RegistryTest, ARefusedFilterIsNotHookless) {
  const auto one = add("a");
  EXPECT_EQ(registry_->begin_generation(), 1u);
  registry_->judge(one->id(), 1, {false, 0, {}, "no"});
  EXPECT_EQ(one->hookless_in(), 0u);
}

TEST_F(RegistryTest, KnowsWhenAGenerationHasJudgedAll) {
  const auto one = add("a");
  const auto two = add("b");
  registry_->judge(one->id(), 1, accepted());
  EXPECT_FALSE(registry_->has_judged_all(1));
  registry_->judge(two->id(), 1, {false, 0, {}, "no"});
  EXPECT_TRUE(registry_->has_judged_all(1)) << "a refusal is a verdict";
  EXPECT_FALSE(registry_->has_judged_all(2));
}

TEST_F(RegistryTest, WaitsForTheNewestGenerationsVerdict) {
  const auto one = add("a");
  EXPECT_EQ(registry_->begin_generation(), 1u);
  registry_->judge(one->id(), 1, accepted(1));
  EXPECT_EQ(registry_->begin_generation(), 2u);
  std::thread host([&] { registry_->judge(one->id(), 2, accepted(2)); });
  const auto verdict = registry_->wait_for_verdict(*one, std::chrono::seconds(30));
  host.join();
  ASSERT_NE(verdict, nullptr);
  EXPECT_EQ(verdict->phases, 2u);
}

TEST_F(RegistryTest, DoesNotWaitWhereNoHostIsExpected) {
  const auto one = add("a");
  std::thread link([&] { registry_->set_host_expected(false); });
  EXPECT_EQ(registry_->wait_for_verdict(*one, std::chrono::seconds(30)), nullptr);
  link.join();
}

TEST_F(RegistryTest, ConfigsOfOneUpdateShareTheirPatience) {
  const auto one = add("a");
  const auto two = add("b");
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(registry_->wait_for_verdict(*one, std::chrono::milliseconds(300)), nullptr);
  EXPECT_EQ(registry_->wait_for_verdict(*two, std::chrono::milliseconds(300)), nullptr);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(590));
}

// Envoy's main thread loads them one after the other, and answers nobody meanwhile.
TEST_F(RegistryTest, ConfigsOfSeveralSocketsShareTheirPatience) {
  const auto one = add("a");
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(registry_->wait_for_verdict(*one, std::chrono::milliseconds(300)), nullptr);
  for (int i = 0; i < 4; ++i) {
    const auto other = std::make_shared<ConfigRegistry>([] {}, patience_);
    const auto config = ConfigRegistry::add(other, text("b"));
    EXPECT_EQ(other->wait_for_verdict(*config, std::chrono::milliseconds(300)), nullptr);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(590));
}

TEST_F(RegistryTest, AConfigMayOutliveIt) {
  const auto one = add("a");
  registry_.reset();
  EXPECT_EQ(one->text().name, "a");
}

TEST(KnownVerdicts, AreOfOneGenerationAndStay) {
  const auto registry = std::make_shared<ConfigRegistry>([] {});
  auto one = ConfigRegistry::add(registry, text("a"));
  KnownVerdicts known(1);
  EXPECT_EQ(known.of(one), nullptr);
  one->judge(2, accepted(2));
  EXPECT_EQ(known.of(one), nullptr) << "of another generation";
  one->judge(1, accepted(1));
  const Verdict* const verdict = known.of(one);
  ASSERT_NE(verdict, nullptr);
  one->forget(1);
  EXPECT_EQ(known.of(one), verdict) << "it is not asked for again";
  EXPECT_EQ(verdict->phases, 1u);
}

TEST(KnownVerdicts, AskAgainForAFilterThatCannotBeLoaded) {
  const auto registry = std::make_shared<ConfigRegistry>([] {});
  const auto one = ConfigRegistry::add(registry, text("a"));
  KnownVerdicts known(1);
  one->judge(1, unavailable());
  EXPECT_TRUE(known.of(one)->unavailable);
  EXPECT_TRUE(known.of(one)->unavailable);
  one->judge(1, accepted(5));
  EXPECT_EQ(known.of(one)->phases, 5u);
}

TEST(KnownVerdicts, ForgetsConfigsThatAreGone) {
  const auto registry = std::make_shared<ConfigRegistry>([] {});
  KnownVerdicts known(1);
  const auto lasting = ConfigRegistry::add(registry, text("lasting"));
  lasting->judge(1, accepted());
  const Verdict* const verdict = known.of(lasting);
  std::vector<std::weak_ptr<const Verdict>> verdicts;
  for (int i = 0; i < 1000; ++i) {
    const auto config = ConfigRegistry::add(registry, text("update " + std::to_string(i)));
    config->judge(1, accepted());
    ASSERT_NE(known.of(config), nullptr);
    verdicts.push_back(config->verdict(1));
  }
  EXPECT_LE(std::count_if(verdicts.begin(), verdicts.end(), [](const auto& one) { return !one.expired(); }), 64);
  EXPECT_EQ(known.of(lasting), verdict);
}

TEST(JudgedConfig, SaysWhichLogHooksHaveAUseForLoggers) {
  JudgedConfig config(1, text("a"));
  EXPECT_EQ(config.logger_phases(), UINT32_MAX) << "not known";
  config.judge(1, {true, wire::Phase_Log | wire::Phase_LogStart | wire::Phase_DecodeData, {}, ""});
  EXPECT_EQ(config.logger_phases(), wire::Phase_LogStart);
  config.judge(2, {true, wire::Phase_Log, {13}, ""});
  EXPECT_EQ(config.logger_phases(), wire::Phase_Log) << "for its attributes";
}

}  // namespace
}  // namespace tsf::core
