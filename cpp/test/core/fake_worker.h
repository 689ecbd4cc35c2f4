// A worker's event loop and the process around it, for tests.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/mount.h"
#include "core/worker.h"

namespace tsf::core::test {

// Posts of wakers; the stand-in for the worker's dispatcher.
class Loop {
 public:
  struct Target {
    bool alive = true;
  };
  void post(const std::shared_ptr<Target>& target) { posts_.push_back(target); }
  bool idle() const { return posts_.empty(); }
  void turn(Worker& worker) {
    std::deque<std::shared_ptr<Target>> posts;
    posts.swap(posts_);
    for (const auto& target : posts)
      if (target->alive) worker.run();
  }

 private:
  std::deque<std::shared_ptr<Target>> posts_;
};

class FakeWaker final : public Waker {
 public:
  FakeWaker(Loop& loop, std::shared_ptr<Loop::Target> target) : loop_(loop), target_(std::move(target)) {}
  void wake() override {
    if (target_->alive) loop_.post(target_);
  }

 private:
  Loop& loop_;
  std::shared_ptr<Loop::Target> target_;
};

class FakeProcess final : public ProcessMount {
 public:
  explicit FakeProcess(bool shared_flag) : shared_flag_(shared_flag) {}
  void log(LogLevel level, std::string_view text) override { lines.emplace_back(level, text); }
  bool log_enabled(LogLevel) const override { return true; }
  uint32_t capabilities() const override { return 0; }
  std::string_view envoy_version() const override { return shared_flag_ ? "1.38" : "1.40"; }
  bool logged(std::string_view part) const {
    for (const auto& [level, text] : lines)
      if (text.find(part) != std::string::npos) return true;
    return false;
  }

  std::vector<std::pair<LogLevel, std::string>> lines;

 private:
  const bool shared_flag_;
};

}  // namespace tsf::core::test
