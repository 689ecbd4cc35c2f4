// mapOutbound, mapInbound, unmap, createOutbound, createInbound: shared files as ArrayBuffers.
#pragma once

#include "addon/napi.h"

namespace tsf::addon {

void define_memory(Napi::Env env, Napi::Object exports);

}  // namespace tsf::addon
