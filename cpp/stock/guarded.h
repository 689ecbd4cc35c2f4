// Nothing is thrown across to Envoy: a fault is logged and the safe value goes back.
#pragma once

#include <exception>
#include <string>

#include "stock/envoy_process.h"

namespace tsf::stock {

template <class Result, class Body>
Result guarded(const char* hook, Result safe, Body body) noexcept {
  try {
    return body();
  } catch (const std::exception& e) {
    envoy_process().log(core::LogLevel::kCritical, std::string("ts_filter: fault in ") + hook + ": " + e.what());
  } catch (...) {
    envoy_process().log(core::LogLevel::kCritical, std::string("ts_filter: fault in ") + hook);
  }
  return safe;
}
template <class Body>
void guarded(const char* hook, Body body) noexcept {
  guarded(hook, 0, [&] {
    body();
    return 0;
  });
}

}  // namespace tsf::stock
