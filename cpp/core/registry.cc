#include "core/registry.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tsf::core {

UpdatePatience& UpdatePatience::of_process() {
  static UpdatePatience& patience = *new UpdatePatience();  // leaked: links live until the process ends
  return patience;
}

Nanos UpdatePatience::until(Nanos now, std::chrono::milliseconds limit) {
  constexpr Nanos kOneUpdate = nanos(std::chrono::milliseconds(1000));
  const std::lock_guard lock(mutex_);
  if (now > until_ + kOneUpdate) until_ = now + nanos(limit);
  return until_;
}

std::shared_ptr<JudgedConfig> ConfigRegistry::add(const std::shared_ptr<ConfigRegistry>& self, ConfigText text) {
  std::shared_ptr<JudgedConfig> config;
  {
    const std::lock_guard lock(self->mutex_);
    for (const auto& known : self->configs_)
      if (config = known.lock(); config && config->text() == text) return config;
    std::erase_if(self->configs_, [](const auto& one) { return one.expired(); });
    const uint32_t id = ++self->last_id_;
    const auto forget = [weak = std::weak_ptr(self)](JudgedConfig* dead) {
      delete dead;
      if (const auto registry = weak.lock()) registry->tell();
    };
    config = std::shared_ptr<JudgedConfig>(new JudgedConfig(id, std::move(text)), forget);
    self->configs_.push_back(config);
  }
  self->tell();
  return config;
}

void ConfigRegistry::tell() {
  changes_.fetch_add(1, std::memory_order_release);  // release: who sees it sees the config, or its end
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
  const Nanos now = now_ns();
  const Nanos rest = std::max<Nanos>(patience_.until(now, limit) - now, 0);
  const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(rest);
  std::unique_lock lock(mutex_);
  std::shared_ptr<const Verdict> verdict;
  changed_.wait_until(lock, until, [&] {
    verdict = config.verdict(newest_);
    return verdict != nullptr || !host_expected_;
  });
  return verdict;
}

// ---- link thread ----

GenerationId ConfigRegistry::begin_generation() {
  const std::lock_guard lock(mutex_);
  return ++newest_;
}

void ConfigRegistry::end_generation(GenerationId generation) {
  for (const auto& config : all()) config->forget(generation);
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

ConfigsTold::News ConfigsTold::take(const ConfigRegistry& configs) {
  const uint64_t changes = configs.changes();
  if (changes == seen_) return {};
  seen_ = changes;
  News news;
  std::vector<uint32_t> ids;
  for (auto& config : configs.all()) {
    ids.push_back(config->id());
    if (!std::binary_search(ids_.begin(), ids_.end(), config->id())) news.configs.push_back(std::move(config));
  }
  std::set_difference(ids_.begin(), ids_.end(), ids.begin(), ids.end(), std::back_inserter(news.forgotten));
  ids_ = std::move(ids);
  return news;
}

}  // namespace tsf::core
