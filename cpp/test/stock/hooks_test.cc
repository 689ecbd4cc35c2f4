// The functions that Envoy looks up, where an entry of ours faults.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "stock/abi.h"
#include "stock/entries.h"

namespace tsf::stock {
namespace {

// What Envoy was asked for.
std::string asked;
std::string content_type;

// A filter that cannot do its work.
class FaultyStream final : public StreamEntry {
 public:
  FaultyStream(FilterEnvoy envoy, bool passes) : StreamEntry(envoy, false), passes_(passes) {}
  HeadersStatus on_headers(Dir, bool) override { throw std::runtime_error("headers"); }
  BodyStatus on_body(Dir, bool) override { throw std::bad_alloc(); }
  TrailersStatus on_trailers(Dir) override { throw 1; }
  void on_complete() override { throw std::runtime_error("complete"); }
  void on_scheduled() override { asked += "run "; }
  void on_destroy() override {
    asked += "destroyed ";
    const std::unique_ptr<StreamEntry> gone(this);
  }
  bool passes_when_faulty() const override { return passes_; }
  std::shared_ptr<const core::RouteConfig> route_config() const override { return nullptr; }

 private:
  const bool passes_;
};

class FaultyFilter final : public ConfiguredEntry {
 public:
  FaultyFilter(bool passes, bool makes_streams) : passes_(passes), makes_streams_(makes_streams) {}
  std::unique_ptr<StreamEntry> new_stream(FilterEnvoy envoy) const override {
    if (!makes_streams_) throw std::bad_alloc();
    return std::make_unique<FaultyStream>(envoy, passes_);
  }
  bool passes_when_faulty() const override { return passes_; }

 private:
  const bool passes_;
  const bool makes_streams_;
};

}  // namespace
}  // namespace tsf::stock

using namespace tsf::stock;  // NOLINT: as the functions' own file

extern "C" {
void envoy_dynamic_module_callback_http_send_response(FilterEnvoy, uint32_t status, Header* lines, size_t count, Buffer,
                                                      Buffer details) {
  asked += std::to_string(status) + " " + std::string(details.ptr, details.length) + " ";
  for (size_t i = 0; i < count; ++i) asked += std::string(lines[i].name()) + ": " + std::string(lines[i].value()) + " ";
}
void envoy_dynamic_module_callback_http_filter_reset_stream(FilterEnvoy, int, Buffer details) {
  asked += "reset " + std::string(details.ptr, details.length) + " ";
}
bool envoy_dynamic_module_callback_http_get_header(FilterEnvoy, int, Buffer, Buffer* value, size_t, size_t*) {
  *value = buffer_of(content_type);
  return !content_type.empty();
}
const void* envoy_dynamic_module_on_http_filter_new(const void* config, FilterEnvoy envoy);
void envoy_dynamic_module_on_http_filter_destroy(const void* module);
int envoy_dynamic_module_on_http_filter_request_headers(FilterEnvoy, const void* module, bool end);
int envoy_dynamic_module_on_http_filter_request_body(FilterEnvoy, const void* module, bool end);
int envoy_dynamic_module_on_http_filter_request_trailers(FilterEnvoy, const void* module);
int envoy_dynamic_module_on_http_filter_response_headers(FilterEnvoy, const void* module, bool end);
int envoy_dynamic_module_on_http_filter_response_body(FilterEnvoy, const void* module, bool end);
int envoy_dynamic_module_on_http_filter_response_trailers(FilterEnvoy, const void* module);
void envoy_dynamic_module_on_http_filter_stream_complete(FilterEnvoy, const void* module);
void envoy_dynamic_module_on_http_filter_scheduled(FilterEnvoy, const void* module, uint64_t);
}

namespace tsf::stock {
namespace {

class Hooks : public ::testing::TestWithParam<bool> {
 protected:
  Hooks() {
    asked.clear();
    content_type.clear();
  }
  // A stream whose entry faults, or could not be made.
  const void* stream(bool passes) {
    config_ = std::make_unique<FaultyFilter>(passes, GetParam());
    return envoy_dynamic_module_on_http_filter_new(config_.get(), &envoy_);
  }
  std::string take() { return std::exchange(asked, {}); }

  char envoy_ = 0;
  std::unique_ptr<FaultyFilter> config_;
};

TEST_P(Hooks, AFaultAtTheRequestsHeadersIsAnsweredWhereTheModeIsNotOpen) {
  const void* module = stream(false);
  EXPECT_EQ(envoy_dynamic_module_on_http_filter_request_headers(&envoy_, module, true), 1);
  EXPECT_EQ(take(), "500 ts_filter_fault ");
  envoy_dynamic_module_on_http_filter_destroy(module);
  EXPECT_EQ(take(), GetParam() ? "destroyed " : "");
}

TEST_P(Hooks, TheAnswerToGrpcHasAStatus) {
  content_type = "application/grpc";
  const void* module = stream(false);
  EXPECT_EQ(envoy_dynamic_module_on_http_filter_request_headers(&envoy_, module, false), 1);
  EXPECT_EQ(take(), "500 ts_filter_fault grpc-status: 13 ");
  envoy_dynamic_module_on_http_filter_destroy(module);
}

TEST_P(Hooks, AFaultAnywhereElseResetsTheStreamAndStopsIt) {
  const auto fault = [&](auto hook, int stop) {
    const void* module = stream(false);
    EXPECT_EQ(hook(module), stop);
    EXPECT_EQ(take(), "reset ts_filter_fault ");
    envoy_dynamic_module_on_http_filter_destroy(module);
    take();
  };
  fault([&](const void* m) { return envoy_dynamic_module_on_http_filter_request_body(&envoy_, m, true); }, 3);
  fault([&](const void* m) { return envoy_dynamic_module_on_http_filter_request_trailers(&envoy_, m); }, 1);
  fault([&](const void* m) { return envoy_dynamic_module_on_http_filter_response_headers(&envoy_, m, false); }, 1);
  fault([&](const void* m) { return envoy_dynamic_module_on_http_filter_response_body(&envoy_, m, false); }, 3);
  fault([&](const void* m) { return envoy_dynamic_module_on_http_filter_response_trailers(&envoy_, m); }, 1);
}

TEST_P(Hooks, WithFailureModeOpenTheStreamPasses) {
  const void* module = stream(true);
  EXPECT_EQ(envoy_dynamic_module_on_http_filter_request_headers(&envoy_, module, false), 0);
  EXPECT_EQ(envoy_dynamic_module_on_http_filter_request_body(&envoy_, module, true), 0);
  EXPECT_EQ(envoy_dynamic_module_on_http_filter_response_headers(&envoy_, module, true), 0);
  EXPECT_EQ(take(), "");
  envoy_dynamic_module_on_http_filter_destroy(module);
}

// It makes the run of all its worker's streams.
TEST_P(Hooks, AFaultyEntryStillMakesTheWorkersRun) {
  const void* module = stream(false);
  envoy_dynamic_module_on_http_filter_request_headers(&envoy_, module, true);
  envoy_dynamic_module_on_http_filter_stream_complete(&envoy_, module);
  take();
  envoy_dynamic_module_on_http_filter_scheduled(&envoy_, module, 0);
  EXPECT_EQ(take(), GetParam() ? "run " : "");
  envoy_dynamic_module_on_http_filter_destroy(module);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutAnEntry, Hooks, ::testing::Bool());

}  // namespace
}  // namespace tsf::stock
