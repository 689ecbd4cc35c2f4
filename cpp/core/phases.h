// Which of a filter's hooks make a part of a message its business.
#pragma once

#include <cstdint>

#include "core/mount.h"
#include "exchange_generated.h"

namespace tsf::core {

constexpr uint32_t body_phases(Dir dir) {
  return dir == Dir::kRequest ? wire::Phase_DecodeData | wire::Phase_TransformRequest
                              : wire::Phase_EncodeData | wire::Phase_TransformResponse;
}

constexpr uint32_t header_phases(Dir dir) {
  return body_phases(dir) | (dir == Dir::kRequest ? wire::Phase_DecodeHeaders : wire::Phase_EncodeHeaders);
}

constexpr uint32_t trailer_phase(Dir dir) {
  return dir == Dir::kRequest ? wire::Phase_DecodeTrailers : wire::Phase_EncodeTrailers;
}

}  // namespace tsf::core
