#include "addon/listener.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "addon/connection.h"
#include "addon/env_state.h"

namespace tsf::addon {
namespace {

constexpr int kBacklog = 128;
constexpr int kAcceptsAtOnce = 16;

// In the same directory, so that rename() is atomic; unguessable, so that nobody lies in wait there.
std::string temporary_name(const std::string& path) {
  std::uint32_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) return {};
  char name[16];
  std::snprintf(name, sizeof name, ".ts-%08x", number);
  const std::size_t slash = path.rfind('/');
  return (slash == std::string::npos ? std::string() : path.substr(0, slash + 1)) + name;
}

// The socket at that name and not what somebody may have put in its place: a descriptor of the file itself.
shm::UniqueFd socket_file(const std::string& name, struct stat& status) {
  shm::UniqueFd file(::open(name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const bool is_ours =
      file && ::fstat(file.get(), &status) == 0 && S_ISSOCK(status.st_mode) && status.st_uid == ::geteuid();
  if (!is_ours && file) errno = EEXIST;
  return is_ours ? std::move(file) : shm::UniqueFd();
}

}  // namespace

Napi::Function Listener::define(Napi::Env env) {
  return DefineClass(env, "Listener",
                     {InstanceMethod<&Listener::close>("close"), InstanceMethod<&Listener::ref>("ref"),
                      InstanceMethod<&Listener::unref>("unref")});
}

Listener::Listener(const Napi::CallbackInfo& info) : ObjectWrap(info) { start(info); }

void Listener::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsFunction()) {
    return throw_type_error(env, "Listener needs a path and the function onConnection");
  }
  path_ = info[0].As<Napi::String>();
  if (info[2].IsNumber()) mode_ = info[2].As<Napi::Number>().Uint32Value() & 0777;
  on_connection_ = Napi::Persistent(info[1].As<Napi::Function>());
  spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (const char* step = bind_and_listen(); step != nullptr) {
    return throw_errno(env, std::string(step) + " " + path_);
  }
  int error = poll_.open(
      env, [this](uv_loop_t* loop, uv_poll_t* handle) { return uv_poll_init(loop, handle, socket_.get()); },
      [this](int, int) { accept(kAcceptsAtOnce); });
  if (error == 0) error = uv_poll_start(poll_.get(), UV_READABLE, LoopHandle<uv_poll_t>::emit);
  if (error != 0) return throw_error(env, std::string("watching ") + path_ + ": " + uv_strerror(error));
  context_.emplace(env, "ts_filter.Listener");
  Ref();  // until close(): callbacks come to this object
}

const char* Listener::bind_and_listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string temporary = temporary_name(path_);
  if (path_.empty() || path_.size() >= sizeof address.sun_path || temporary.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return "the socket path";
  }
  struct stat status {};
  // rename() would silently replace a file that is none of ours.
  if (::lstat(path_.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
    errno = EEXIST;
    return "not a socket:";
  }
  std::memcpy(address.sun_path, temporary.data(), temporary.size());
  socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Before bind(): Linux gives the new file the socket's own mode, so it is never open to more than it should, and the
  // umask, which belongs to all threads, stays alone.
  if (!socket_ || ::fchmod(socket_.get(), 0600) != 0) return "making a socket for";
  if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "binding";
  const shm::UniqueFd file = socket_file(temporary, status);
  // A descriptor of O_PATH cannot be changed, but what /proc has for it can.
  const std::string itself = "/proc/self/fd/" + std::to_string(file.get());
  // Listening first: whoever finds the path finds a listener.
  if (!file || ::chmod(itself.c_str(), mode_) != 0 || ::listen(socket_.get(), kBacklog) != 0 ||
      ::rename(temporary.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    errno = error;
    return "listening on";
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
  bound_ = true;
  return nullptr;
}

void Listener::accept(int limit) {
  const Napi::Env env = Env();
  for (int i = 0; i < limit; i++) {
    shm::UniqueFd peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!peer) {
      if ((errno == EMFILE || errno == ENFILE) && !closing_) refuse_one();
      return;  // EAGAIN, or a peer that gave up: the loop tells of the next
    }
    Napi::HandleScope scope(env);
    const Napi::Value connection = Connection::create(env, std::move(peer));
    if (env.IsExceptionPending()) env.GetAndClearPendingException();
    if (connection.IsEmpty() || !connection.IsObject()) continue;  // the peer's socket is closed, it sees that
    call_back(env, *context_, Value(), on_connection_.Value(), {connection});
    if (!poll_.is_open()) return;
  }
}

// No descriptor is left, and a connection that is not accepted would keep the loop busy: take it and drop it.
void Listener::refuse_one() {
  spare_.reset();
  shm::UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void Listener::remove_path() {
  struct stat status {};
  if (std::exchange(bound_, false) && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

void Listener::close(const Napi::CallbackInfo&) {
  if (!poll_.is_open() || std::exchange(closing_, true)) return;
  remove_path();
  // Whoever found us before another took the path over waits in our queue, and would be cut off with it.
  accept(kBacklog);
  poll_.close();  // before its descriptor goes
  socket_.reset();
  Unref();
}

void Listener::ref(const Napi::CallbackInfo&) { poll_.set_ref(true); }
void Listener::unref(const Napi::CallbackInfo&) { poll_.set_ref(false); }

}  // namespace tsf::addon
