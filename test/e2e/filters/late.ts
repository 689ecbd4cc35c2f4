import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { defineFilter } from 'envoy-ts-filter';
import { patternAt } from '../../fixture/bytes.js';
import type { LateConfig } from './lib/late.js';

type Body = AsyncIterable<Uint8Array>;
const EVENT_END = '\n\n';
const PIECE = 65_536;

/** Each event goes `pause` after the one before. */
async function* events(body: Body, pause: number): AsyncGenerator<string> {
  let text = '';
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString('latin1');
    for (let end = text.indexOf(EVENT_END); end >= 0; end = text.indexOf(EVENT_END)) {
      const event = text.slice(0, end + EVENT_END.length);
      text = text.slice(end + EVENT_END.length);
      await sleep(pause);
      yield event;
    }
  }
}

/** What came, and a comment each `pause` while nothing comes. */
async function* pings(body: Body, pause: number): AsyncGenerator<Uint8Array | string> {
  const input = body[Symbol.asyncIterator]();
  for (let next = input.next(); ;) {
    const came = await Promise.race([next, sleep(pause, undefined)]);
    if (came === undefined) {
      yield `: ping${EVENT_END}`;
      continue;
    }
    if (came.done === true) return;
    yield came.value;
    next = input.next();
  }
}

/** `size` bytes of the pattern for each byte that came, when it is long over. */
async function* bulk(body: Body, pause: number, size: number): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    for (const _byte of chunk) {
      await sleep(pause);
      for (let at = 0; at < size; at += PIECE) yield patternAt(at, Math.min(PIECE, size - at));
    }
  }
}

async function* gunzip(body: Body): AsyncGenerator<Uint8Array> {
  const inflate = createGunzip();
  const feeding = (async () => {
    for await (const chunk of body) {
      if (!inflate.write(chunk)) await new Promise((resolve) => inflate.once('drain', resolve));
    }
    inflate.end();
  })();
  yield* inflate as AsyncIterable<Uint8Array>;
  await feeding;
}

/** Responses whose output is made long after their input came, or is far more than it. */
export default defineFilter({
  name: 'late',
  parseConfig: (raw: unknown) => raw as LateConfig,
  create: ({ makes, pause = 0, size = 0 }) => ({
    encodeHeaders(headers) {
      if (makes === 'gunzip') headers.delete('content-encoding');
    },
    transformResponse(body) {
      switch (makes) {
        case 'events':
          return events(body, pause);
        case 'pings':
          return pings(body, pause);
        case 'bulk':
          return bulk(body, pause, size);
        case 'gunzip':
          return gunzip(body);
      }
    },
  }),
});
