#include "core/acts.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/line_limit.h"
#include "core/metrics.h"
#include "core/text.h"

namespace tsf::core {
namespace {

using nlohmann::json;

json json_of(const MetadataItem& item) {
  if (const auto* number = std::get_if<double>(&item)) return *number;
  if (const auto* text = std::get_if<std::string_view>(&item)) return *text;
  if (const auto* yes = std::get_if<bool>(&item)) return *yes;
  return nullptr;
}

// Of a thread's filters: each line costs their worker a write.
bool may_log(size_t bytes) {
  thread_local HostLogLimit limit;
  return limit.allows(now_ns(), bytes);
}

std::string shown(std::string_view text) { return printable(text.substr(0, HostLogLimit::kLongestLine)); }

std::string bytes_of_number(double value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

// One filter's acts on one stream.
class Acts {
 public:
  Acts(const FilterConfig& config, StreamMount& mount, ProcessMount& process)
      : config_(config), mount_(mount), process_(process) {}

  ActDone run(const wire::Act& frame);

 private:
  bool set_metadata(const wire::Act& frame);
  bool set_filter_state(std::string_view block);
  bool record(const wire::Act& frame);
  // A list can be made once: Envoy adds to a list and never empties one, and what is no list stays as it is.
  bool is_new(std::string_view ns, std::string_view key);
  void warn(const std::string& text) {
    if (may_log(text.size())) process_.log(LogLevel::kWarn, "ts_filter: filter " + config_.name + ": " + text);
  }

  const FilterConfig& config_;
  StreamMount& mount_;
  ProcessMount& process_;
};

bool Acts::set_metadata(const wire::Act& frame) {
  BlockReader reader(view_of(frame.block()));
  std::string_view ns;
  std::string_view key;
  if (!reader.pair(ns, key)) return false;
  if (ns == kOwnNamespace) {
    warn("dynamic metadata of \"ts_filter\" is the module's own and stays as it is");
    return true;
  }
  const auto value = reader.rest();
  switch (frame.detail()) {
    case wire::MetadataType_Number: mount_.set_metadata(ns, key, frame.number()); return true;
    case wire::MetadataType_Text: mount_.set_metadata(ns, key, value); return true;
    case wire::MetadataType_Bool: mount_.set_metadata(ns, key, frame.number() != 0); return true;
    case wire::MetadataType_NumberList: {
      if (value.size() % sizeof(double) != 0) return false;
      if (!is_new(ns, key)) return true;
      for (size_t at = 0; at < value.size(); at += sizeof(double)) {
        double item = 0;
        std::memcpy(&item, value.data() + at, sizeof item);
        mount_.add_metadata(ns, key, item);
      }
      return true;
    }
    case wire::MetadataType_TextList: {
      std::vector<std::string_view> items;
      if (!read_texts(value, items)) return false;
      if (!is_new(ns, key)) return true;
      for (const auto item : items) mount_.add_metadata(ns, key, item);
      return true;
    }
    case wire::MetadataType_BoolList:
      if (!is_new(ns, key)) return true;
      for (const char item : value) mount_.add_metadata(ns, key, item != 0);
      return true;
    case wire::MetadataType_Struct: mount_.set_metadata_struct(ns, value); return true;
    default: return false;
  }
}

bool Acts::is_new(std::string_view ns, std::string_view key) {
  const auto keys = mount_.metadata_keys(ns);
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) return true;
  warn("dynamic metadata \"" + shown(key) + "\" of \"" + shown(ns) +
       "\" is set already, and this Envoy cannot make it another list");
  return false;
}

bool Acts::set_filter_state(std::string_view block) {
  BlockReader reader(block);
  std::string_view key;
  std::string_view value;
  if (!reader.pair(key, value)) return false;
  if (mount_.filter_state(key)) {
    warn("filter state \"" + shown(key) + "\" is set already and stays as it is");
  } else {
    mount_.set_filter_state(key, value);
  }
  return true;
}

bool Acts::record(const wire::Act& frame) {
  const auto act = take_metric(frame, config_.settings.metrics, process_);
  if (!act || act->index >= config_.metrics.size()) return false;
  if (act->value) mount_.record(act->metric.kind, act->op, config_.metrics[act->index], act->labels, *act->value);
  return true;
}

ActDone Acts::run(const wire::Act& frame) {
  const auto block = view_of(frame.block());
  const auto done = [](bool ok) { return ok ? ActDone::kDone : ActDone::kBroken; };
  switch (frame.kind()) {
    case wire::ActKind_SetMetadata: return done(set_metadata(frame));
    case wire::ActKind_SetFilterState: return done(set_filter_state(block));
    case wire::ActKind_OverrideHost:
      if (!mount_.override_host(block, frame.detail() != 0))
        warn("\"" + shown(block) + "\" is no address of an upstream host");
      return ActDone::kDone;
    case wire::ActKind_Drain: mount_.drain_connection(); return ActDone::kDone;
    case wire::ActKind_Metric: return done(record(frame));
    case wire::ActKind_Recreate: return ActDone::kRecreate;
    default: return ActDone::kDone;  // a newer host's
  }
}

}  // namespace

ActDone do_act(const wire::Act& frame, const FilterConfig& config, StreamMount& mount, ProcessMount& process) {
  return Acts(config, mount, process).run(frame);
}

void report_failure(const wire::Fail& frame, const FilterConfig& config, StreamMount& mount, ProcessMount& process) {
  const auto text = view_of(frame.block());
  if (may_log(std::min(text.size(), HostLogLimit::kLongestLine)))
    process.log(LogLevel::kError, "ts_filter: filter " + config.name + " failed: " + shown(text));
  if (!config.panics) return;
  const std::string_view name = config.name;
  mount.record(MetricKind::kCounter, MetricOp::kIncrement, *config.panics, {&name, 1}, 1);
}

std::optional<std::string> answer_query(const wire::Query& frame, const FilterConfig& config,
                                        const StreamMount& mount) {
  const auto block = view_of(frame.block());
  switch (frame.kind()) {
    case wire::QueryKind_Attribute: {
      const auto value = mount.attribute(frame.key());
      return value ? std::optional(bytes_of(*value)) : std::nullopt;
    }
    case wire::QueryKind_Metadata: {
      json out = json::object();
      for (const auto key : mount.metadata_keys(block)) {
        const MetadataValue value = mount.metadata(block, key);
        json& entry = out[std::string(key)];
        entry = json_of(value.item);
        if (!value.list) continue;
        entry = json::array();
        for (const auto& item : *value.list) entry.push_back(json_of(item));
      }
      return out.dump(-1, ' ', false, json::error_handler_t::replace);
    }
    case wire::QueryKind_FilterState: {
      const auto value = mount.filter_state(block);
      return value ? std::optional(std::string(*value)) : std::nullopt;
    }
    case wire::QueryKind_Secret: {
      const auto& secrets = config.settings.secrets;
      for (size_t i = 0; i < config.secrets.size(); ++i) {
        if (secrets[i].name != block) continue;
        const auto value = mount.secret(config.secrets[i]);
        return value && !value->empty() ? std::optional(std::string(*value)) : std::nullopt;
      }
      return std::nullopt;
    }
    case wire::QueryKind_Metric: {
      std::vector<std::string_view> labels;
      if (frame.key() >= config.settings.metrics.size() || !read_texts(block, labels)) return std::nullopt;
      const uint64_t value = MetricValues::instance().value(config.settings.metrics[frame.key()], labels);
      return bytes_of_number(static_cast<double>(value));
    }
    default: return std::nullopt;
  }
}

}  // namespace tsf::core
