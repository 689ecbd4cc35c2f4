#include "core/config.h"

#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/config_size.h"

namespace tsf::core {
namespace {

using nlohmann::json;

// Reads an object key by key; the first error stays.
class Reader {
 public:
  Reader(const json& object, std::string path) : object_(object), path_(std::move(path)) {}

  using Handler = std::function<void(const json&)>;

  void key(const char* name, Handler handler) { handlers_.emplace_back(name, std::move(handler)); }

  void run() {
    for (const auto& [name, value] : object_.items()) {
      auto found =
          std::find_if(handlers_.begin(), handlers_.end(), [&key = name](const auto& h) { return key == h.first; });
      if (found == handlers_.end()) {
        fail(name, "is not a known key; known are: " + known());
      } else {
        found->second(value);
      }
      if (!error_.empty()) return;
    }
  }

  void fail(std::string_view name, std::string_view what) {
    if (error_.empty()) error_ = path_ + "." + std::string(name) + ": " + std::string(what);
  }
  // What names its key itself.
  void fail_at(const std::string& what) {
    if (error_.empty() && !what.empty()) error_ = path_ + "." + what;
  }
  const std::string& error() const { return error_; }

  void text(const char* name, std::string& out) {
    key(name, [this, name, &out](const json& v) {
      if (!v.is_string() || v.get_ref<const std::string&>().empty()) return fail(name, "must be a non-empty string");
      out = v.get<std::string>();
    });
  }
  template <class T>
  void boolean(const char* name, T& out) {
    key(name, [this, name, &out](const json& v) {
      if (!v.is_boolean()) return fail(name, "must be true or false");
      out = v.get<bool>();
    });
  }
  template <class T>
  void duration(const char* name, T& out, Millis least) {
    key(name, [this, name, &out, least](const json& v) {
      auto parsed = v.is_string() ? parse_duration(v.get_ref<const std::string&>()) : std::nullopt;
      if (!parsed) return fail(name, shown(v) + " is not a duration; write it as \"250ms\", \"5s\" or \"1.5s\"");
      if (*parsed < least)
        return fail(name, shown(v) + " is too short; the least is " + std::to_string(least.count()) + "ms");
      out = *parsed;
    });
  }
  template <class T>
  void size(const char* name, T& out, uint64_t least, uint64_t most) {
    key(name, [this, name, &out, least, most](const json& v) {
      auto parsed = parse_size(v);
      if (!parsed) return fail(name, shown(v) + " is not a size; write bytes as 65536 or \"64KiB\"");
      if (*parsed < least || *parsed > most)
        return fail(name, shown(v) + " is out of range; it must be " + std::to_string(least) + " to " +
                              std::to_string(most) + " bytes");
      out = static_cast<T>(*parsed);
    });
  }
  void plugin_config(std::optional<std::string>& out) {
    key("plugin_config", [&out](const json& v) { out = v.dump(-1, ' ', false, json::error_handler_t::replace); });
  }
  template <class T>
  void failure_mode(T& out) {
    key("failure_mode", [this, &out](const json& v) {
      if (v == "closed") {
        out = FailureMode::kClosed;
      } else if (v == "open") {
        out = FailureMode::kOpen;
      } else if (v == "replay") {
        out = FailureMode::kReplay;
      } else {
        fail("failure_mode", shown(v) + " is not a failure mode; use \"closed\", \"open\" or \"replay\"");
      }
    });
  }

  static std::string shown(const json& v) { return v.dump(-1, ' ', false, json::error_handler_t::replace); }

