// class Connection: one peer on the event loop. addon.d.ts says what it promises.
#pragma once

#include <uv.h>
#include "addon/napi.h"

#include <optional>

#include "addon/loop_handle.h"
#include "addon/message_socket.h"

namespace tsf::addon {

class Connection : public Napi::ObjectWrap<Connection> {
 public:
  static Napi::Function define(Napi::Env env);
  /// A Connection on this socket; empty with a pending exception.
  static Napi::Value create(Napi::Env env, shm::UniqueFd socket);
  /// connect(path)
  static Napi::Value connect(const Napi::CallbackInfo& info);

  /// Only by create().
  explicit Connection(const Napi::CallbackInfo& info);

 private:
  void start(const Napi::CallbackInfo& info);
  void send(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void unref(const Napi::CallbackInfo& info);

  void ready();
  void deliver(Message message);
  void finish();
  void stop();
  void watch();

  std::optional<MessageSocket> socket_;
  std::optional<Napi::AsyncContext> context_;
  LoopHandle<uv_poll_t> poll_;
  int watched_ = 0;
};

}  // namespace tsf::addon
