// class Listener: the host's unix socket. addon.d.ts says what it promises.
#pragma once

#include <sys/types.h>
#include <uv.h>
#include "addon/napi.h"

#include <optional>
#include <string>

#include "addon/loop_handle.h"
#include "shm/fd.h"

namespace tsf::addon {

class Listener : public Napi::ObjectWrap<Listener> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Listener(const Napi::CallbackInfo& info);
  ~Listener() override { remove_path(); }

 private:
  void start(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void unref(const Napi::CallbackInfo& info);

  /// What failed, or nothing; errno tells why.
  const char* bind_and_listen();
  void accept(int limit);
  void refuse_one();
  void remove_path();

  std::string path_;
  mode_t mode_ = 0600;
  bool bound_ = false;
  bool closing_ = false;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  shm::UniqueFd socket_;
  shm::UniqueFd spare_;
  Napi::FunctionReference on_connection_;
  std::optional<Napi::AsyncContext> context_;
  LoopHandle<uv_poll_t> poll_;
};

}  // namespace tsf::addon
