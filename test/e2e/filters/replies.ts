import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, StatusType } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/** Answers and failures by path. What a path does not name goes to the upstream. */
export default defineFilter({
  name: 'replies',
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      const url = new URL(headers.path, 'http://any');
      const ms = Number(url.searchParams.get('ms') ?? '10');
      switch (url.pathname) {
        case '/deny':
          return callbacks.sendLocalReply(403, {
            body: 'forbidden\n',
            headers: [
              ['x-reason', 'first'],
              ['x-reason', 'second'],
              ['content-type', 'text/x-test'],
            ],
            details: 'denied_by_test',
          });
        case '/deny-later':
          await sleep(ms);
          return callbacks.sendLocalReply(403, { body: 'forbidden later\n' });
        case '/deny-object':
          return callbacks.sendLocalReply(429, { headers: { 'retry-after': '7', 'x-many': ['1', '2'] } });
        case '/stream': {
          const count_ = Number(url.searchParams.get('n') ?? '5');
          return callbacks.reply(200, { 'x-streamed': 'yes' }, lines(count_, ms, callbacks.signal));
        }
        case '/stream-big':
          return callbacks.reply(200, {}, big(Number(url.searchParams.get('n'))));
        case '/stream-fails':
          return callbacks.reply(200, {}, failing());
        case '/stream-empty':
          return callbacks.reply(204, {}, []);
        case '/throw':
          throw new Error('a sync fault');
        case '/throw-later':
          await sleep(ms);
          throw new Error('a late fault');
        case '/throw-string':
          throw 'not even an Error';
        case '/bad-header':
          headers.set('x-bad', 'a\r\nb: c');
          return;
        case '/bad-header-caught':
          try {
            headers.set('x-bad', 'a\r\nb: c');
          } catch (error) {
            headers.set('x-caught', (error as { code?: string }).code ?? 'no code');
          }
          return;
        case '/empty-header-caught':
          try {
            headers.set('x-empty', '');
          } catch (error) {
            headers.set('x-caught', (error as { code?: string }).code ?? 'no code');
          }
          return;
        case '/running':
          setTimeout(() => {
            headers.set('x-running', 'yes');
            callbacks.decoderFilterCallbacks().continue(StatusType.Continue);
          }, ms);
          return StatusType.Running;
        default:
          return;
      }
    },
    async encodeHeaders(headers, endStream) {
      const url = new URL(callbacks.request.path, 'http://any');
      if (url.searchParams.has('replace')) {
        await sleep(100);
        if (url.searchParams.get('replace') === 'whole')
          return callbacks.sendLocalReply(200, { body: new Uint8Array(300_000).fill(120) });
        return callbacks.reply(200, { 'x-streamed': 'yes' }, lines(50, 2, callbacks.signal));
      }
      switch (url.pathname) {
        case '/throw-encode':
          throw new Error('a fault in encodeHeaders');
        case '/stop-headers-only':
          return endStream ? StatusType.StopAndBuffer : StatusType.Continue;
        case '/deny-response':
          return callbacks.sendLocalReply(502, { body: 'response refused\n' });
        default:
          headers.set('x-passed', 'yes');
          return;
      }
    },
    async *transformRequest(body) {
      for await (const chunk of body) {
        if (callbacks.request.path === '/sink?throw-body') throw new Error('a fault in transformRequest');
        if (callbacks.request.path === '/sink?deny-body') {
          callbacks.sendLocalReply(403, { body: 'forbidden in the body\n' });
          return;
        }
        yield chunk;
      }
    },
    async *transformResponse(body) {
      let chunks = 0;
      for await (const chunk of body) {
        yield chunk;
        // The headers have gone when the second chunk is asked for.
        if (callbacks.request.path.includes('late-throw') && ++chunks > 1) {
          await sleep(250);
          throw new Error('a fault after the headers went');
        }
      }
    },
    onDestroy: () => count('replies.destroyed'),
  }),
});

async function* lines(n: number, ms: number, signal: AbortSignal): AsyncGenerator<string> {
  try {
    for (let i = 0; i < n; i++) {
      if (i > 0) await sleep(ms, undefined, { signal });
      yield `line ${i}\n`;
    }
  } finally {
    count('replies.streamFinally');
  }
}

function* big(n: number): Generator<Uint8Array> {
  for (let i = 0; i < n; i++) yield new Uint8Array(65536).fill(i & 255);
}

async function* failing(): AsyncGenerator<string> {
  yield 'something';
  await sleep(100);
  throw new Error('a fault in a streamed reply');
}
