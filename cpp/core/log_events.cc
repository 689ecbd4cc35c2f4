#include "core/log_events.h"

#include <utility>

namespace tsf::core {

void LogEvents::tell(wire::LogKind kind, const LogSource& source) {
  if (!wants(kind)) return;
  thread_local std::string attributes;
  attributes.clear();
  host_.pack_attributes(attributes, &source);
  if (host_.send_log_headers(attributes.size())) host_.send_log_run(kind, attributes);
}

void LogEvents::on_complete() {
  if (!host_.begun() || !wants(wire::LogKind_End)) return;
  std::string attributes;
  host_.pack_attributes(attributes, nullptr);
  if (host_.send_log_headers(attributes.size())) last_ = std::move(attributes);
}

void LogEvents::know_better(const LogSource& source) {
  if (!last_ || !host_.reachable()) return;
  last_->clear();
  host_.pack_attributes(*last_, &source);
}

void LogEvents::finish() {
  if (last_) host_.send_log_run(wire::LogKind_End, *last_);
}

}  // namespace tsf::core
