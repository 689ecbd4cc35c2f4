#include "core/control_messages.h"

#include <utility>

#include "core/text.h"
#include "core/version.h"

namespace tsf::core {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

template <class T>
bool send(ControlSocket& socket, wire::ControlKind kind, FlatBufferBuilder& b, Offset<T> root,
          std::vector<shm::UniqueFd> fds = {}) {
  b.Finish(root);
  return socket.send(kind, {reinterpret_cast<const char*>(b.GetBufferPointer()), b.GetSize()}, std::move(fds));
}

Offset<flatbuffers::String> optional_text(FlatBufferBuilder& b, const std::optional<std::string>& text) {
  return text ? b.CreateString(*text) : Offset<flatbuffers::String>();
}

}  // namespace

std::string printable_text(const flatbuffers::String* text) {
  constexpr size_t kMost = 2000;
  return text == nullptr ? std::string() : printable(text->string_view().substr(0, kMost));
}

bool read_verdict(const wire::ConfigVerdict& message, Verdict& out) {
  constexpr size_t kMostAttributes = 256;
  out = {message.accepted(),    message.phases(),   {}, printable_text(message.message()),
         message.unavailable(), message.stateless()};
  if (message.attributes() != nullptr)
    out.attributes.assign(message.attributes()->begin(), message.attributes()->end());
  return out.attributes.size() <= kMostAttributes;
}

bool send_hello(ControlSocket& socket, const ProcessMount& process, uint32_t workers) {
  FlatBufferBuilder b(256);
  const auto module_version = b.CreateString(kModuleVersion);
  const auto envoy_version = b.CreateString(process.envoy_version().data(), process.envoy_version().size());
  return send(socket, wire::ControlKind_Hello, b,
              wire::CreateHello(b, wire::Protocol_Major, wire::Protocol_Minor, module_version, envoy_version, workers));
}

bool send_refused(ControlSocket& socket, const std::string& reason) {
  FlatBufferBuilder b(256);
  return send(socket, wire::ControlKind_Refused, b, wire::CreateRefused(b, b.CreateString(reason)));
}

bool send_config(ControlSocket& socket, const JudgedConfig& config, uint32_t capabilities) {
  const ConfigText& text = config.text();
  FlatBufferBuilder b(1024);
  const auto name = b.CreateString(text.name);
  const auto json = optional_text(b, text.json);
  const auto allow = b.CreateVectorOfStrings(text.allow);
  const auto deny = b.CreateVectorOfStrings(text.deny);
  std::vector<Offset<wire::Metric>> metrics;
  for (const MetricSpec& metric : text.metrics)
    metrics.push_back(wire::CreateMetric(b, b.CreateString(metric.name), static_cast<wire::MetricKind>(metric.kind),
                                         b.CreateVectorOfStrings(metric.labels)));
  const auto metric_list = b.CreateVector(metrics);
  std::vector<Offset<wire::ChainedFilter>> chain;
  for (const ChainedFilter& filter : text.filters) {
    const auto chained = b.CreateString(filter.name);
    chain.push_back(wire::CreateChainedFilter(b, chained, optional_text(b, filter.plugin_config)));
  }
  const auto filters = chain.empty() ? 0 : b.CreateVector(chain);
  return send(
      socket, wire::ControlKind_FilterConfig, b,
      wire::CreateFilterConfig(b, config.id(), name, text.route, json, allow, deny, text.log_level, text.stream_window,
                               static_cast<wire::Capability>(capabilities), metric_list, filters, text.max_body_bytes));
}

bool send_forget(ControlSocket& socket, uint32_t config) {
  FlatBufferBuilder b(64);
  return send(socket, wire::ControlKind_ForgetConfig, b, wire::CreateForgetConfig(b, config));
}

bool send_channel(ControlSocket& socket, const ChannelOffer& offer, std::vector<shm::UniqueFd> fds) {
  FlatBufferBuilder b(64);
  return send(socket, wire::ControlKind_Channel, b,
              wire::CreateChannel(b, offer.id, offer.worker, offer.ring_bytes, offer.generation), std::move(fds));
}

bool send_channel_done(ControlSocket& socket, uint32_t id) {
  FlatBufferBuilder b(64);
  return send(socket, wire::ControlKind_ChannelDone, b, wire::CreateChannelDone(b, id));
}

}  // namespace tsf::core
