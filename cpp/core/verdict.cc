#include "core/verdict.h"

#include <algorithm>
#include <utility>

#include "exchange_generated.h"

namespace tsf::core {

void JudgedConfig::judge(GenerationId generation, Verdict verdict) {
  uint32_t wanted = wire::Phase_LogStart | wire::Phase_LogPeriodic;
  if (!verdict.attributes.empty()) wanted |= wire::Phase_Log;
  const std::lock_guard lock(mutex_);
  for (const Judged& judged : verdicts_)
    if (judged.generation == generation) return;
  logger_phases_.store(verdict.phases & wanted, std::memory_order_relaxed);  // relaxed: see logger_phases
  verdicts_.push_back({generation, std::make_shared<const Verdict>(std::move(verdict))});
}

const Verdict* KnownVerdicts::of(const std::shared_ptr<const JudgedConfig>& config) {
  for (const Known& known : known_)
    if (known.id == config->id()) return known.verdict.get();
  auto verdict = config->verdict(generation_);
  if (!verdict) return nullptr;
  std::erase_if(known_, [](const Known& known) { return known.config.expired(); });
  return known_.emplace_back(Known{config, config->id(), std::move(verdict)}).verdict.get();
}

}  // namespace tsf::core
