// What a filter asks of its stream beside the two flows: metadata, filter state, metrics, secrets, an upstream host, a
// new beginning, calls to clusters.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/http_rules.h"
#include "core/stream.h"
#include "core/text.h"

namespace tsf::core {
namespace {

using nlohmann::json;

constexpr Failure kRecreateRefused{500, 13, "ts_filter_recreate_refused"};

json json_of(const MetadataItem& item) {
  if (const auto* number = std::get_if<double>(&item)) return *number;
  if (const auto* text = std::get_if<std::string_view>(&item)) return *text;
  if (const auto* yes = std::get_if<bool>(&item)) return *yes;
  return nullptr;
}

std::string bytes_of(double value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

}  // namespace

bool Stream::on_act(const wire::Act& frame) {
  if (dead_) return true;
  const auto block = view_of(frame.block());
  switch (frame.kind()) {
    case wire::ActKind_SetMetadata: return set_metadata(frame);
    case wire::ActKind_SetFilterState: {
      BlockReader reader(block);
      std::string_view key;
      std::string_view value;
      if (!reader.pair(key, value)) return false;
      if (mount_.filter_state(key)) {
        worker_.process().log(LogLevel::kWarn, "ts_filter: filter " + config_->name + ": filter state \"" +
                                                   printable(key) + "\" is set already and stays as it is");
      } else {
        mount_.set_filter_state(key, value);
      }
      return true;
    }
    case wire::ActKind_OverrideHost:
      if (!mount_.override_host(block, frame.detail() != 0))
        worker_.process().log(LogLevel::kWarn, "ts_filter: filter " + config_->name + ": \"" + printable(block) +
                                                   "\" is no address of an upstream host");
      return true;
    case wire::ActKind_Drain: mount_.drain_connection(); return true;
    case wire::ActKind_Metric: {
      const auto act = take_metric(frame, config_->settings.metrics);
      if (!act || act->index >= config_->metrics.size()) return false;
      mount_.record(act->metric.kind, act->op, config_->metrics[act->index], act->labels, act->value);
      return true;
    }
    case wire::ActKind_Recreate:
      if (!replied_) recreate();
      return true;
    default: return true;  // a newer host's
  }
}

bool Stream::set_metadata(const wire::Act& frame) {
  BlockReader reader(view_of(frame.block()));
  std::string_view ns;
  std::string_view key;
  if (!reader.pair(ns, key)) return false;
  const auto value = reader.rest();
  // Envoy adds to a list and never empties one, and what is no list stays as it is.
  const auto is_new = [&] {
    const auto keys = mount_.metadata_keys(ns);
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) return true;
    worker_.process().log(LogLevel::kWarn, "ts_filter: filter " + config_->name + ": dynamic metadata \"" +
                                               printable(key) + "\" of \"" + printable(ns) +
                                               "\" is set already, and this Envoy cannot make it another list");
    return false;
  };
  switch (frame.detail()) {
    case wire::MetadataType_Number: mount_.set_metadata(ns, key, frame.number()); return true;
    case wire::MetadataType_Text: mount_.set_metadata(ns, key, value); return true;
    case wire::MetadataType_Bool: mount_.set_metadata(ns, key, frame.number() != 0); return true;
    case wire::MetadataType_NumberList: {
      if (value.size() % sizeof(double) != 0) return false;
      if (!is_new()) return true;
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
      if (!is_new()) return true;
      for (const auto item : items) mount_.add_metadata(ns, key, item);
      return true;
    }
    case wire::MetadataType_BoolList:
      if (!is_new()) return true;
      for (const char item : value) mount_.add_metadata(ns, key, item != 0);
      return true;
    case wire::MetadataType_Struct: mount_.set_metadata_struct(ns, value); return true;
    default: return false;
  }
}

// Envoy begins anew with the request headers and the body that it holds: all of the body has to be there.
void Stream::recreate() {
  Flow& f = request_;
  const bool is_whole = f.headers_only || (f.state == State::kAsked && !response_.headers_seen);
  if (is_whole && !f.input_ended && !f.trailers_seen) {
    recreate_wanted_ = true;  // on_body comes back to it; message_timeout runs on
    return;
  }
  recreate_wanted_ = false;
  if (!is_whole || f.trailers_seen || response_.headers_sent) return fail(kRecreateRefused);
  put_back(f, f.held);
  if (dead_) return;
  replied_ = true;
  end_reason_ = wire::EndReason_LocalReply;
  end_flows();
  if (mount_.recreate() || dead_) return;
  replied_ = false;
  fail(kRecreateRefused);
}

// ---- questions ----

std::optional<std::string> Stream::answer_of(const wire::Query& frame) const {
  const auto block = view_of(frame.block());
  switch (frame.kind()) {
    case wire::QueryKind_Attribute: {
      const auto value = mount_.attribute(frame.key());
      return value ? std::optional(core::bytes_of(*value)) : std::nullopt;
    }
    case wire::QueryKind_Metadata: {
      json out = json::object();
      for (const auto key : mount_.metadata_keys(block)) {
        const MetadataValue value = mount_.metadata(block, key);
        json& entry = out[std::string(key)];
        entry = json_of(value.item);
        if (!value.list) continue;
        entry = json::array();
        for (const auto& item : *value.list) entry.push_back(json_of(item));
      }
      return out.dump(-1, ' ', false, json::error_handler_t::replace);
    }
    case wire::QueryKind_FilterState: {
      const auto value = mount_.filter_state(block);
      return value ? std::optional(std::string(*value)) : std::nullopt;
    }
    case wire::QueryKind_Secret: {
      const auto& secrets = config_->settings.secrets;
      for (size_t i = 0; i < config_->secrets.size(); ++i) {
        if (secrets[i].name != block) continue;
        const auto value = mount_.secret(config_->secrets[i]);
        return value && !value->empty() ? std::optional(std::string(*value)) : std::nullopt;
      }
      return std::nullopt;
    }
    case wire::QueryKind_Metric: {
      std::vector<std::string_view> labels;
      if (frame.key() >= config_->settings.metrics.size() || !read_texts(block, labels)) return std::nullopt;
      const uint64_t value = MetricValues::instance().value(config_->settings.metrics[frame.key()], labels);
      return bytes_of(static_cast<double>(value));
    }
    default: return std::nullopt;
  }
}

bool Stream::on_query(const wire::Query& frame) {
  if (dead_ || !channel_) return true;
  const auto value = answer_of(frame);
  std::string bytes = value.value_or("");
  const auto& shape = frame_templates().query_answer;
  const size_t most = channel_->max_payload() - shape.size();
  const bool fits = bytes.size() <= most;
  if (!fits) bytes.clear();
  std::vector<uint64_t> buffer((shape.size() + bytes.size() + 7) / 8);
  auto* slot = reinterpret_cast<std::byte*>(buffer.data());
  auto* answer = shape.place(slot);
  answer->mutate_stream(id_.slot);
  answer->mutate_generation(id_.generation);
  answer->mutate_query(frame.query());
  answer->mutate_found(value.has_value() && fits);
  std::memcpy(shape.tail(slot, static_cast<uint32_t>(bytes.size())), bytes.data(), bytes.size());
  channel_->write_or_owe(wire::FrameKind_QueryAnswer, {slot, shape.size() + bytes.size()});
  return true;
}

// ---- calls ----

bool Stream::on_call(const wire::Call& frame) {
  if (dead_) return true;
  if (!calls_) calls_ = std::make_unique<Calls>(mount_, config_->settings.max_pending_output);
  const bool ok = calls_->on_frame(frame);
  send_calls();
  return ok;
}

void Stream::on_call_headers(uint64_t call, std::span<const HeaderLine> headers, bool end) {
  hear_call([&] { calls_->on_headers(call, headers, end); });
}
void Stream::on_call_data(uint64_t call, std::span<const Bytes> chunks, bool end) {
  hear_call([&] { calls_->on_data(call, chunks, end); });
}
void Stream::on_call_trailers(uint64_t call, std::span<const HeaderLine> trailers) {
  hear_call([&] { calls_->on_trailers(call, trailers); });
}
void Stream::on_call_reset(uint64_t call) {
  hear_call([&] { calls_->on_reset(call); });
}

void Stream::cancel_calls() {
  if (calls_) calls_->cancel_all();
}

// As far as the ring has room. A body goes in pieces of a frame, a header block in one.
void Stream::send_calls() {
  if (!calls_ || dead_ || !channel_ || channel_->lost()) return;
  const auto& shape = frame_templates().call_event;
  const uint32_t most = channel_->max_payload() - shape.size();
  while (!calls_->events().empty()) {
    CallEvent& event = calls_->events().front();
    const bool is_data = event.part == wire::CallEventPart_Data;
    if (!is_data && event.bytes.size() > most) {
      event.bytes = "headers too large";
      event.part = wire::CallEventPart_Failed;
      event.end = true;
    }
    const auto length = static_cast<uint32_t>(
        is_data ? std::min<size_t>(event.bytes.size(), std::min(Channel::kMaxBody, most)) : event.bytes.size());
    const auto slot = channel_->claim(wire::FrameKind_CallEvent, shape.size() + length);
    if (slot.data() == nullptr) return wait_for_room();
    const bool is_all = length == event.bytes.size();
    auto* frame = shape.place(slot.data());
    frame->mutate_stream(id_.slot);
    frame->mutate_generation(id_.generation);
    frame->mutate_call(event.call);
    frame->mutate_part(static_cast<wire::CallEventPart>(event.part));
    frame->mutate_end(event.end && is_all);
    if (length > 0)
      std::memcpy(shape.tail(slot.data(), length), event.bytes.data(), length);
    else
      shape.tail(slot.data(), 0);
    channel_->commit(static_cast<uint32_t>(slot.size()));
    calls_->took(length);
    if (is_all) {
      calls_->events().pop_front();
    } else {
      event.bytes.erase(0, length);
    }
  }
  worker_.publish(*channel_);
}

}  // namespace tsf::core
