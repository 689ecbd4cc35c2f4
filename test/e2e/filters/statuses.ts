import { defineFilter, FilterError, StatusType } from 'envoy-ts-filter';

type Answering = 'decodeHeaders' | 'decodeData' | 'decodeTrailers' | 'encodeHeaders' | 'encodeData' | 'encodeTrailers';

/**
 * Answers what the query says: `?decodeData=5` from that hook, `?decodeData=5&async` by a promise. `?twice` continues the
 * request a second time, `?late` calls after the end; what these throw is told in the log.
 */
export default defineFilter({
  name: 'statuses',
  create(_config, callbacks) {
    const tell = (what: string, call: () => unknown): void => {
      try {
        call();
        callbacks.log.info({ what, threw: 'nothing' }, what);
      } catch (e) {
        if (!FilterError.is(e)) throw e;
        callbacks.log.info({ what, threw: e.code, message: e.message, phase: e.phase }, what);
      }
    };
    const answer = (hook: Answering): never => {
      const query = new URL(callbacks.request.path, 'http://a').searchParams;
      const asked = query.get(hook);
      // Any value may be asked for: the types would refuse most of them.
      const status = asked === null ? undefined : Number(asked);
      return (query.has('async') ? Promise.resolve().then(() => status) : status) as never;
    };
    return {
      decodeHeaders(headers) {
        const query = new URL(headers.path, 'http://a').searchParams;
        if (!query.has('twice')) return answer('decodeHeaders');
        const direction = callbacks.decoderFilterCallbacks();
        setTimeout(() => {
          direction.continue(StatusType.Continue);
          tell('twice', () => direction.continue(StatusType.Continue));
        }, 5);
        return StatusType.Running;
      },
      decodeData: () => answer('decodeData'),
      decodeTrailers: () => answer('decodeTrailers'),
      encodeHeaders: () => answer('encodeHeaders'),
      encodeData: () => answer('encodeData'),
      encodeTrailers: () => answer('encodeTrailers'),
      onDestroy() {
        if (!callbacks.request.path.includes('late')) return;
        tell('late reply', () => callbacks.sendLocalReply(403));
        tell('late continue', () => callbacks.decoderFilterCallbacks().continue(StatusType.Continue));
        tell('late data', () => callbacks.encoderFilterCallbacks().addData('late'));
      },
    };
  },
});
