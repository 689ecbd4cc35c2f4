// What the addon keeps for each environment (main thread or worker), and small helpers to talk with JavaScript.
#pragma once

#include "addon/napi.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "shm/fd.h"

namespace tsf::addon {

struct EnvState {
  Napi::FunctionReference connection;
  /// The socket for the Connection that is being constructed. JavaScript cannot fill it, so it cannot make one.
  shm::UniqueFd next_connection;

  static EnvState& of(Napi::Env env) { return *env.GetInstanceData<EnvState>(); }
};

inline void throw_type_error(Napi::Env env, const std::string& message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

inline void throw_error(Napi::Env env, const std::string& message) {
  Napi::Error::New(env, message).ThrowAsJavaScriptException();
}

/// Reads errno, so nothing may come between the failed call and this.
inline void throw_errno(Napi::Env env, const std::string& what) {
  throw_error(env, what + ": " + std::strerror(errno));
}

/// A descriptor argument; throws a TypeError and returns nothing when it is none.
inline std::optional<int> fd_argument(Napi::Env env, const Napi::Value& value) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 0x7fffffff) || number != static_cast<int>(number)) {
    throw_type_error(env, "a file descriptor must be an integer from 0");
    return std::nullopt;
  }
  return static_cast<int>(number);
}

/// Calls `function` from the event loop, as a callback of its own: microtasks and nextTicks that it queues run before
/// this returns. What it throws becomes an uncaught exception, because nobody above could catch it. False: it was not
/// called, since the thread is being terminated.
inline bool call_back(Napi::Env env, napi_async_context context, const Napi::Value& receiver,
                      const Napi::Value& function, std::initializer_list<napi_value> arguments = {}) {
  const napi_status status =
      napi_make_callback(env, context, receiver, function, arguments.size(), arguments.begin(), nullptr);
  if (status == napi_ok) return true;
  if (status != napi_pending_exception || !env.IsExceptionPending()) return false;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  return true;
}

}  // namespace tsf::addon
