#include "addon/connection.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "addon/env_state.h"

namespace tsf::addon {
namespace {

// One talkative peer must not keep the loop from the others.
constexpr int kMessagesAtOnce = 32;

}  // namespace

Napi::Function Connection::define(Napi::Env env) {
  const Napi::Function constructor =
      DefineClass(env, "Connection",
                  {InstanceMethod<&Connection::send>("send"), InstanceMethod<&Connection::close>("close"),
                   InstanceMethod<&Connection::ref>("ref"), InstanceMethod<&Connection::unref>("unref")});
  EnvState::of(env).connection = Napi::Persistent(constructor);
  return constructor;
}

Napi::Value Connection::create(Napi::Env env, shm::UniqueFd socket) {
  EnvState& state = EnvState::of(env);
  state.next_connection = std::move(socket);
  return state.connection.New({});
}

Napi::Value Connection::connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) {
    throw_type_error(env, "the path must be a string");
    return env.Undefined();
  }
  const std::string path = info[0].As<Napi::String>();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    throw_error(env, "a socket path has 1 to 107 bytes: " + path);
    return env.Undefined();
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  shm::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Without blocking: a listener whose queue is full answers EAGAIN, which is an error here.
  if (!socket || ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw_errno(env, "connecting to " + path);
    return env.Undefined();
  }
  return create(env, std::move(socket));
}

Connection::Connection(const Napi::CallbackInfo& info) : ObjectWrap(info) { start(info); }

void Connection::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  shm::UniqueFd fd = std::move(EnvState::of(env).next_connection);
  if (!fd) return throw_type_error(env, "a Connection comes from a Listener or from connect()");
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return throw_errno(env, "SO_PEERCRED");
  const int error = poll_.open(
      env, [&](uv_loop_t* loop, uv_poll_t* handle) { return uv_poll_init(loop, handle, fd.get()); },
      [this](int, int) { ready(); });
  if (error != 0) return throw_error(env, std::string("watching a connection: ") + uv_strerror(error));
  auto self = info.This().As<Napi::Object>();
  self.DefineProperties({
      Napi::PropertyDescriptor::Value("peerUid", Napi::Number::New(env, peer.uid), napi_enumerable),
      Napi::PropertyDescriptor::Value("peerPid", Napi::Number::New(env, peer.pid), napi_enumerable),
      Napi::PropertyDescriptor::Value("onMessage", env.Null(), napi_default_jsproperty),
      Napi::PropertyDescriptor::Value("onClose", env.Null(), napi_default_jsproperty),
  });
  context_.emplace(env, "ts_filter.Connection");
  socket_.emplace(std::move(fd));
  watch();
  Ref();  // until the end: callbacks come to this object
}

void Connection::watch() {
  if (!poll_.is_open()) return;
  const int events = UV_READABLE | (socket_->wants_to_write() ? UV_WRITABLE : 0);
  if (events == std::exchange(watched_, events)) return;
  uv_poll_start(poll_.get(), events, LoopHandle<uv_poll_t>::emit);
}

void Connection::ready() {
  // The status is not asked: whatever is wrong, recvmsg says it better.
  socket_->flush();
  for (int i = 0; i < kMessagesAtOnce; i++) {
    Message message;
    switch (socket_->receive(message)) {
      case MessageSocket::Receive::kMessage:
        deliver(std::move(message));
        if (!poll_.is_open()) return;
        continue;
      case MessageSocket::Receive::kNothingNow: return watch();
      case MessageSocket::Receive::kEnd: return finish();
    }
  }
  watch();  // the rest is still readable: the loop comes back
}

void Connection::deliver(Message message) {
  const Napi::Env env = Env();
  Napi::HandleScope scope(env);
  const Napi::Value callback = Value().Get("onMessage");
  if (!callback.IsFunction()) return;  // and the descriptors close
  const auto payload =
      Napi::Buffer<char>::Copy(env, reinterpret_cast<const char*>(message.payload.data()), message.payload.size());
  auto fds = Napi::Array::New(env, message.fds.size());
  for (std::uint32_t i = 0; i < message.fds.size(); i++) fds[i] = Napi::Number::New(env, message.fds[i].get());
  if (call_back(env, *context_, Value(), callback, {Napi::Number::New(env, message.kind), payload, fds})) {
    for (shm::UniqueFd& fd : message.fds) (void)fd.release();  // the receiver's now, which may have closed some
  }
}

void Connection::finish() {
  const Napi::Env env = Env();
  Napi::HandleScope scope(env);
  const std::optional<std::string> reason = socket_->reason();
  const Napi::Object self = Value();
  stop();
  const Napi::Value callback = self.Get("onClose");
  if (!callback.IsFunction()) return;
  if (reason) {
    call_back(env, *context_, self, callback, {Napi::String::New(env, *reason)});
  } else {
    call_back(env, *context_, self, callback);
  }
}

void Connection::stop() {
  poll_.close();  // before its descriptor goes
  socket_.reset();
  Unref();
}

void Connection::send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber() || !info[1].IsTypedArray() ||
      info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return throw_type_error(env, "send needs a kind and a Uint8Array");
  }
  const auto payload = info[1].As<Napi::Uint8Array>();
  if (payload.ByteLength() > kMaxMessage) {
    Napi::RangeError::New(env, "a message has at most 16 MiB").ThrowAsJavaScriptException();
    return;
  }
  std::vector<int> fds;
  if (info[2].IsArray()) {
    const auto list = info[2].As<Napi::Array>();
    if (list.Length() > kMaxDescriptors) return throw_type_error(env, "a message carries at most 16 descriptors");
    for (std::uint32_t i = 0; i < list.Length(); i++) {
      const std::optional<int> fd = fd_argument(env, list.Get(i));
      if (!fd) return;
      fds.push_back(*fd);
    }
  }
  if (!poll_.is_open()) return;
  const auto* bytes = reinterpret_cast<const std::byte*>(payload.Data());
  socket_->send(info[0].As<Napi::Number>().Uint32Value(), {bytes, payload.ByteLength()}, fds);
  watch();
}

void Connection::close(const Napi::CallbackInfo&) {
  if (!poll_.is_open()) return;
  socket_->flush();
  stop();
}

void Connection::ref(const Napi::CallbackInfo&) { poll_.set_ref(true); }
void Connection::unref(const Napi::CallbackInfo&) { poll_.set_ref(false); }

}  // namespace tsf::addon
