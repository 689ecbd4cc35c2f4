/** The host is absent, killed, stopped, replaced or too slow: what each stream gets, and that Envoy and traffic go on. */
import { describe, expect, it } from 'vitest';
import {
  Connection, eventually, get, http1, http2, patternDigest, sleep, startUpstream, type Fixture, type FilterSpec, type Line, type Request,
  type Response, type Seen, type Upstream,
} from '../fixture/index.js';
import { withEnvoy } from './support.js';

async function withUpstream<T>(run: (upstream: Upstream) => Promise<T>): Promise<T> {
  const upstream = await startUpstream();
  try {
    return await run(upstream);
  } finally {
    await upstream.close();
  }
}

/** One fixture and one upstream for one test. */
function scene(
  filters: readonly FilterSpec[], run: (fx: Fixture) => Promise<void>, more: { host?: boolean; counters?: boolean; hostArgs?: string[] } = {},
): Promise<void> {
  return withUpstream((upstream) => withEnvoy({ filters, upstream, counters: true, ...more }, run));
}

/** An upload that goes on until the test ends it. */
async function* endless() {
  for (let i = 0; i < 200; i++) {
    yield Buffer.alloc(500, 97);
    await sleep(50);
  }
}

interface Position {
  where: string;
  filter: string;
  request: Partial<Request>;
  parked: string;
  /** The answer: a status, or `cut` for an answer that ends without its end. */
  closed: number | 'cut';
  details?: string;
}

const UPLOAD = { method: 'POST', path: '/sink' };
const ECHO = { method: 'POST', path: '/echo' };
const POSITIONS: Position[] = [
  { where: 'request headers unanswered', filter: 'park', parked: 'decodeHeaders', request: { path: '/hello' }, closed: 503, details: 'ts_filter_host_lost' },
  { where: 'request headers of an upload unanswered', filter: 'park', parked: 'decodeHeaders', request: { ...UPLOAD, body: 'some' }, closed: 503, details: 'ts_filter_host_lost' },
  { where: 'the whole request body held', filter: 'park-whole', parked: 'whole', request: { ...UPLOAD, body: 'whole body' }, closed: 503, details: 'ts_filter_host_lost' },
  { where: 'a streamed request body partly sent on', filter: 'park', parked: 'requestBody', request: UPLOAD, closed: 502 },
  { where: 'a streamed request body partly sent on, response begun', filter: 'park', parked: 'requestBody', request: ECHO, closed: 'cut' },
  { where: 'response headers unanswered', filter: 'park', parked: 'encodeHeaders', request: { path: '/hello' }, closed: 502, details: 'ts_filter_host_lost' },
  { where: 'the whole response body held', filter: 'park-whole', parked: 'response', request: { path: '/hello' }, closed: 502, details: 'ts_filter_host_lost' },
  { where: 'response trailers unanswered', filter: 'park', parked: 'encodeTrailers', request: { path: '/bytes?n=1000&trailers=1' }, closed: 'cut' },
  { where: 'a response body partly sent', filter: 'park', parked: 'responseBody', request: { path: '/bytes?n=300000' }, closed: 'cut' },
  { where: 'a streamed reply partly sent', filter: 'park', parked: 'reply', request: { path: '/hello' }, closed: 'cut' },
];

function ended(answer: Response | Error): string {
  if (answer instanceof Error) return answer.message;
  return answer.complete ? String(answer.status) : 'cut';
}

async function parkAndKill(fx: Fixture, position: Position, protocol: 'http1' | 'http2'): Promise<Response> {
  const { request, parked } = position;
  const headers: Line[] = [['x-park', parked === 'whole' ? 'request' : parked]];
  const upload = request.method === 'POST' && request.body === undefined ? { body: endless() } : {};
  const exchange = protocol === 'http1' ? http1 : http2;
  const answer = exchange(fx.port, { path: '/', ...request, ...upload, headers, timeoutMs: 6_000 });
  answer.catch(() => undefined);
  const place = position.filter === 'park-whole' ? 'park-whole.parked' : `park.at.${parked}`;
  await eventually(`parked in ${parked}`, async () => (await fx.counters())[place] === 1, 4_000);
  await fx.host.kill();
  return answer;
}

