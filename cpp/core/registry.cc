#include "core/registry.h"

#include <algorithm>
#include <utility>

namespace tsf::core {

std::shared_ptr<JudgedConfig> ConfigRegistry::add(const std::shared_ptr<ConfigRegistry>& self, ConfigText text) {
  std::shared_ptr<JudgedConfig> config;
  {
    const std::lock_guard lock(self->mutex_);
    for (const auto& known : self->configs_)
      if (config = known.lock(); config && config->text() == text) return config;
    std::erase_if(self->configs_, [](const auto& one) { return one.expired(); });
    const uint32_t id = ++self->last_id_;
    const auto forget = [weak = std::weak_ptr(self)](JudgedConfig* dead) {
      if (const auto registry = weak.lock()) registry->forget(dead->id());
      delete dead;
    };
    config = std::shared_ptr<JudgedConfig>(new JudgedConfig(id, std::move(text)), forget);
    self->configs_.push_back(config);
    self->unsent_.push_back(id);
  }
  self->on_news_();
  return config;
}

void ConfigRegistry::forget(uint32_t id) {
  {
    const std::lock_guard lock(forget_mutex_);
    forgotten_.push_back(id);
  }
  on_news_();
}

std::shared_ptr<JudgedConfig> ConfigRegistry::find_locked(uint32_t id) const {
  for (const auto& weak : configs_)
    if (auto known = weak.lock(); known && known->id() == id) return known;
  return nullptr;
}

std::shared_ptr<JudgedConfig> ConfigRegistry::find(uint32_t id) const {
  const std::lock_guard lock(mutex_);
  return find_locked(id);
}

std::vector<std::shared_ptr<JudgedConfig>> ConfigRegistry::all() const {
  std::vector<std::shared_ptr<JudgedConfig>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& weak : configs_)
    if (auto config = weak.lock()) out.push_back(std::move(config));
  return out;
}

std::shared_ptr<const Verdict> ConfigRegistry::wait_for_verdict(const JudgedConfig& config,
                                                                std::chrono::milliseconds limit) {
  constexpr Nanos kOneUpdate = nanos(std::chrono::milliseconds(1000));
  std::unique_lock lock(mutex_);
  const Nanos now = now_ns();
  // Configs that come within a second belong to one update and share its patience.
  if (now > update_until_ + kOneUpdate) update_until_ = now + nanos(limit);
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::nanoseconds(std::max<Nanos>(update_until_ - now, 0));
  std::shared_ptr<const Verdict> verdict;
  changed_.wait_until(lock, until, [&] {
    verdict = config.verdict(newest_);
    return verdict != nullptr || !host_expected_;
  });
  return verdict;
}

// ---- link thread ----

ConfigRegistry::News ConfigRegistry::take_news() {
  News news;
  {
    const std::lock_guard lock(mutex_);
    for (const uint32_t id : std::exchange(unsent_, {}))
      if (auto config = find_locked(id)) news.configs.push_back(std::move(config));
  }
  const std::lock_guard lock(forget_mutex_);
  news.forgotten.swap(forgotten_);
  return news;
}

void ConfigRegistry::begin_connection() {
  const auto configs = all();
  {
    const std::lock_guard lock(mutex_);
    unsent_.clear();
    for (const auto& config : configs) unsent_.push_back(config->id());
  }
  // This host has not heard of those.
  const std::lock_guard lock(forget_mutex_);
  forgotten_.clear();
}

void ConfigRegistry::begin_generation(GenerationId generation) {
  const std::lock_guard lock(mutex_);
  newest_ = generation;
}

void ConfigRegistry::end_generation(GenerationId generation) {
  for (const auto& config : all()) config->forget(generation);
}

void ConfigRegistry::end_generations() {
  for (const auto& config : all()) config->forget_all();
  const std::lock_guard lock(mutex_);
  newest_ = 0;
}

void ConfigRegistry::set_host_expected(bool expected) {
  {
    const std::lock_guard lock(mutex_);
    host_expected_ = expected;
  }
  changed_.notify_all();
}

std::shared_ptr<JudgedConfig> ConfigRegistry::judge(uint32_t config, GenerationId generation, Verdict verdict) {
  auto judged = find(config);
  if (!judged) return nullptr;
  {
    const std::lock_guard lock(mutex_);  // those who wait look at it under this mutex
    judged->judge(generation, std::move(verdict));
  }
  changed_.notify_all();
  return judged;
}

bool ConfigRegistry::has_judged_all(GenerationId generation) const {
  const auto configs = all();
  return std::all_of(configs.begin(), configs.end(),
                     [&](const auto& config) { return config->verdict(generation) != nullptr; });
}

}  // namespace tsf::core
