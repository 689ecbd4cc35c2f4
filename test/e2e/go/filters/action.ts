import { defineFilter, StatusType, type DirectionCallbacks, type HeadersStatus } from 'envoy-ts-filter';

/** Go's `action` plugin: the headers hooks answer what the query says. */
export default defineFilter({
  name: 'go-action',
  create(_config, callbacks) {
    const answer = (key: string, direction: DirectionCallbacks): HeadersStatus => {
      const query = new URL(callbacks.request.path, 'http://any').searchParams;
      const name = query.get(key);
      if (name === null) return StatusType.Continue;
      const status = StatusType[name as 'StopAndBuffer' | 'StopAndBufferWatermark'];
      if (!query.has('async')) return status;
      setImmediate(() => {
        direction.continue(status);
      });
      return StatusType.Running;
    };
    return {
      decodeHeaders: () => answer('decodeHeaders', callbacks.decoderFilterCallbacks()),
      encodeHeaders: () => answer('encodeHeaders', callbacks.encoderFilterCallbacks()),
    };
  },
});
