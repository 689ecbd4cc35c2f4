/** What becomes of a stream when something fails, with `failure_mode: closed`: `cpp/core/failure.h` has all of them. */

export interface Failure {
  /** 0: no reply, a reset. */
  readonly http: number;
  readonly grpc: number;
  /** The response code details. */
  readonly code: string;
  /** Default: the code. */
  readonly body?: string;
}

const FILTER_ERROR_BODY = 'error happened in filter\r\n';

export const FAILURES = {
  timeout: { http: 504, grpc: 4, code: 'ts_filter_timeout' },
  requestTooLarge: { http: 413, grpc: 8, code: 'ts_filter_body_too_large', body: 'Payload Too Large' },
  responseTooLarge: { http: 500, grpc: 8, code: 'ts_filter_body_too_large', body: 'Internal Server Error' },
  outputLimit: { http: 500, grpc: 8, code: 'TSF_OUTPUT_LIMIT' },
  filterError: { http: 500, grpc: 13, code: 'ts_filter_error', body: FILTER_ERROR_BODY },
  filterErrorLate: { http: 0, grpc: 13, code: 'ts_filter_error_late' },
  replyTooLate: { http: 0, grpc: 13, code: 'ts_filter_reply_late' },
  wrongLength: { http: 500, grpc: 13, code: 'ts_filter_wrong_length', body: FILTER_ERROR_BODY },
  recreateRefused: { http: 500, grpc: 13, code: 'ts_filter_recreate_refused' },
} as const satisfies Record<string, Failure>;
