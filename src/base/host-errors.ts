/** What the host says when it, or a stream of it, cannot start or go on. Filters never meet these; theirs are in errors.ts. */
export const HOST_ERROR_CODES = {
  TSF_USAGE: 'a flag or an argument of the command line is wrong',
  TSF_EXISTS: 'a folder of that name is there already',
  TSF_NOT_YET: 'this version cannot do that yet',
  TSF_ADDON_MISSING: 'the native addon is not there, or not for this machine',
  TSF_MODULE_MISSING: 'the module for Envoy is not there, or not for this machine',
  TSF_COMPILER_MISSING: 'there is no C++ compiler to build the addon or the module with',
  TSF_HEADERS_MISSING: "building the addon needs Node's headers, which are nowhere",
  TSF_BUILD_FAILED: 'the addon or the module does not compile or link',
  TSF_TYPESCRIPT_MISSING: "check needs TypeScript, which the filters' project does not have",
  TSF_ENVOY_MISSING: 'no Envoy was found, or it does not run here',
  TSF_DEV_FAILED: 'dev could not start, or what it had started ended',
  TSF_NODE_VERSION: 'this Node.js is too old',
  TSF_SOCKET_DIR: "the socket's folder is missing or other users may write to it",
  TSF_SOCKET_PATH: 'the socket path is too long or not a socket',
  TSF_HOST_RUNNING: 'another host serves this socket, and cannot be replaced',
  TSF_FILTER_NOT_FOUND: 'a path given as filter does not exist or holds no filter files',
  TSF_LOAD_FAILED: 'a filter does not compile, or throws while it loads',
  TSF_RELOAD_FAILED: 'the filters were not loaded anew; those before serve on',
  TSF_LOAD_SLOW: 'the filters are still loading; what they await may never settle',
  TSF_FILTER_DUPLICATE: 'two files define a filter of the same name',
  TSF_FILTER_NONE: 'a file exports no filter',
  TSF_INIT_FAILED: 'the init script throws',
  TSF_UNHANDLED_REJECTION: 'a promise of a filter was rejected and nobody awaited it',
  TSF_CONFIG_REFUSED: 'a worker thread that was replaced refuses a config which others have accepted',
  TSF_WORKER_DIED: 'a worker thread ended; its streams are lost, and it is replaced',
  TSF_WORKER_STALLED: 'a worker thread did not turn for --stall-timeout; its streams are lost, and it is replaced',
  TSF_HOST_DIED: 'the process that runs the filters died; its streams are lost, and its parent starts it again',
  TSF_MALFORMED: 'a module sent what the protocol does not allow; its connection was closed',
  TSF_PEER_REFUSED: 'a process of another user, or of another protocol version, was refused',
  TSF_HEADERS_TOO_LARGE: 'one header is larger than a quarter of the ring',
  TSF_VALUE_TOO_LARGE: 'a name or a value for Envoy is larger than a quarter of the ring',
  TSF_OUTPUT_LIMIT: 'too much output waits for Envoy',
  TSF_LOG_LINES_LOST: 'nobody took what was written to stdout or stderr, and lines of it are lost',
  TSF_INTERNAL: 'a fault of the host itself',
} as const;

export type HostErrorCode = keyof typeof HOST_ERROR_CODES;

export class HostError extends Error {
  override readonly name = 'HostError';

  constructor(
    readonly code: HostErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Node's exit code where it waits for a top-level await and nothing is left that could settle it. */
export const EXIT_UNSETTLED = 13;

export const exitText = (code: number): string =>
  code === EXIT_UNSETTLED ? 'a top-level await of a filter, or of what it imports, never settles' : `exit code ${code}`;
