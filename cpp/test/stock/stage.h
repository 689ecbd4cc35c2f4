// A worker with its host, and fake Envoys on it.
#pragma once

#include <memory>
#include <utility>

#include "fake_envoy.h"
#include "test/core/worker_stage.h"

namespace tsf::core::test {

class Stage : public WorkerStage {
 public:
  Stage() : Stage(Options{}) {}
  explicit Stage(Options options) : WorkerStage(options) { envoy_options.shared_flag = options.shared_flag; }

  std::unique_ptr<FakeEnvoy> open() { return std::make_unique<FakeEnvoy>(worker, loop, config, envoy_options); }

  EnvoyOptions envoy_options;
};

}  // namespace tsf::core::test
