// Nothing is thrown across to Envoy: a fault is logged and the safe value goes back.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "stock/envoy_process.h"

namespace tsf::stock {

// A text of its own would need memory, whose end may be what happened.
inline void log_fault(const char* hook, const char* what) noexcept {
  try {
    envoy_process().log(core::LogLevel::kCritical, std::string("ts_filter: fault in ") + hook + ": " + what);
  } catch (...) {
    envoy_process().log(core::LogLevel::kCritical, "ts_filter: fault in a hook, and no memory to say in which");
  }
}

// `on_fault()` says what goes back then.
template <class Body, class OnFault>
auto guarded_by(const char* hook, Body body, OnFault on_fault) noexcept -> decltype(body()) {
  try {
    return body();
  } catch (const std::exception& e) {
    log_fault(hook, e.what());
  } catch (...) {
    log_fault(hook, "not known");
  }
  return on_fault();
}
template <class Result, class Body>
Result guarded(const char* hook, Result safe, Body body) noexcept {
  return guarded_by(
      hook, [&]() -> Result { return body(); }, [safe] { return safe; });
}
template <class Body>
void guarded(const char* hook, Body body) noexcept {
  guarded(hook, 0, [&] {
    body();
    return 0;
  });
}

}  // namespace tsf::stock
