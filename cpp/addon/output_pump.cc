#include "addon/output_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

namespace tsf::addon {
namespace {

/// Bytes of one read, and of one write: of the last write nobody knows how much has gone when the process ends.
constexpr size_t kPiece = 64 << 10;
constexpr size_t kWrite = 16 << 10;
/// Under a load that its reader cannot follow, a loss is told that often.
constexpr int64_t kTellMs = 10'000;
/// At the end: a reader that takes nothing for so long does not read; and what is waited for at most.
constexpr int64_t kStandstillMs = 150;
constexpr int64_t kFlushMs = 1000;

/// Leaked: their threads run until the process is gone.
OutputPump* pumps[2] = {nullptr, nullptr};

int64_t now_ms(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

void pause_ms(int milliseconds) {
  timespec t{.tv_sec = 0, .tv_nsec = milliseconds * 1'000'000L};
  nanosleep(&t, nullptr);
}

// V8 writes why it gives up to stderr and calls abort(), which leaves our threads no time. abort() goes on after this.
void on_abort(int) { OutputPump::flush_both(); }

uint64_t lines_in(std::string_view bytes) {
  const auto ended = static_cast<uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  return ended + (bytes.empty() || bytes.back() == '\n' ? 0 : 1);
}

}  // namespace

bool OutputPump::start_both() {
  if (pumps[0] != nullptr) return true;
  std::unique_ptr<OutputPump> out = make(STDOUT_FILENO);
  std::unique_ptr<OutputPump> err = make(STDERR_FILENO);
  if (out == nullptr || err == nullptr) return false;
  out->other_ = err.get();
  err->other_ = out.get();
  pumps[0] = out.release();
  pumps[1] = err.release();
  // Signals are for Node's own thread; the new ones inherit the mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool is_running = pumps[0]->run() && pumps[1]->run();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::atexit(finish);
  std::signal(SIGABRT, on_abort);
  return is_running;
}

std::unique_ptr<OutputPump> OutputPump::make(int fd) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return nullptr;
  shm::UniqueFd read_end(ends[0]);
  shm::UniqueFd write_end(ends[1]);
  shm::UniqueFd real(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!real) return nullptr;
  // A larger one is not needed: it spares wake-ups.
  (void)::fcntl(write_end.get(), F_SETPIPE_SZ, static_cast<int>(kMost));
  return std::unique_ptr<OutputPump>(new OutputPump(fd, {std::move(read_end), std::move(write_end), std::move(real)}));
}

bool OutputPump::run() {
  using Main = void* (*)(void*);
  const Main mains[] = {[](void* pump) -> void* { return static_cast<OutputPump*>(pump)->read_on(), nullptr; },
                        [](void* pump) -> void* { return static_cast<OutputPump*>(pump)->write_on(), nullptr; }};
  for (const Main main : mains) {
    pthread_t thread;
    if (const int error = pthread_create(&thread, nullptr, main, this); error != 0) {
      errno = error;
      return false;
    }
    pthread_detach(thread);
  }
  // Not close-on-exec: processes that filters start inherit it, as they would have inherited the real one.
  const bool is_placed = ::dup2(write_end_.get(), fd_) >= 0;
  write_end_.reset();
  return is_placed;
}

void OutputPump::flush_both() {
  const int64_t began = now_ms(CLOCK_MONOTONIC);
  int64_t moved_at = began;
  uint64_t gone = 0;
  for (;;) {
    if (pumps[0] == nullptr || (pumps[0]->is_drained() && pumps[1]->is_drained())) return;
    const int64_t now = now_ms(CLOCK_MONOTONIC);
    const uint64_t gone_now = pumps[0]->counts_.gone.load() + pumps[1]->counts_.gone.load();
    if (gone_now != gone) moved_at = now;
    gone = gone_now;
    if (now - moved_at > kStandstillMs || now - began > kFlushMs) return;
    pause_ms(1);
  }
}

void OutputPump::finish() {
  if (pumps[0] == nullptr) return;
  flush_both();
  for (OutputPump* pump : pumps) pump->tell_elsewhere();
  flush_both();
}

bool OutputPump::is_drained() const {
  int waiting = 0;
  if (::ioctl(pipe_.get(), FIONREAD, &waiting) == 0 && waiting > 0) return false;
  return !counts_.is_taking.load() && counts_.taken.load() == counts_.gone.load();
}

void OutputPump::read_on() {
  const std::unique_ptr<char[]> piece(new char[kPiece]);
  for (;;) {
    pollfd readable{.fd = pipe_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, -1) < 0) continue;
    counts_.is_taking.store(true);
    const ssize_t n = ::read(pipe_.get(), piece.get(), kPiece);
    if (n > 0) {
      const std::lock_guard lock(mutex_);
      counts_.taken.fetch_add(static_cast<uint64_t>(n));
      take({piece.get(), static_cast<size_t>(n)});
    }
    counts_.is_taking.store(false);
    more_.notify_one();
    // Nobody has the other end: this process has closed its own, and no child is left that could write.
    if (n == 0) return;
  }
}

void OutputPump::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const bool ends_line = end != std::string_view::npos;
    const std::string_view piece = bytes.substr(0, ends_line ? end + 1 : bytes.size());
    take_piece(piece, ends_line);
    bytes.remove_prefix(piece.size());
  }
}

