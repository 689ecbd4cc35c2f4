import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, FilterError, StatusType, type FilterCallbacks, type RequestHeaders } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

interface Config {
  /** What decodeHeaders does, see below. */
  readonly does?: string;
  readonly delayMs?: number;
}

const CALLS: Record<string, (callbacks: FilterCallbacks) => unknown> = {
  clearRouteCache: (callbacks) => callbacks.clearRouteCache(),
  refreshRouteCache: (callbacks) => callbacks.refreshRouteCache(),
  setUpstreamOverrideHost: (callbacks) => callbacks.decoderFilterCallbacks().setUpstreamOverrideHost('127.0.0.1:1'),
  drainConnectionUponCompletion: (callbacks) => callbacks.streamInfo().drainConnectionUponCompletion(),
  reply: (callbacks) => callbacks.reply(200, {}, ['streamed']),
  recreateStream: (callbacks) => callbacks.recreateStream(),
};

/** What can be done as an upstream HTTP filter: `does` or `x-does` names it. */
export default defineFilter({
  name: 'upstream',
  parseConfig: (raw) => (raw ?? {}) as Config,
  create({ does, delayMs = 5 }, callbacks) {
    count('upstream.created');
    const todo = (headers: RequestHeaders) => headers.get('x-does') ?? does ?? '';
    return {
      async decodeHeaders(headers) {
        count('upstream.decodeHeaders');
        await sleep(delayMs);
        const what = todo(headers);
        headers.set('x-try', String(Number(headers.get('x-try') ?? '0') + 1));
        if (what === 'local') return callbacks.sendLocalReply(418, { body: 'short and stout', details: 'teapot' });
        if (what === 'throw') throw new Error('on purpose');
        if (what === 'never') await new Promise(() => undefined);
        if (what === 'metadata') {
          callbacks.streamInfo().dynamicMetadata.set('test', 'key', 'value');
          callbacks.streamInfo().filterState.setString('test.key', 'state');
          headers.set('x-metadata', JSON.stringify(await callbacks.streamInfo().dynamicMetadata.get('test')));
          headers.set('x-state', (await callbacks.streamInfo().filterState.getString('test.key')) ?? 'none');
          headers.set('x-host', await callbacks.getProperty('upstream.address'));
        }
        if (what === 'call') {
          const answer = await callbacks.httpCall('side', { path: '/hello' });
          headers.set('x-call', await answer.text());
        }
        const call = CALLS[what];
        if (call === undefined) return StatusType.Continue;
        try {
          call(callbacks);
          headers.set('x-error', 'none');
        } catch (error) {
          headers.set('x-error', FilterError.is(error) ? error.code : String(error));
        }
        return StatusType.Continue;
      },
      onStreamComplete: () => count('upstream.complete'),
      onDestroy: () => count('upstream.destroyed'),
    };
  },
});