describe.each(['http1', 'http2'] as const)('the host is killed, failure_mode closed, %s', (protocol) => {
  it.each(POSITIONS)('with $where', (position) =>
    scene([{ name: position.filter, options: { host_wait: '0s' } }], async (fx) => {
      const killedAt = performance.now();
      const answer = await parkAndKill(fx, position, protocol);
      expect(performance.now() - killedAt).toBeLessThan(5_000);
      expect(ended(answer)).toBe(String(position.closed));
      if (position.closed === 'cut') expect(answer.status).toBe(200);
      const entry = await fx.logged(position.request.path!);
      if (position.details !== undefined) expect(entry.details).toContain(position.details);

      // nothing of the dead host is left: without one 503, with a new one 200
      const without = await get(fx.port, '/hello?without');
      expect(without.status).toBe(503);
      expect((await fx.logged('/hello?without')).details).toContain('ts_filter_no_host');
      await fx.startHost();
      await eventually('traffic goes on', async () => (await get(fx.port, '/hello')).status === 200);
      expect(await eventually('no stream is left', async () => (await fx.activeStreams()) === 0)).toBe(true);
    }));

  it('with request trailers unanswered', () =>
    scene([{ name: 'park', options: { host_wait: '0s' } }], async (fx) => {
      const exchange = protocol === 'http1' ? http1 : http2;
      const answer = exchange(fx.port, {
        method: 'POST', path: '/sink', body: ['some'], trailers: [['x-sum', '1']], headers: [['x-park', 'decodeTrailers']], timeoutMs: 6_000,
      });
      await eventually('parked in decodeTrailers', async () => (await fx.counters())['park.at.decodeTrailers'] === 1);
      await fx.host.kill();
      expect(['cut', '502']).toContain(ended(await answer));
    }));
});

describe('the host is killed with many streams in every position', () => {
  it('each ends once and Envoy serves on', () =>
    scene([{ name: 'park', options: { host_wait: '0s' } }], async (fx) => {
      const places = ['decodeHeaders', 'encodeHeaders', 'responseBody', 'reply'];
      const answers = Array.from({ length: 200 }, (_, i) =>
        get(fx.port, `/bytes?n=100000&i=${i}`, [['x-park', places[i % places.length]!]]).catch((error: Error) => error));
      await eventually('200 parked', async () => {
        const counts = await fx.counters();
        return places.every((place) => counts[`park.at.${place}`] === 50);
      });
      await fx.host.kill();
      const kinds = new Map<string, number>();
      for (const answer of await Promise.all(answers)) kinds.set(ended(answer), (kinds.get(ended(answer)) ?? 0) + 1);
      expect(Object.fromEntries(kinds)).toEqual({ 503: 50, 502: 50, cut: 100 });
      for (let i = 0; i < 200; i++) await fx.logged(`/bytes?n=100000&i=${i}`);
      await fx.startHost();
      await eventually('traffic goes on', async () => (await get(fx.port, '/hello')).status === 200);
    }));
});

describe('the host is killed, failure_mode open', () => {
  const options = { host_wait: '0s', failure_mode: 'open' };
  it('unanswered request headers go on untouched', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = http1(fx.port, { method: 'POST', path: '/sink', body: 'untouched', headers: [['x-park', 'decodeHeaders']], timeoutMs: 6_000 });
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      const seen = (await answer).json as Seen;
      expect(seen.digest.startsWith('9:')).toBe(true);
      expect(seen.headers.some(([name]) => name === 'x-attempt')).toBe(false);
    }));

  it('unanswered response headers go on untouched', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = get(fx.port, '/bytes?n=400000', [['x-park', 'encodeHeaders']]);
      await eventually('parked', async () => (await fx.counters())['park.at.encodeHeaders'] === 1);
      await fx.host.kill();
      expect([(await answer).status, (await answer).digest]).toEqual([200, patternDigest(400_000)]);
    }));

  it('a whole request body that was held goes on as the original', () =>
    scene([{ name: 'park-whole', options }], async (fx) => {
      const answer = http1(fx.port, { method: 'POST', path: '/echo', body: 'the original', timeoutMs: 6_000 });
      await eventually('parked', async () => (await fx.counters())['park-whole.parked'] === 1);
      await fx.host.kill();
      expect([(await answer).status, (await answer).text]).toEqual([200, 'the original']);
    }));

  it('streams pass untouched while no host is there, and through the next host again', () =>
    scene([{ name: 'touch', options }], async (fx) => {
      expect((await get(fx.port, '/hello')).header('x-touch-response')).toBe('on');
      await fx.host.kill();
      await eventually('a stream passes untouched', async () => {
        const answer = await get(fx.port, '/hello');
        expect(answer.status).toBe(200);
        return answer.header('x-touch-response') === undefined;
      });
      await fx.startHost();
      await eventually('a stream is touched', async () => {
        const answer = await get(fx.port, '/hello');
        expect(answer.status).toBe(200);
        return answer.header('x-touch-response') === 'on';
      });
    }));

  it('a response body partly sent is cut, also in open mode', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = get(fx.port, '/bytes?n=300000', [['x-park', 'responseBody']]);
      await eventually('parked', async () => (await fx.counters())['park.at.responseBody'] === 1);
      await fx.host.kill();
      expect(ended(await answer)).toBe('cut');
    }));
});

