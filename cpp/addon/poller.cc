#include "addon/poller.h"

#include <fcntl.h>

#include <utility>

#include "addon/env_state.h"

namespace tsf::addon {
namespace {

// Work that makes itself dirty again and again must not keep the loop from its other handles.
constexpr int kFlushesAtOnce = 16;

}  // namespace

Napi::Function Poller::define(Napi::Env env) {
  return DefineClass(env, "Poller",
                     {InstanceMethod<&Poller::close>("close"), InstanceMethod<&Poller::again>("again"),
                      InstanceMethod<&Poller::ref>("ref"), InstanceMethod<&Poller::unref>("unref")});
}

Poller::Poller(const Napi::CallbackInfo& info) : ObjectWrap(info) { start(info); }

void Poller::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<int> fd = fd_argument(env, info[0]);
  if (!fd) return;
  if (!info[1].IsFunction() || !info[2].IsFunction()) {
    return throw_type_error(env, "Poller needs a descriptor and the functions onWake and onFlush");
  }
  on_wake_ = Napi::Persistent(info[1].As<Napi::Function>());
  on_flush_ = Napi::Persistent(info[2].As<Napi::Function>());
  // Memory outside of V8's heap, so that its address stays.
  auto buffer = Napi::ArrayBuffer::New(env, sizeof(int32_t));
  dirty_buffer_ = Napi::Persistent(buffer);
  dirty_ = static_cast<int32_t*>(buffer.Data());
  info.This().As<Napi::Object>().DefineProperty(
      Napi::PropertyDescriptor::Value("dirty", Napi::Int32Array::New(env, 1, buffer, 0), napi_enumerable));
  context_.emplace(env, "ts_filter.Poller");
  if (watch(env, *fd)) Ref();  // until close(): callbacks come to this object
}

bool Poller::watch(Napi::Env env, int fd) {
  // A descriptor of our own: the caller may close its own at any time.
  shm::UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (own && shm::is_socket(own.get())) {
    socket_ = std::move(own);
  } else {
    shm::Doorbell doorbell(std::move(own));
    if (doorbell.fd() < 0 || !doorbell.listen()) {
      throw_errno(env, "watching the doorbell");
      return false;
    }
    doorbell_ = std::move(doorbell);
  }
  if (const int error = open_poll(env); error != 0) {
    poll_.close();
    idle_.close();
    prepare_.close();
    throw_error(env, std::string("watching the doorbell: ") + uv_strerror(error));
    return false;
  }
  idle_.set_ref(false);
  prepare_.set_ref(false);      // the poll handle alone decides whether the process lives
  if (!doorbell_) come_back();  // the first look needs no ring; an eventfd brings it itself
  return true;
}

int Poller::open_poll(Napi::Env env) {
  const int waits_at = doorbell_ ? doorbell_->wait_fd() : socket_.get();
  int error = poll_.open(
      env, [waits_at](uv_loop_t* loop, uv_poll_t* handle) { return uv_poll_init(loop, handle, waits_at); },
      [this](int, int) { rung(); });
  if (error == 0) error = uv_poll_start(poll_.get(), UV_READABLE, LoopHandle<uv_poll_t>::emit);
  if (error == 0) {
    error = idle_.open(env, uv_idle_init, [this](int, int) {
      uv_idle_stop(idle_.get());
      woken();
    });
  }
  if (error == 0) error = prepare_.open(env, uv_prepare_init, [this](int, int) { flush_dirty(); });
  if (error != 0) return error;
  return uv_prepare_start(prepare_.get(), [](uv_prepare_t* handle) { LoopHandle<uv_prepare_t>::emit(handle, 0, 0); });
}

void Poller::rung() {
  if (doorbell_) {
    doorbell_->drain();
  } else if (!shm::hear_socket(socket_.get())) {
    uv_poll_stop(poll_.get());  // readable for ever
  }
  woken();
}

void Poller::woken() {
  call(on_wake_);
  if (!poll_.is_open()) return;
  *dirty_ = 0;
  call(on_flush_);
}

void Poller::come_back() {
  if (idle_.is_open()) uv_idle_start(idle_.get(), [](uv_idle_t* handle) { LoopHandle<uv_idle_t>::emit(handle, 0, 0); });
}

void Poller::again(const Napi::CallbackInfo&) { come_back(); }

void Poller::flush_dirty() {
  for (int i = 0; *dirty_ != 0; i++) {
    // The loop is about to wait.
    if (i == kFlushesAtOnce) return come_back();
    *dirty_ = 0;
    call(on_flush_);
    if (!prepare_.is_open()) return;
  }
}

void Poller::call(const Napi::FunctionReference& function) {
  const Napi::Env env = Env();
  Napi::HandleScope scope(env);
  call_back(env, *context_, Value(), function.Value());
}

void Poller::close(const Napi::CallbackInfo&) {
  if (!poll_.is_open()) return;
  poll_.close();
  idle_.close();
  prepare_.close();
  doorbell_.reset();
  socket_.reset();
  Unref();
}

void Poller::ref(const Napi::CallbackInfo&) { poll_.set_ref(true); }
void Poller::unref(const Napi::CallbackInfo&) { poll_.set_ref(false); }

}  // namespace tsf::addon