 private:
  static std::optional<Millis> parse_duration(std::string_view text) {
    static constexpr std::array<std::pair<std::string_view, double>, 4> kUnits{
        {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
    double number = 0;
    auto [rest, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc() || number < 0 || !std::isfinite(number)) return std::nullopt;
    const std::string_view unit(rest, static_cast<size_t>(text.data() + text.size() - rest));
    for (const auto& [suffix, factor] : kUnits) {
      if (unit != suffix) continue;
      const double millis = number * factor;
      if (millis > 86'400'000.0 * 24) return std::nullopt;
      return Millis(static_cast<int64_t>(std::llround(millis)));
    }
    return std::nullopt;
  }

  static std::optional<uint64_t> parse_size(const json& v) {
    static constexpr std::array<std::pair<std::string_view, uint64_t>, 4> kUnits{
        {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}};
    if (v.is_number()) {
      const double number = v.get<double>();
      if (number < 0 || number != std::floor(number) || number > 9e15) return std::nullopt;
      return static_cast<uint64_t>(number);
    }
    if (!v.is_string()) return std::nullopt;
    const std::string& text = v.get_ref<const std::string&>();
    uint64_t number = 0;
    auto [rest, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc()) return std::nullopt;
    const std::string_view unit(rest, static_cast<size_t>(text.data() + text.size() - rest));
    for (const auto& [suffix, factor] : kUnits)
      if (unit == suffix && number <= (uint64_t{1} << 52) / factor) return number * factor;
    return std::nullopt;
  }

  std::string known() const {
    std::string out;
    for (const auto& handler : handlers_) out += (out.empty() ? "" : ", ") + std::string(handler.first);
    return out;
  }

  const json& object_;
  std::string path_;
  std::vector<std::pair<const char*, Handler>> handlers_;
  std::string error_;
};

// The text as a JSON object; a JSON string that holds an object is looked into (a StringValue in a Struct's place).
std::optional<json> object_of(std::string_view text, std::string& error) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return json::object();
  error = json_size_error(text.size());
  if (!error.empty()) return std::nullopt;
  json parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded()) {
    error = "filter_config: is not JSON; give a google.protobuf.Struct, or a StringValue that holds a JSON object";
    return std::nullopt;
  }
  if (!parsed.is_object()) {
    error = "filter_config: must be an object, not " + std::string(parsed.type_name());
    return std::nullopt;
  }
  return parsed;
}

void read_header_rules(Reader& reader, const json& rules, Settings& settings) {
  if (!rules.is_object()) return reader.fail("headers", "must be an object {allow: [...], deny: [...]}");
  for (const auto& [name, list] : rules.items()) {
    auto* out = name == "allow" ? &settings.allow : name == "deny" ? &settings.deny : nullptr;
    if (out == nullptr) return reader.fail("headers." + name, "is not a known key; known are: allow, deny");
    if (!list.is_array()) return reader.fail("headers." + name, "must be a list of header names");
    for (const auto& item : list) {
      if (!item.is_string() || item.get_ref<const std::string&>().empty())
        return reader.fail("headers." + name, Reader::shown(item) + " is not a header name");
      std::string lower = item.get<std::string>();
      std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
      out->push_back(std::move(lower));
    }
  }
}

void read_log_level(Reader& reader, const json& v, Settings& settings) {
  static constexpr std::array<std::string_view, 7> kNames{"trace", "debug", "info", "warn", "error", "critical", "off"};
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (v == kNames[i]) {
      settings.log_level = static_cast<LogLevel>(i);
      return;
    }
  }
  reader.fail("log_level", Reader::shown(v) + " is not a level; use trace, debug, info, warn, error, critical or off");
}

void read_uids(Reader& reader, const json& v, Settings& settings) {
  if (!v.is_array() || v.empty()) return reader.fail("allowed_uids", "must be a list of user ids");
  for (const auto& item : v) {
    const double number = item.is_number() ? item.get<double>() : -1;
    if (number < 0 || number != std::floor(number) || number > 4294967294.0)
      return reader.fail("allowed_uids", Reader::shown(item) + " is not a user id");
    settings.allowed_uids.push_back(static_cast<uid_t>(number));
  }
}

// A list of objects with only these keys; calls `each` with the path of every one.
template <class Each>
void read_list(Reader& reader, std::string_view name, const json& v, std::initializer_list<std::string_view> keys,
               Each each) {
  if (!v.is_array()) return reader.fail(name, "must be a list");
  for (size_t i = 0; i < v.size() && reader.error().empty(); ++i) {
    const std::string path = std::string(name) + "[" + std::to_string(i) + "]";
    if (!v[i].is_object()) return reader.fail(path, "must be an object");
    for (const auto& [key, value] : v[i].items()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      std::string known;
      for (const auto k : keys) known += (known.empty() ? "" : ", ") + std::string(k);
      return reader.fail(path + "." + key, "is not a known key; known are: " + known);
    }
    const auto named = v[i].find("name");
    if (named == v[i].end() || !named->is_string() || named->template get_ref<const std::string&>().empty())
      return reader.fail(path + ".name", "must be a non-empty string");
    each(path, v[i], named->template get<std::string>());
  }
}

void read_metrics(Reader& reader, const json& v, Settings& settings) {
  static constexpr std::array<std::string_view, 3> kKinds{"counter", "gauge", "histogram"};
  const auto known = [&](const auto& m, const std::string& name) { return m.name == name; };
  read_list(reader, "metrics", v, {"name", "type", "labels"},
            [&](const std::string& path, const json& item, std::string name) {
              if (std::any_of(settings.metrics.begin(), settings.metrics.end(),
                              [&](const auto& m) { return known(m, name); }))
                return reader.fail(path + ".name", "\"" + name + "\" is there twice");
              const auto kind = std::find(kKinds.begin(), kKinds.end(), item.value("type", json()));
              if (kind == kKinds.end()) return reader.fail(path + ".type", "must be counter, gauge or histogram");
              MetricSpec metric{std::move(name), static_cast<MetricKind>(kind - kKinds.begin()), {}};
              const json labels = item.value("labels", json::array());
              if (!labels.is_array()) return reader.fail(path + ".labels", "must be a list of label names");
              for (const auto& label : labels) {
                if (!label.is_string() || label.get_ref<const std::string&>().empty())
                  return reader.fail(path + ".labels", Reader::shown(label) + " is not a label name");
                metric.labels.push_back(label.get<std::string>());
              }
              settings.metrics.push_back(std::move(metric));
            });
}

void read_secrets(Reader& reader, const json& v, Settings& settings) {
  read_list(reader, "secrets", v, {"name", "sds_config"},
            [&](const std::string& path, const json& item, std::string name) {
              const auto source = item.find("sds_config");
              if (source != item.end() && !source->is_object())
                return reader.fail(path + ".sds_config", "must be an envoy.config.core.v3.ConfigSource");
              settings.secrets.push_back({std::move(name), source == item.end() ? "" : source->dump()});
            });
}

void read_filters(Reader& reader, const json& v, Settings& settings) {
  read_list(reader, "filters", v, {"name", "plugin_config"},
            [&](const std::string&, const json& item, std::string name) {
              const auto config = item.find("plugin_config");
              settings.filters.push_back(
                  {std::move(name), config == item.end() ? std::nullopt : std::optional(Reader::shown(*config))});
            });
  if (settings.filters.empty()) reader.fail("filters", "must have at least one {name: ..., plugin_config: ...}");
}

}  // namespace