describe('the host is killed, failure_mode replay', () => {
  const options = { failure_mode: 'replay', host_wait: '8s', message_timeout: '8s' };
  it('request headers go to the next host, once', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = http1(fx.port, { path: '/sink', headers: [['x-park', 'decodeHeaders'], ['x-park-once', 'yes']], timeoutMs: 12_000 });
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      await sleep(200);
      await fx.startHost();
      const seen = (await answer).json as Seen;
      expect(seen.headers).toContainEqual(['x-attempt', '2']);
    }));

  it('a whole request body is replayed, once', () =>
    scene([{ name: 'park-whole', options }], async (fx) => {
      const answer = http1(fx.port, { method: 'POST', path: '/echo', body: 'again', headers: [['x-park-once', 'yes']], timeoutMs: 12_000 });
      await eventually('parked', async () => (await fx.counters())['park-whole.parked'] === 1);
      await fx.host.kill();
      await fx.startHost();
      expect([(await answer).status, (await answer).text]).toEqual([200, 'again']);
    }));

  it('a second death is the end: no endless replays', () =>
    scene([{ name: 'park', options: { ...options, host_wait: '2s' } }], async (fx) => {
      const answer = get(fx.port, '/hello', [['x-park', 'decodeHeaders']]);
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      await fx.startHost();
      await eventually('parked again', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      expect((await answer).status).toBe(503);
    }));
});

describe('no host when the stream starts', () => {
  it('answers 503 ts_filter_no_host at once, and serves when a host comes', () =>
    scene([{ name: 'touch', options: { host_wait: '0s' } }], async (fx) => {
      const started = performance.now();
      expect((await get(fx.port, '/hello?absent')).status).toBe(503);
      expect(performance.now() - started).toBeLessThan(500);
      expect((await fx.logged('/hello?absent')).details).toContain('ts_filter_no_host');
      await fx.startHost();
      await eventually('served', async () => (await get(fx.port, '/hello')).header('x-touch-response') === 'on', 5_000);
    }, { host: false }));

  it('host_wait bridges until a host comes', () =>
    scene([{ name: 'touch', options: { host_wait: '10s' } }], async (fx) => {
      const answers = Array.from({ length: 20 }, (_, i) => http1(fx.port, { path: `/hello?${i}`, timeoutMs: 12_000 }));
      await sleep(400);
      await fx.startHost();
      for (const answer of await Promise.all(answers)) expect([answer.status, answer.header('x-touch-response')]).toEqual([200, 'on']);
    }, { host: false }));

  it('host_wait ends with 503', () =>
    scene([{ name: 'touch', options: { host_wait: '0.4s' } }], async (fx) => {
      const started = performance.now();
      expect((await get(fx.port, '/hello')).status).toBe(503);
      const took = performance.now() - started;
      expect(took).toBeGreaterThan(350);
      expect(took).toBeLessThan(2_000);
    }, { host: false }));

  it('open passes untouched', () =>
    scene([{ name: 'touch', options: { host_wait: '0s', failure_mode: 'open' } }], async (fx) => {
      const answer = await http1(fx.port, { method: 'POST', path: '/echo', body: 'as it is' });
      expect([answer.status, answer.text, answer.header('x-touch-response')]).toEqual([200, 'as it is', undefined]);
    }, { host: false }));

  it('a client that leaves while waiting harms nothing', () =>
    scene([{ name: 'touch', options: { host_wait: '10s' } }], async (fx) => {
      for (let i = 0; i < 20; i++) {
        const client = await Connection.open(fx.port);
        await client.write('GET /hello HTTP/1.1\r\nhost: a\r\n\r\n');
        await sleep(5);
        client.reset();
      }
      await eventually('no stream is left', async () => (await fx.activeStreams()) === 0);
      await fx.startHost();
      expect((await get(fx.port, '/hello')).status).toBe(200);
    }, { host: false }));
});

