// class Poller: a doorbell on the event loop. addon.d.ts says what it promises.
#pragma once

#include <uv.h>
#include "addon/napi.h"

#include <cstdint>
#include <optional>

#include "addon/loop_handle.h"
#include "shm/doorbell.h"

namespace tsf::addon {

class Poller : public Napi::ObjectWrap<Poller> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Poller(const Napi::CallbackInfo& info);

 private:
  void close(const Napi::CallbackInfo& info);
  void again(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void unref(const Napi::CallbackInfo& info);

  void start(const Napi::CallbackInfo& info);
  bool watch(Napi::Env env, int fd);
  int open_poll(Napi::Env env);
  void rung();
  void woken();
  void come_back();
  void flush_dirty();
  void call(const Napi::FunctionReference& function);

  Napi::FunctionReference on_wake_;
  Napi::FunctionReference on_flush_;
  Napi::Reference<Napi::ArrayBuffer> dirty_buffer_;
  int32_t* dirty_ = nullptr;
  std::optional<Napi::AsyncContext> context_;
  // The one or the other: a host waits at a socket, a test that plays Envoy at an eventfd.
  shm::UniqueFd socket_;
  std::optional<shm::Doorbell> doorbell_;
  LoopHandle<uv_poll_t> poll_;
  LoopHandle<uv_idle_t> idle_;  // runs: the loop does not wait, and comes back with a wake-up
  LoopHandle<uv_prepare_t> prepare_;
};

}  // namespace tsf::addon
