// Failures of ours: what the client hears when nothing was sent, else the reset's details (docs/failure.md).
#pragma once

#include <cstdint>

namespace tsf::core {

struct Failure {
  uint32_t http = 0;  // 0: no reply, reset
  int grpc = 0;
  const char* code = nullptr;  // response code details, and the body when there is no other
  const char* body = nullptr;
  bool in_any_mode = false;  // failure_mode does not let it pass: bytes are lost already
};

inline constexpr Failure kNoHost{503, 14, "ts_filter_no_host"};
inline constexpr Failure kHostLost{503, 14, "ts_filter_host_lost"};
inline constexpr Failure kHostLostLate{502, 14, "ts_filter_host_lost"};
inline constexpr Failure kHostLostAtTrailers{0, 14, "ts_filter_host_lost"};
inline constexpr Failure kTimeout{504, 4, "ts_filter_timeout"};
inline constexpr Failure kRejected{500, 13, "ts_filter_config_rejected"};
inline constexpr Failure kRequestTooLarge{413, 8, "ts_filter_body_too_large", "Payload Too Large", true};
inline constexpr Failure kResponseTooLarge{500, 8, "ts_filter_body_too_large", "Internal Server Error", true};
inline constexpr Failure kRequestHeadersTooLarge{431, 8, "ts_filter_headers_too_large"};
inline constexpr Failure kHeadersTooLarge{502, 13, "ts_filter_headers_too_large"};
inline constexpr Failure kOutputLimit{500, 8, "TSF_OUTPUT_LIMIT", nullptr, true};
inline constexpr Failure kFilterError{500, 13, "ts_filter_error", "error happened in filter\r\n"};
inline constexpr Failure kFilterErrorLate{0, 13, "ts_filter_error_late"};
inline constexpr Failure kReplyTooLate{0, 13, "ts_filter_reply_late"};
inline constexpr Failure kRecreateRefused{500, 13, "ts_filter_recreate_refused"};
// A filter has named a length that its body does not have.
inline constexpr Failure kWrongLength{500, 13, "ts_filter_wrong_length", "error happened in filter\r\n", true};
// Another filter of the chain has ended the message before ours was through (docs/chains.md).
inline constexpr Failure kCutByChain{502, 13, "ts_filter_cut_by_chain", nullptr, true};
// Envoy 1.38 lost the request's last continue (docs/lifecycle.md).
inline constexpr Failure kContinueLost{502, 13, "ts_filter_continue_lost", nullptr, true};

}  // namespace tsf::core
