// The Node addon: shared memory, doorbells and the handshake's socket. addon.d.ts lists the exports.
#include "addon/napi.h"

#include <unistd.h>

#include <memory>
#include <optional>

#include "addon/connection.h"
#include "addon/env_state.h"
#include "addon/listener.h"
#include "addon/memory.h"
#include "addon/output_pump.h"
#include "addon/poller.h"
#include "shm/doorbell.h"

namespace tsf::addon {
namespace {

void ring(const Napi::CallbackInfo& info) {
  if (const std::optional<int> fd = fd_argument(info.Env(), info[0])) shm::ring_doorbell(*fd);
}

void ring_host(const Napi::CallbackInfo& info) {
  if (const std::optional<int> fd = fd_argument(info.Env(), info[0])) shm::ring_socket(*fd);
}

void close_fd(const Napi::CallbackInfo& info) {
  const std::optional<int> fd = fd_argument(info.Env(), info[0]);
  if (fd && ::close(*fd) != 0) throw_errno(info.Env(), "closing a descriptor");
}

// Node waits for its threads before it ends, and one inside native code may never come back.
void exit_now(const Napi::CallbackInfo& info) {
  OutputPump::finish();
  ::_exit(info[0].ToNumber().Int32Value());
}

void pump_output(const Napi::CallbackInfo& info) {
  if (!OutputPump::start_both()) throw_errno(info.Env(), "putting pipes before stdout and stderr");
}

Napi::Value create_doorbell(const Napi::CallbackInfo& info) {
  std::optional<shm::Doorbell> doorbell = shm::Doorbell::create();
  if (!doorbell) {
    throw_errno(info.Env(), "making a doorbell");
    return info.Env().Undefined();
  }
  return Napi::Number::New(info.Env(), doorbell->release());
}

Napi::Value create_host_doorbell(const Napi::CallbackInfo& info) {
  std::optional<shm::HostDoorbell> doorbell = shm::HostDoorbell::create();
  if (!doorbell) {
    throw_errno(info.Env(), "making a doorbell");
    return info.Env().Undefined();
  }
  auto ends = Napi::Object::New(info.Env());
  ends["host"] = Napi::Number::New(info.Env(), doorbell->take_host_end().release());
  ends["module"] = Napi::Number::New(info.Env(), doorbell->release());
  return ends;
}

void define(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(std::make_unique<EnvState>().release());  // deleted by the environment
  define_memory(env, exports);
  exports["ring"] = Napi::Function::New<ring>(env, "ring");
  exports["ringHost"] = Napi::Function::New<ring_host>(env, "ringHost");
  exports["closeFd"] = Napi::Function::New<close_fd>(env, "closeFd");
  exports["exitNow"] = Napi::Function::New<exit_now>(env, "exitNow");
  exports["pumpOutput"] = Napi::Function::New<pump_output>(env, "pumpOutput");
  exports["createDoorbell"] = Napi::Function::New<create_doorbell>(env, "createDoorbell");
  exports["createHostDoorbell"] = Napi::Function::New<create_host_doorbell>(env, "createHostDoorbell");
  exports["connect"] = Napi::Function::New<Connection::connect>(env, "connect");
  exports["Poller"] = Poller::define(env);
  exports["Listener"] = Listener::define(env);
  exports["Connection"] = Connection::define(env);
}

}  // namespace
}  // namespace tsf::addon

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  tsf::addon::define(env, exports);
  return exports;
}

NODE_API_MODULE(ts_filter_addon, init)
