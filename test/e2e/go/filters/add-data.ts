import { defineFilter, FilterError, StatusType, type BodyBuffer, type DirectionCallbacks } from 'envoy-ts-filter';

/** Go's `add_data` plugin: bytes added in headers and trailers hooks, and refused in a data hook. */
export default defineFilter({
  name: 'go-add-data',
  create(_config, callbacks) {
    const decoder = callbacks.decoderFilterCallbacks();
    const encoder = callbacks.encoderFilterCallbacks();
    let query = new URLSearchParams();
    const dataStatus = () => (query.has('buffer-all-data') ? StatusType.StopAndBuffer : StatusType.Continue);

    function notAllowed(buffer: BodyBuffer, text: string): void {
      try {
        decoder.addData(text, true);
      } catch (e) {
        if (!FilterError.is(e)) throw e;
        buffer.append(` ${e.code}: ${e.message}`);
      }
    }

    /** Go: `go func() { AddData(); Continue(api.Continue) }(); return api.Running` */
    function later(direction: DirectionCallbacks, add: () => void): typeof StatusType.Running {
      setImmediate(() => {
        add();
        direction.continue(StatusType.Continue);
      });
      return StatusType.Running;
    }

    return {
      decodeHeaders(headers) {
        query = new URL(headers.path, 'http://any').searchParams;
        const text = query.get('decodeHeaders');
        if (text === null) return;
        headers.method = 'POST';
        headers.set('content-length', String(text.length));
        decoder.addData(text, true);
      },
      decodeData(buffer, endStream) {
        const text = query.get('decodeData');
        if (text !== null && endStream) notAllowed(buffer, text);
        return endStream ? StatusType.Continue : dataStatus();
      },
      decodeTrailers() {
        const text = query.get('decodeTrailers');
        if (text !== null) decoder.addData(text, !query.has('buffer-all-data'));
      },
      encodeHeaders(headers) {
        const text = query.get('encodeHeaders');
        if (text === null) return;
        return later(encoder, () => {
          headers.set('content-length', String(text.length));
          encoder.addData(text, true);
        });
      },
      encodeData: (_buffer, endStream) => (endStream ? StatusType.Continue : dataStatus()),
      encodeTrailers() {
        const text = query.get('encodeTrailers');
        if (text === null) return;
        return later(encoder, () => {
          encoder.addData(text, !query.has('buffer-all-data'));
        });
      },
    };
  },
});