void OutputPump::take_piece(std::string_view piece, bool ends_line) {
  using Is = Line::Is;
  if (line_.is == Is::kLost || queue_.size() + piece.size() > kMost) {
    lose_line();
    counts_.gone.fetch_add(piece.size());
    line_.is = ends_line ? Is::kNone : Is::kLost;
    return;
  }
  if (line_.is == Is::kNone) line_ = {Is::kQueued, queue_.size()};
  queue_ += piece;
  if (ends_line) line_.is = Is::kNone;
}

void OutputPump::lose_line() {
  if (line_.is != Line::Is::kLost) counts_.untold.fetch_add(1, std::memory_order_relaxed);
  if (line_.is == Line::Is::kQueued) {
    counts_.gone.fetch_add(queue_.size() - line_.begin);
    queue_.resize(line_.begin);
  } else if (line_.is == Line::Is::kWithWriter) {
    // Of one that is longer than the queue: nothing else may follow in the same line.
    queue_ += '\n';
    counts_.taken.fetch_add(1);
  }
}

void OutputPump::write_on() {
  std::string batch;
  bool is_whole = true;
  for (;;) {
    size_t counted = 0;
    {
      std::unique_lock lock(mutex_);
      more_.wait(lock, [&] { return !queue_.empty() || (is_whole && !notice_.empty()); });
      std::swap(batch, queue_);
      if (line_.is == Line::Is::kQueued) line_.is = Line::Is::kWithWriter;
      is_whole = batch.empty() || batch.back() == '\n';
      if (is_whole) batch += std::exchange(notice_, {});
      counted = batch.size();
    }
    // A line whose end could not be written.
    if (std::exchange(is_torn_, false)) batch.insert(0, 1, '\n');
    const bool is_written = write_all(batch);
    counts_.gone.fetch_add(counted);
    batch.clear();
    if (is_written && is_whole) tell_lost();
  }
}

bool OutputPump::write_all(std::string_view bytes) {
  char last = '\n';
  counts_.under_way.store(lines_in(bytes), std::memory_order_relaxed);
  while (!bytes.empty()) {
    const ssize_t n = ::write(real_.get(), bytes.data(), std::min(bytes.size(), kWrite));
    if (n > 0) {
      last = bytes[static_cast<size_t>(n) - 1];
      bytes.remove_prefix(static_cast<size_t>(n));
      counts_.under_way.store(lines_in(bytes), std::memory_order_relaxed);
      error_ = 0;
    } else if (errno == EAGAIN) {
      // Whoever shares it with us has made it so.
      pollfd writable{.fd = real_.get(), .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      is_torn_ = last != '\n';
      counts_.under_way.store(0, std::memory_order_relaxed);
      const int error = errno;
      counts_.untold.fetch_add(lines_in(bytes), std::memory_order_relaxed);
      broken(error);
      return false;
    }
  }
  return true;
}

void OutputPump::broken(int error) {
  const int64_t now = now_ms(CLOCK_MONOTONIC);
  if (error_ == error && now - told_at_ms_ < kTellMs) return;
  error_ = error;
  told_at_ms_ = now;
  const uint64_t lost = counts_.untold.load(std::memory_order_relaxed);
  other_->notify(name() + " cannot be written (" + std::strerror(error) + "), lines lost until now: ", lost);
}

void OutputPump::tell_lost() {
  const int64_t now = now_ms(CLOCK_MONOTONIC);
  const uint64_t lost = counts_.untold.load(std::memory_order_relaxed);
  if (lost == 0) return;
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.empty() && now - told_at_ms_ < kTellMs) return;
  }
  told_at_ms_ = now;
  // Before the write: what is lost while it waits is not in it.
  counts_.untold.fetch_sub(lost, std::memory_order_relaxed);
  if (write_all(line_of("its reader was too slow for " + name() + ", lines lost: ", lost))) return;
  counts_.untold.fetch_add(lost, std::memory_order_relaxed);
}

void OutputPump::tell_elsewhere() {
  uint64_t lost = counts_.untold.exchange(0, std::memory_order_relaxed);
  {
    // What still waits is lost with the process: it is not to come all the same.
    const std::lock_guard lock(mutex_);
    lost += lines_in(queue_) + counts_.under_way.load(std::memory_order_relaxed);
    counts_.gone.fetch_add(queue_.size());
    queue_.clear();
    line_.is = Line::Is::kNone;
  }
  if (lost > 0) other_->notify("nobody has taken what was written to " + name() + ", lines lost: ", lost);
}

void OutputPump::notify(const std::string& text, uint64_t lost) {
  const std::lock_guard lock(mutex_);
  const std::string line = line_of(text, lost);
  // One that cannot be written either does not gather them.
  if (notice_.size() + line.size() > kPiece) return;
  notice_ += line;
  counts_.taken.fetch_add(line.size());
  more_.notify_one();
}

std::string OutputPump::name() const { return fd_ == STDOUT_FILENO ? "stdout" : "stderr"; }

std::string OutputPump::line_of(const std::string& text, uint64_t lost) const {
  const std::string count = std::to_string(lost);
  if (fd_ == STDERR_FILENO) return "ts-filter-host: " + text + count + "\n";
  return R"({"level":40,"time":)" + std::to_string(now_ms(CLOCK_REALTIME)) + R"(,"pid":)" + std::to_string(::getpid()) +
         R"(,"code":"TSF_LOG_LINES_LOST","lost":)" + count + R"(,"msg":")" + text + count + "\"}\n";
}

}  // namespace tsf::addon