std::string default_socket() {
  if (const char* path = std::getenv("TS_FILTER_SOCKET"); path != nullptr && *path != '\0') return path;
  if (const char* dir = std::getenv("XDG_RUNTIME_DIR"); dir != nullptr && *dir != '\0')
    return std::string(dir) + "/ts-filter.sock";
  return "/tmp/ts-filter-" + std::to_string(getuid()) + "/ts-filter.sock";
}

Parsed<Settings> parse_settings(std::string_view text) {
  Parsed<Settings> out;
  const auto object = object_of(text, out.error);
  if (!object) return out;
  constexpr uint64_t kMost = uint64_t{1} << 40;
  Settings s;
  Reader reader(*object, "filter_config");
  reader.text("socket", s.socket);
  reader.key("filters", [&](const json& v) { read_filters(reader, v, s); });
  reader.failure_mode(s.failure_mode);
  reader.duration("message_timeout", s.message_timeout, Millis(1));
  reader.duration("host_wait", s.host_wait, Millis(0));
  reader.duration("host_stall_timeout", s.host_stall_timeout, Millis(10));
  reader.duration("config_timeout", s.config_timeout, Millis(0));
  reader.size("max_body_bytes", s.max_body_bytes, 1, kMost);
  reader.size("stream_window", s.stream_window, 4096, 1 << 30);
  reader.size("max_pending_output", s.max_pending_output, 65536, kMost);
  reader.size("max_pending_total", s.max_pending_total, 65536, kMost);
  reader.size("max_header_bytes", s.max_header_bytes, 1024, 64 << 20);
  reader.size("ring_bytes", s.ring_bytes, 64 << 10, 256 << 20);
  reader.key("headers", [&](const json& v) { read_header_rules(reader, v, s); });
  reader.key("allowed_uids", [&](const json& v) { read_uids(reader, v, s); });
  reader.boolean("observe_only", s.observe_only);
  reader.boolean("upgrades", s.upgrades);
  reader.key("log_level", [&](const json& v) { read_log_level(reader, v, s); });
  reader.key("metrics", [&](const json& v) { read_metrics(reader, v, s); });
  reader.key("secrets", [&](const json& v) { read_secrets(reader, v, s); });
  reader.plugin_config(s.plugin_config);
  reader.run();
  if (reader.error().empty() && !s.filters.empty() && s.plugin_config)
    reader.fail("plugin_config", "cannot stand beside filter_config.filters; give each entry of filters its own");
  if (reader.error().empty()) reader.fail_at(size_error(s));
  if (reader.error().empty() && !std::has_single_bit(s.ring_bytes))
    reader.fail("ring_bytes", "must be a power of two, such as 1048576 or \"1MiB\"");
  if (s.socket.empty()) s.socket = default_socket();
  if (reader.error().empty() && s.socket.size() >= sizeof(sockaddr_un::sun_path))
    reader.fail("socket", "\"" + s.socket + "\" is too long for a unix socket; use a path of at most 107 bytes");
  if (s.allowed_uids.empty()) s.allowed_uids.push_back(getuid());
  if (s.max_header_bytes == 0) s.max_header_bytes = s.ring_bytes / 2;
  out.error = reader.error();
  if (out.error.empty()) out.value = std::move(s);
  return out;
}

Parsed<RouteSettings> parse_route_settings(std::string_view text) {
  Parsed<RouteSettings> out;
  const auto object = object_of(text, out.error);
  if (!object) return out;
  RouteSettings s;
  Reader reader(*object, "filter_config");
  reader.failure_mode(s.failure_mode);
  reader.duration("message_timeout", s.message_timeout, Millis(1));
  reader.boolean("observe_only", s.observe_only);
  reader.plugin_config(s.plugin_config);
  reader.run();
  if (reader.error().empty()) reader.fail_at(size_error(s));
  out.error = reader.error();
  if (out.error.empty()) out.value = std::move(s);
  return out;
}

}  // namespace tsf::core
