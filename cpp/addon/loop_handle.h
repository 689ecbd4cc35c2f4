// A libuv handle with an owner, that closes itself when its environment ends.
//
// libuv may use a handle's memory until its close callback has run, and a handle that is still open when a worker is
// terminated aborts the process. So the memory is shared with libuv until then, and an asynchronous cleanup hook makes
// the environment wait for it.
#pragma once

#include <uv.h>
#include "addon/napi.h"

#include <functional>
#include <memory>
#include <utility>

namespace tsf::addon {

template <typename Handle>
class LoopHandle {
 public:
  LoopHandle() = default;
  LoopHandle(const LoopHandle&) = delete;
  LoopHandle& operator=(const LoopHandle&) = delete;
  ~LoopHandle() { close(); }

  /// `init(loop, handle)` is a uv_*_init; 0 is success. `event` is called by emit() until close().
  template <typename Init>
  int open(Napi::Env env, Init init, std::function<void(int status, int events)> event) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return UV_EINVAL;
    auto inner = std::make_shared<Inner>();
    inner->event = std::move(event);
    inner->handle.data = inner.get();
    if (const int error = init(loop, &inner->handle); error != 0) return error;
    inner->libuv = inner;
    inner_ = std::move(inner);
    const auto ended = [](napi_async_cleanup_hook_handle, void* data) { static_cast<Inner*>(data)->close(); };
    if (napi_add_async_cleanup_hook(env, ended, inner_.get(), &inner_->hook) != napi_ok) {
      close();
      return UV_ENOMEM;
    }
    return 0;
  }

  /// No event comes after this; also from inside one.
  void close() {
    if (inner_) inner_->close();
    inner_.reset();
  }

  bool is_open() const { return inner_ && !inner_->closing; }
  Handle* get() const { return is_open() ? &inner_->handle : nullptr; }

  void set_ref(bool on) {
    if (!is_open()) return;
    auto* handle = reinterpret_cast<uv_handle_t*>(&inner_->handle);
    on ? uv_ref(handle) : uv_unref(handle);
  }

  /// For the libuv callback.
  static void emit(Handle* handle, int status, int events) {
    // Held here, since the event may close and drop its own handle.
    const std::shared_ptr<Inner> inner = static_cast<Inner*>(handle->data)->libuv;
    if (inner && !inner->closing) inner->event(status, events);
  }

 private:
  struct Inner {
    Handle handle{};
    std::function<void(int, int)> event;
    napi_async_cleanup_hook_handle hook = nullptr;
    bool closing = false;
    std::shared_ptr<Inner> libuv;  // libuv's share, from init to the close callback

    void close() {
      if (std::exchange(closing, true)) return;
      uv_close(reinterpret_cast<uv_handle_t*>(&handle), [](uv_handle_t* closed) {
        const std::shared_ptr<Inner> last = std::move(static_cast<Inner*>(closed->data)->libuv);
        if (last->hook != nullptr) napi_remove_async_cleanup_hook(last->hook);
      });
    }
  };

  std::shared_ptr<Inner> inner_;
};

}  // namespace tsf::addon
