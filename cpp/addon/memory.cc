#include "addon/memory.h"

#include <fcntl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "addon/env_state.h"
#include "shm/layout.h"
#include "shm/segment.h"

namespace tsf::addon {
namespace {

using shm::Result;
using shm::Segment;

// The memory goes when unmap() is called or when V8 drops the last buffer on it, whichever is first; each of the two
// holds a share. A buffer can be detached behind our back (transfer()), so neither may own it alone.
using Mapping = std::shared_ptr<std::optional<Segment>>;

constexpr napi_type_tag kTag = {0x7a3c0f0e5d2b41c9, 0x9be6a1d4c8f70235};

void drop_share(napi_env, void*, void* share) { std::unique_ptr<Mapping> owner(static_cast<Mapping*>(share)); }

Napi::Value to_buffer(Napi::Env env, Result<Segment> segment) {
  if (!segment) {
    throw_error(env, segment.error);
    return env.Undefined();
  }
  const auto bytes = segment->bytes();
  // For a read-only mapping: JavaScript has no read-only buffers. Who gets it is told in addon.d.ts.
  auto* base = const_cast<std::byte*>(bytes.data());
  const auto mapping = std::make_shared<std::optional<Segment>>(std::move(*segment));
  auto share = std::make_unique<Mapping>(mapping);
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, base, bytes.size(), drop_share, share.get(), &buffer) != napi_ok) {
    throw_error(env, "this runtime allows no external memory");
    return env.Undefined();
  }
  (void)share.release();  // V8's now
  share = std::make_unique<Mapping>(mapping);
  if (napi_type_tag_object(env, buffer, &kTag) != napi_ok ||
      napi_wrap(
          env, buffer, share.get(), [](napi_env e, void* data, void*) { drop_share(e, nullptr, data); }, nullptr,
          nullptr) != napi_ok) {
    throw_error(env, "marking the buffer failed");
    return env.Undefined();
  }
  (void)share.release();  // the wrap's
  return Napi::Value(env, buffer);
}

Napi::Value map(const Napi::CallbackInfo& info, Result<Segment> (*open)(int)) {
  const Napi::Env env = info.Env();
  const std::optional<int> fd = fd_argument(env, info[0]);
  if (!fd) return env.Undefined();
  if (!info[1].IsNumber()) {
    throw_type_error(env, "the expected size in bytes must be a number");
    return env.Undefined();
  }
  Result<Segment> segment = open(*fd);
  const double expected = info[1].As<Napi::Number>().DoubleValue();
  if (segment && static_cast<double>(segment->bytes().size()) != expected) {
    segment = {std::nullopt, "the memory file has " + std::to_string(segment->bytes().size()) + " bytes, not " +
                                 info[1].ToString().Utf8Value()};
  }
  return to_buffer(env, std::move(segment));
}

Napi::Value map_outbound(const Napi::CallbackInfo& info) { return map(info, Segment::open_outbound); }
Napi::Value map_inbound(const Napi::CallbackInfo& info) { return map(info, Segment::open_inbound); }

void unmap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  bool ours = false;
  void* share = nullptr;
  if (!info[0].IsArrayBuffer() || napi_check_object_type_tag(env, info[0], &kTag, &ours) != napi_ok || !ours) {
    return throw_type_error(env, "not a buffer that this addon has mapped");
  }
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  if (buffer.IsDetached() || napi_unwrap(env, buffer, &share) != napi_ok) {
    return throw_error(env, "the buffer was unmapped before");
  }
  const Mapping mapping = *static_cast<Mapping*>(share);
  if (napi_detach_arraybuffer(env, buffer) != napi_ok) return throw_error(env, "the buffer cannot be detached");
  // Every view of it is empty from here on, so nothing can reach the memory any more.
  mapping->reset();
}

Napi::Value create(const Napi::CallbackInfo& info, Result<Segment> (*make)(std::uint32_t)) {
  const Napi::Env env = info.Env();
  const double capacity = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  if (!(capacity >= 0 && capacity <= shm::kMaxCapacity)) {
    throw_type_error(env, "the capacity must be a number up to 256 MiB");
    return env.Undefined();
  }
  Result<Segment> segment = make(static_cast<std::uint32_t>(capacity));
  // The descriptor becomes the caller's only when all has gone well.
  shm::UniqueFd fd;
  if (segment) {
    fd.reset(::fcntl(segment->fd(), F_DUPFD_CLOEXEC, 0));
    segment->close_fd();
  }
  const Napi::Value buffer = to_buffer(env, std::move(segment));
  if (env.IsExceptionPending()) return env.Undefined();
  Napi::Object result = Napi::Object::New(env);
  result["fd"] = Napi::Number::New(env, fd.release());
  result["buffer"] = buffer;
  return result;
}

Napi::Value create_outbound(const Napi::CallbackInfo& info) { return create(info, Segment::create_outbound); }
Napi::Value create_inbound(const Napi::CallbackInfo& info) { return create(info, Segment::create_inbound); }

}  // namespace

void define_memory(Napi::Env env, Napi::Object exports) {
  exports["mapOutbound"] = Napi::Function::New<map_outbound>(env, "mapOutbound");
  exports["mapInbound"] = Napi::Function::New<map_inbound>(env, "mapInbound");
  exports["unmap"] = Napi::Function::New<unmap>(env, "unmap");
  exports["createOutbound"] = Napi::Function::New<create_outbound>(env, "createOutbound");
  exports["createInbound"] = Napi::Function::New<create_inbound>(env, "createInbound");
}

}  // namespace tsf::addon
