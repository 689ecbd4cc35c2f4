import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, FilterError, type CallRequest } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/** What x-call says: a request, and what to do with it. */
interface Spec extends CallRequest {
  cluster: string;
  /** Body bytes in pieces of 64 KiB, streamed. */
  stream?: number;
  /** Milliseconds until the signal aborts. */
  abortMs?: number;
  /** Pass the answer on as it comes; `cancel`: read one piece of it; `hold`: never read it. */
  answer?: 'pass' | 'cancel' | 'hold';
  web?: boolean;
}

const told = (e: unknown): object =>
  FilterError.is(e) ? { code: e.code, message: e.message } : { message: String((e as Error).message) };

async function* pieces(bytes: number): AsyncGenerator<Uint8Array> {
  for (let left = bytes; left > 0; left -= 65536) {
    await Promise.resolve();
    yield new Uint8Array(Math.min(left, 65536)).fill(97);
  }
}

/** Calls another cluster by x-call, and answers what came of it. */
export default defineFilter({
  name: 'calls',
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      const text = headers.get('x-call');
      if (text === undefined) return;
      const { cluster, stream, abortMs, answer, web, ...request } = JSON.parse(text) as Spec;
      if (stream !== undefined) request.body = pieces(stream);
      if (abortMs !== undefined) request.signal = AbortSignal.timeout(abortMs);
      try {
        const response = await callbacks.httpCall(
          cluster,
          web === true ? new Request(`http://web.test${request.path}`, request as RequestInit) : request,
        );
        if (answer === 'pass') {
          const given = [...response.headers].filter(([name]) => name === 'x-given');
          return callbacks.reply(response.status, given, response.body ?? []);
        }
        if (answer === 'hold') await sleep(30_000, undefined, { signal: callbacks.signal });
        let body: string;
        if (answer === 'cancel') {
          const reader = response.body!.getReader();
          body = String((await reader.read()).value?.length);
          await reader.cancel();
        } else body = await response.text();
        const trailers = [...((await response.trailers.catch(() => undefined)) ?? [])];
        const lines = [...response.headers];
        return callbacks.sendLocalReply(200, {
          body: JSON.stringify({
            status: response.status,
            headers: lines,
            body,
            none: response.body === null,
            trailers,
          }),
        });
      } catch (e) {
        count(`calls.${FilterError.is(e) ? e.code : 'other'}`);
        return callbacks.sendLocalReply(200, { body: JSON.stringify({ error: told(e) }) });
      }
    },
    onDestroy: () => count('calls.destroyed'),
  }),
});