describe('message_timeout', () => {
  const options = { message_timeout: '0.3s' };
  it.each([
    { place: 'decodeHeaders', request: { path: '/hello' } },
    { place: 'encodeHeaders', request: { path: '/hello' } },
  ])('$place: 504 ts_filter_timeout', ({ place, request }) =>
    scene([{ name: 'park', options }], async (fx) => {
      const started = performance.now();
      const answer = await http1(fx.port, { ...request, headers: [['x-park', place]], timeoutMs: 4_000 });
      const took = performance.now() - started;
      expect(answer.status).toBe(504);
      expect((await fx.logged(request.path)).details).toContain('ts_filter_timeout');
      expect(took).toBeGreaterThan(250);
      expect(took).toBeLessThan(1_500);
      // the filter hears of it
      await eventually('aborted and destroyed', async () => {
        const counts = await fx.counters();
        return counts['park.aborted'] === 1 && counts['park.destroyed'] === 1;
      });
    }));

  it.each(['request', 'response'])('a whole %s body: 504', (where) =>
    scene([{ name: 'park-whole', options }], async (fx) => {
      const answer = await http1(fx.port, { method: 'POST', path: '/echo', body: 'whole', headers: [['x-park', where]], timeoutMs: 4_000 });
      expect(answer.status).toBe(504);
    }));

  it('response trailers: the answer is cut', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = await http1(fx.port, { path: '/bytes?n=1000&trailers=1', headers: [['x-park', 'encodeTrailers']], timeoutMs: 4_000 });
      expect(ended(answer)).toBe('cut');
    }));

  it('does not limit the pace of a streaming filter', () =>
    scene([{ name: 'twice', config: { pauseMs: 800 }, options }], async (fx) => {
      const answer = await get(fx.port, '/hello');
      expect([answer.status, answer.text, answer.broken]).toEqual([200, 'hola mundo :)', '']);
    }));

  it('open goes on untouched where nothing was consumed', () =>
    scene([{ name: 'park', options: { ...options, failure_mode: 'open' } }], async (fx) => {
      const answer = await http1(fx.port, { method: 'POST', path: '/echo', body: 'untouched', headers: [['x-park', 'decodeHeaders']], timeoutMs: 4_000 });
      expect([answer.status, answer.text]).toEqual([200, 'untouched']);
    }));

  it('extendTimeout adds to it', () =>
    scene([{ name: 'auth', config: { tokens: { secret: 'ann' }, delay_ms: 700 }, options }], async (fx) => {
      const answer = await get(fx.port, '/sink', [['authorization', 'Bearer secret']]);
      expect(answer.status).toBe(200);
      expect((answer.json as Seen).headers).toContainEqual(['x-user', 'ann']);
    }));
});

describe('the host is stopped (SIGSTOP)', () => {
  it('is lost after host_stall_timeout, and serves again when it goes on', () =>
    scene([{ name: 'touch', options: { host_wait: '0s', host_stall_timeout: '0.5s', message_timeout: '20s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      fx.host.signal('SIGSTOP');
      const started = performance.now();
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => get(fx.port, `/hello?stalled${i}`)));
      expect(performance.now() - started).toBeLessThan(4_000);
      expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([503]));
      expect((await fx.logged('/hello?stalled0')).details).toMatch(/ts_filter_(host_lost|no_host)/);
      fx.host.signal('SIGCONT');
      await eventually('served again', async () => (await get(fx.port, '/hello')).status === 200);
    }));
});

