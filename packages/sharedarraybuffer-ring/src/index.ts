export { createChannel, type Side } from './channel.js';
export { Endpoint, MalformedRingError, type Doorbell, type FrameHandler } from './endpoint.js';
export { DATA_OFFSET, MAX_CAPACITY, MIN_CAPACITY, OFFSET, formatFile, maxPayload } from './layout.js';
export { SharedDoorbell } from './shared-doorbell.js';
