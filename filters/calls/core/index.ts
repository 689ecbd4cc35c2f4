/** `envoy-ts-filter/calls`: calls into other runtimes (../README.md). */
export { CallsError, type CallsErrorCode, type KnownCallsErrorCode } from './errors.js';
export { type CallOptions, load, type Loaded, type Methods } from './load.js';
export { type LoadOptions, type Program } from './spec.js';
export { type Call, type Part, RemoteError, serve, type ServeOptions } from '../clients/typescript/serve.js';
