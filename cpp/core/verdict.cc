#include "core/verdict.h"

#include <algorithm>
#include <utility>

#include "exchange_generated.h"

namespace tsf::core {

void JudgedConfig::judge(GenerationId generation, Verdict verdict) {
  uint32_t wanted = wire::Phase_LogStart | wire::Phase_LogPeriodic;
  if (!verdict.attributes.empty()) wanted |= wire::Phase_Log;
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(verdicts_.begin(), verdicts_.end(),
                                  [&](const Judged& judged) { return judged.generation == generation; });
  if (known != verdicts_.end() && !known->verdict->unavailable && !verdict.unavailable) return;
  // relaxed: see logger_phases
  if (!verdict.unavailable) logger_phases_.store(verdict.phases & wanted, std::memory_order_relaxed);
  set_hookless(generation, verdict.accepted && verdict.phases == 0);
  auto kept = std::make_shared<const Verdict>(std::move(verdict));
  if (known != verdicts_.end()) {
    known->verdict = std::move(kept);
  } else {
    verdicts_.push_back({generation, std::move(kept)});
  }
}

void JudgedConfig::forget(GenerationId generation) {
  const std::lock_guard lock(mutex_);
  std::erase_if(verdicts_, [&](const Judged& judged) { return judged.generation == generation; });
  set_hookless(generation, false);
}

void JudgedConfig::set_hookless(GenerationId generation, bool is_hookless) {
  if (is_hookless) {
    hookless_in_.store(generation, std::memory_order_relaxed);  // relaxed: see hookless_in
  } else if (hookless_in() == generation) {
    hookless_in_.store(0, std::memory_order_relaxed);  // relaxed: as above
  }
}

const Verdict* KnownVerdicts::of(const std::shared_ptr<const JudgedConfig>& config) {
  const auto known = known_.find(config->id());
  if (known != known_.end() && !known->second.verdict->unavailable) return known->second.verdict.get();
  auto verdict = config->verdict(generation_);
  if (!verdict) return nullptr;
  // No stream has begun with it.
  if (known != known_.end()) return (known->second.verdict = std::move(verdict)).get();
  forget_dead();
  return known_.emplace(config->id(), Known{config, std::move(verdict)}).first->second.verdict.get();
}

// A connection may outlive many updates of the configuration.
void KnownVerdicts::forget_dead() {
  if (known_.size() < look_for_dead_at_) return;
  std::erase_if(known_, [](const auto& entry) { return entry.second.config.expired(); });
  look_for_dead_at_ = std::max<size_t>(64, 2 * known_.size());
}

}  // namespace tsf::core
