// A worker's event loop and the process around it, for tests.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/mount.h"
#include "core/worker.h"

namespace tsf::core::test {

// Posts of wakers; the stand-in for the worker's dispatcher. Any thread posts, the worker's takes.
class Loop {
 public:
  struct Target {
    std::atomic<bool> alive = true;
  };
  void post(const std::shared_ptr<Target>& target) {
    const std::lock_guard lock(mutex_);
    posts_.push_back(target);
  }
  bool idle() const {
    const std::lock_guard lock(mutex_);
    return posts_.empty();
  }
  void turn(Worker& worker) {
    std::deque<std::shared_ptr<Target>> posts;
    {
      const std::lock_guard lock(mutex_);
      posts.swap(posts_);
    }
    for (const auto& target : posts)
      if (target->alive) worker.run();
  }

 private:
  mutable std::mutex mutex_;
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
  void log(LogLevel level, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    lines.emplace_back(level, text);
  }
  bool log_enabled(LogLevel) const override { return true; }
  uint32_t capabilities() const override { return 0; }
  std::string_view envoy_version() const override { return shared_flag_ ? "1.38" : "1.40"; }
  bool logged(std::string_view part) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [level, text] : lines)
      if (text.find(part) != std::string::npos) return true;
    return false;
  }

  // To be read while no other thread of ours runs.
  std::vector<std::pair<LogLevel, std::string>> lines;

 private:
  mutable std::mutex mutex_;
  const bool shared_flag_;
};

}  // namespace tsf::core::test