describe('gRPC requests get a grpc-status that fits', () => {
  const grpc = (fx: Fixture, headers: Line[]) => http2(fx.port, {
    method: 'POST', path: '/grpc.Service/Call', headers: [['content-type', 'application/grpc'], ['te', 'trailers'], ...headers], body: Buffer.alloc(5),
    timeoutMs: 6_000,
  });
  const status = (answer: Response) => [answer.status, answer.header('grpc-status') ?? answer.trailer('grpc-status')];

  it('14 when the host is lost and when there is none', () =>
    scene([{ name: 'park', options: { host_wait: '0s' } }], async (fx) => {
      const answer = grpc(fx, [['x-park', 'decodeHeaders']]);
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      expect(status(await answer)).toEqual([200, '14']);
      expect(status(await grpc(fx, []))).toEqual([200, '14']);
    }));

  it('4 for a timeout', () =>
    scene([{ name: 'park', options: { message_timeout: '0.3s' } }], async (fx) => {
      expect(status(await grpc(fx, [['x-park', 'decodeHeaders']]))).toEqual([200, '4']);
    }));

  it('13 for a fault of the filter', () =>
    scene([{ name: 'fault' }], async (fx) => {
      expect(status(await grpc(fx, []))).toEqual([200, '13']);
    }));
});

/** Asks without pause until stopped; what was not right is kept. */
function traffic(fx: Fixture, lanes = 4) {
  let running = true;
  let asked = 0;
  const wrong: string[] = [];
  const lane = async () => {
    while (running) {
      asked++;
      const answer = await http1(fx.port, { method: 'POST', path: '/echo', body: 'abc', timeoutMs: 10_000 }).catch((error: Error) => error);
      const got = answer instanceof Error ? answer.message : `${answer.status} ${answer.text} ${answer.header('x-touch-response')} ${answer.broken}`;
      if (got !== '200 abc on ') wrong.push(got);
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, lane));
  return {
    stop: async () => {
      running = false;
      await all;
      return { asked, wrong };
    },
  };
}

describe('redeploys fail no request', () => {
  it('a new host takes the socket over while the old one drains', () =>
    scene([{ name: 'touch', options: { host_wait: '0s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      const load = traffic(fx);
      const old = fx.host;
      await sleep(300);
      await fx.startHost();
      await eventually('the old host ends by itself', () => !old.running, 15_000);
      expect((await old.exit).code).toBe(0);
      await sleep(300);
      const { asked, wrong } = await load.stop();
      expect(wrong).toEqual([]);
      expect(asked).toBeGreaterThan(50);
    }));

  it('SIGHUP loads the filters anew', () =>
    scene([{ name: 'touch', options: { host_wait: '0s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      const before = await fx.counters();
      const load = traffic(fx);
      await sleep(200);
      fx.host.signal('SIGHUP');
      await eventually('a new worker thread', async () => (await fx.counters())['born'] !== before['born'], 10_000);
      await sleep(500);
      const { asked, wrong } = await load.stop();
      expect(wrong).toEqual([]);
      expect(asked).toBeGreaterThan(50);
    }));

  it('a stop and a start with host_wait between fail none either', () =>
    scene([{ name: 'touch', options: { host_wait: '10s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      const load = traffic(fx);
      await sleep(200);
      const old = fx.host;
      expect((await old.stop(8_000)).code).toBe(0);
      await fx.startHost();
      await sleep(500);
      const { wrong } = await load.stop();
      expect(wrong).toEqual([]);
    }));
});

describe('a worker thread dies of an error that nothing caught', () => {
  it('its streams are lost, and the next ones are served by its successor', () =>
    scene([{ name: 'crash', options: { host_wait: '5s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      expect((await get(fx.port, '/crash')).status).toBe(503);
      expect((await fx.logged('/crash')).details).toContain('ts_filter_host_lost');
      expect(fx.host.running).toBe(true);
      expect(fx.host.output).toContain('thrown from a timer');
      await eventually('served again', async () => (await get(fx.port, '/hello')).status === 200);
    }));

  it('a rejection that nobody awaits is logged and harms nothing', () =>
    scene([{ name: 'crash' }], async (fx) => {
      const answer = await get(fx.port, '/reject');
      expect(answer.text).toBe('you asked for /reject');
      await eventually('logged', () => fx.host.output.includes('nobody awaits this'));
      expect((await get(fx.port, '/hello')).status).toBe(200);
      expect(fx.host.running).toBe(true);
    }));
});
