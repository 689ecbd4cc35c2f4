import { defineFilter } from 'envoy-ts-filter';

/** Go's `websocket` plugin: headers of the handshake, and a prefix to what is tunnelled, in both directions. */
export default defineFilter({
  name: 'go-websocket',
  create: () => ({
    decodeHeaders(headers) {
      headers.set('test-websocket-req-key', 'foo');
    },
    decodeData(buffer, endStream) {
      if (!endStream && buffer.length !== 0) buffer.prepend('Hello_');
    },
    encodeHeaders(headers) {
      headers.set('test-websocket-rsp-key', 'bar');
    },
    encodeData(buffer, endStream) {
      if (!endStream && buffer.length !== 0) buffer.prepend('Bye_');
    },
  }),
});
