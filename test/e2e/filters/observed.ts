import { setTimeout as sleep } from 'node:timers/promises';
import { type BodyStream, defineFilter, type FilterError, StatusType, type StreamAbortedError } from 'envoy-ts-filter';
import { Digest } from '../../fixture/bytes.js';

/**
 * Changes all that it can, tries what it may not, and logs what it has seen when its stream is destroyed. The request says
 * what else it does: `x-sleep` milliseconds in decodeHeaders, `x-chunk` for each chunk of the request; `x-act` is reply,
 * stream, throw or whole.
 */
export default defineFilter({
  name: 'observed',
  attributes: ['request.method'],
  parseConfig: (raw) => ({ by: 'observed', ...(raw as object | undefined) }),
  create(config, callbacks) {
    let chunkMs = 0;
    const seen: Record<string, unknown> = { by: config.by };
    const read = async function* (body: BodyStream, what: string) {
      const sum = new Digest();
      for await (const chunk of body) {
        if (what === 'request' && chunkMs > 0) await sleep(chunkMs);
        sum.update(chunk);
        yield Buffer.from(`${what} changed ${Buffer.from(chunk).toString('latin1')}`, 'latin1');
      }
      seen[what] = sum.end();
      yield 'and more';
    };
    callbacks.signal.addEventListener('abort', () => {
      seen['aborted'] = (callbacks.signal.reason as StreamAbortedError).by;
    });
    return {
      async decodeHeaders(headers) {
        seen['path'] = headers.path;
        const act = headers.get('x-act');
        const sleepMs = Number(headers.get('x-sleep') ?? 0);
        chunkMs = Number(headers.get('x-chunk') ?? 0);
        headers.set('x-observed', 'yes').delete('x-keep');
        headers.path = '/elsewhere';
        callbacks.streamInfo().dynamicMetadata.set('observed', 'key', 'value');
        if (headers.get('x-act') !== 'upstream') callbacks.clearRouteCache();
        seen['method'] = callbacks.attributes['request.method'];
        // Envoy has a fast stream no more
        seen['asked'] = await callbacks.getProperty('request.method').catch((error: FilterError) => error.code);
        if (sleepMs > 0) await sleep(sleepMs);
        seen['slept'] = true;
        callbacks.metrics.counter('observed_asked').increment();
        if (act === 'reply') return callbacks.sendLocalReply(403, { body: 'no' });
        if (act === 'throw') throw new Error('on purpose');
        if (act === 'stream') return callbacks.reply(403, {}, forever());
        return act === 'whole' ? StatusType.StopAndBuffer : StatusType.Continue;
      },
      transformRequest: (body) => read(body, 'request'),
      decodeTrailers(trailers) {
        seen['request-trailer'] = trailers.get('x-sent');
        trailers.set('x-sent', 'changed');
      },
      encodeHeaders(headers) {
        seen['in order'] = seen['slept'];
        seen['status'] = headers.status;
        headers.set('x-observed', 'yes');
        headers.status = 418;
      },
      transformResponse: (body) => read(body, 'response'),
      encodeTrailers(trailers) {
        seen['response-trailer'] = trailers.get('x-upstream-trailer');
        trailers.set('x-upstream-trailer', 'changed');
      },
      onLog(entry) {
        seen['logged'] = entry.response?.get(':status');
      },
      onDestroy(reason) {
        callbacks.log.info({ ...seen, reason }, 'seen');
      },
    };
  },
});

async function* forever() {
  for (;;) {
    await sleep(1);
    yield 'no';
  }
}
