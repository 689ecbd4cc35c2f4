import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, FilterError, StatusType, type BodyBuffer, type DirectionCallbacks } from 'envoy-ts-filter';
import { count } from '../../filters/lib/counters.js';

/** Go's `bufferinjectdata` plugin: a hook that waits sends pieces on before its own chunk. */
export default defineFilter({
  name: 'go-inject-data',
  create(_config, callbacks) {
    const decoder = callbacks.decoderFilterCallbacks();
    const encoder = callbacks.encoderFilterCallbacks();
    let query = new URLSearchParams();
    let calls = 0;

    function refused(): typeof StatusType.LocalReply {
      try {
        decoder.injectData('just try');
      } catch (e) {
        if (!FilterError.is(e)) throw e;
        return callbacks.sendLocalReply(400, { body: e.code });
      }
      return callbacks.sendLocalReply(200, { body: 'it was allowed' });
    }

    /** The peer sends "To be, " and then "that is ". */
    function streamed(direction: DirectionCallbacks, buffer: BodyBuffer): void {
      direction.injectData(buffer.bytes());
      buffer.set('');
      // a third call may come, for the end alone
      if (calls < 2) direction.injectData(calls === 0 ? 'or not to be, ' : 'the question');
      calls++;
    }

    /** The peer sends "To be, ". */
    async function whole(direction: DirectionCallbacks, buffer: BodyBuffer): Promise<void> {
      direction.injectData(buffer.bytes());
      buffer.set('');
      direction.injectData('or not to be, ');
      await sleep(10);
      direction.injectData('that is the question');
    }

    /** Go: `go func() { ...; Continue(status) }(); return api.Running` */
    function run(direction: DirectionCallbacks, work: () => Promise<void> | void): typeof StatusType.Running {
      setImmediate(() => {
        void Promise.resolve(work()).then(() => {
          direction.continue(StatusType.Continue);
        });
      });
      return StatusType.Running;
    }

    return {
      decodeHeaders(headers, endStream) {
        query = new URL(headers.path, 'http://any').searchParams;
        if (query.has('in-headers')) return refused();
        return query.has('buffered-decode') && !endStream ? StatusType.StopAndBuffer : StatusType.Continue;
      },
      decodeData(buffer) {
        count('go-inject-data.decodeData');
        if (query.has('synchronous')) return refused();
        if (query.has('buffered-decode')) return run(decoder, () => whole(decoder, buffer));
        return run(decoder, query.has('decode') ? () => streamed(decoder, buffer) : () => undefined);
      },
      encodeHeaders: (_headers, endStream) =>
        query.has('buffered-encode') && !endStream ? StatusType.StopAndBuffer : StatusType.Continue,
      encodeData(buffer) {
        count('go-inject-data.encodeData');
        if (query.has('buffered-encode')) return run(encoder, () => whole(encoder, buffer));
        return run(encoder, query.has('encode') ? () => streamed(encoder, buffer) : () => undefined);
      },
    };
  },
});
