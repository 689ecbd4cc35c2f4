/** The host is killed while streams wait for it: what each gets, and that Envoy and traffic go on. */
import { describe, expect, it } from 'vitest';
import {
  eventually,
  get,
  http1,
  http2,
  patternDigest,
  sleep,
  type Config,
  type Fixture,
  type Line,
  type Request,
  type Response,
  type Seen,
} from '../fixture/index.js';
import { ended, killHost, oneByOne, scene } from './support.js';

/** An upload that goes on until the test ends it; its second piece is for who has done something with the first. */
async function* endless(first: () => unknown) {
  yield Buffer.alloc(500, 97);
  await first();
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
  closed: number | 'cut' | 'cut or 502';
  details?: string;
}

const UPLOAD = { method: 'POST', path: '/sink' };
const ECHO = { method: 'POST', path: '/echo' };
const POSITIONS: Position[] = [
  {
    where: 'request headers unanswered',
    filter: 'park',
    parked: 'decodeHeaders',
    request: { path: '/hello' },
    closed: 503,
    details: 'ts_filter_host_lost',
  },
  {
    where: 'request headers of an upload unanswered',
    filter: 'park',
    parked: 'decodeHeaders',
    request: { ...UPLOAD, body: 'some' },
    closed: 503,
    details: 'ts_filter_host_lost',
  },
  {
    where: 'the whole request body held',
    filter: 'park-whole',
    parked: 'whole',
    request: { ...UPLOAD, body: 'whole body' },
    closed: 503,
    details: 'ts_filter_host_lost',
  },
  {
    where: 'a streamed request body partly sent on',
    filter: 'park',
    parked: 'requestBodyLater',
    request: UPLOAD,
    closed: 502,
  },
  {
    where: 'a streamed request body partly sent on, response begun',
    filter: 'park',
    parked: 'requestBodyLater',
    request: ECHO,
    closed: 'cut',
  },
  {
    where: 'response headers unanswered',
    filter: 'park',
    parked: 'encodeHeaders',
    request: { path: '/hello' },
    closed: 502,
    details: 'ts_filter_host_lost',
  },
  {
    where: 'the whole response body held',
    filter: 'park-whole',
    parked: 'response',
    request: { path: '/hello' },
    closed: 502,
    details: 'ts_filter_host_lost',
  },
  {
    where: 'response trailers unanswered',
    filter: 'park',
    parked: 'encodeTrailers',
    request: { path: '/bytes?n=1000&trailers=1' },
    // the headers may wait for the end of so short a body
    closed: 'cut or 502',
  },
  {
    where: 'a response body partly sent',
    filter: 'park',
    parked: 'responseBodyLater',
    // one whose end is not there yet: after the end Envoy takes only one piece more
    request: { path: '/one-by-one' },
    closed: 'cut',
  },
  {
    where: 'a streamed reply partly sent',
    filter: 'park',
    parked: 'reply',
    request: { path: '/hello' },
    closed: 'cut',
  },
];

const parking = (
  position: Position,
  protocol: 'http1' | 'http2',
  options: Config,
  run: (answer: Response, fx: Fixture) => Promise<void>,
) => {
  const { request, parked, filter } = position;
  const { upstream, begins } = oneByOne();
  return scene(
    [{ name: filter, options }],
    async (fx) => {
      const headers: Line[] = [['x-park', parked === 'whole' ? 'request' : parked]];
      let begun = false;
      const onHead = () => {
        begun = true;
        begins(request.path!);
      };
      const answerHasBegun = () => eventually('the answer has begun', () => begun);
      const first = () => (position.closed === 'cut' ? answerHasBegun() : sleep(50));
      const upload = request.method === 'POST' && request.body === undefined ? { body: endless(first) } : {};
      const exchange = protocol === 'http1' ? http1 : http2;
      const answer = exchange(fx.port, { path: '/', ...request, ...upload, headers, onHead, timeoutMs: 30_000 });
      answer.catch(() => undefined);
      const place = filter === 'park-whole' ? 'park-whole.parked' : `park.at.${parked}`;
      await eventually(`parked in ${parked}`, async () => (await fx.counters())[place] === 1);
      if (position.closed === 'cut') await answerHasBegun();
      await run(await killHost(fx, answer), fx);
    },
    { upstream },
  );
};

describe.each(['http1', 'http2'] as const)('the host is killed, failure_mode closed, %s', (protocol) => {
  it.each(POSITIONS)('with $where', (position) =>
    parking(position, protocol, { host_wait: '0s' }, async (answer, fx) => {
      expect(String(position.closed).split(' or ')).toContain(ended(answer));
      if (position.closed === 'cut') expect(answer.status).toBe(200);
      const entry = await fx.logged(position.request.path!);
      if (position.details !== undefined) expect(entry.details).toContain(position.details);

      expect(await eventually('no stream is left', async () => (await fx.activeStreams()) === 0)).toBe(true);
      if (protocol === 'http2') return;
      // nothing of the dead host is left: without one 503, with a new one 200
      const without = await get(fx.port, '/hello?without');
      expect(without.status).toBe(503);
      expect((await fx.logged('/hello?without')).details).toContain('ts_filter_no_host');
      await fx.startHost();
      await eventually('traffic goes on', async () => (await get(fx.port, '/hello')).status === 200);
    }),
  );

  it('with request trailers unanswered', () =>
    scene([{ name: 'park', options: { host_wait: '0s' } }], async (fx) => {
      const exchange = protocol === 'http1' ? http1 : http2;
      const answer = exchange(fx.port, {
        method: 'POST',
        path: '/sink',
        body: ['some'],
        trailers: [['x-sum', '1']],
        headers: [['x-park', 'decodeTrailers']],
        timeoutMs: 30_000,
      });
      await eventually('parked in decodeTrailers', async () => (await fx.counters())['park.at.decodeTrailers'] === 1);
      expect(['cut', '502']).toContain(ended(await killHost(fx, answer)));
    }));
});

describe('the host is killed with many streams in every position', () => {
  const { upstream, begins } = oneByOne();
  // the loss is to end them, not the time that so many take to get there
  const options = { host_wait: '0s', message_timeout: '60s' };
  const run = async (fx: Fixture) => {
    const places = ['decodeHeaders', 'encodeHeaders', 'responseBodyLater', 'reply'];
    const pathOf = (i: number) => (i % places.length === 2 ? `/one-by-one?i=${i}` : `/bytes?n=100000&i=${i}`);
    let begun = 0;
    const answers = Array.from({ length: 200 }, (_, i) =>
      http1(fx.port, {
        path: pathOf(i),
        headers: [['x-park', places[i % places.length]!]],
        timeoutMs: 60_000,
        onHead: () => {
          begun++;
          begins(pathOf(i));
        },
      }).catch((error: Error) => error),
    );
    await eventually(
      '200 parked, 100 of them with a begun answer',
      async () => {
        const counts = await fx.counters();
        const parked = places.map((place) => counts[`park.at.${place}`]);
        expect({ begun, parked }).toEqual({ begun: 100, parked: [50, 50, 50, 50] });
        return true;
      },
      30_000,
    );
    const kinds = new Map<string, number>();
    for (const answer of await killHost(fx, Promise.all(answers)))
      kinds.set(ended(answer), (kinds.get(ended(answer)) ?? 0) + 1);
    expect(Object.fromEntries(kinds)).toEqual({ 503: 50, 502: 50, cut: 100 });
    for (let i = 0; i < 200; i++) await fx.logged(pathOf(i));
    await fx.startHost();
    await eventually('traffic goes on', async () => (await get(fx.port, '/hello')).status === 200);
  };
  it('each ends once and Envoy serves on', () => scene([{ name: 'park', options }], run, { upstream }));
});

describe('the host is killed, failure_mode open', () => {
  const options = { host_wait: '0s', failure_mode: 'open' };
  it('unanswered request headers go on untouched', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = http1(fx.port, {
        method: 'POST',
        path: '/sink',
        body: 'untouched',
        headers: [['x-park', 'decodeHeaders']],
        timeoutMs: 30_000,
      });
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      const seen = (await killHost(fx, answer)).json as Seen;
      expect(seen.digest.startsWith('9:')).toBe(true);
      expect(seen.headers.some(([name]) => name === 'x-attempt')).toBe(false);
    }));

  it('unanswered response headers go on untouched', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = get(fx.port, '/bytes?n=400000', [['x-park', 'encodeHeaders']]);
      await eventually('parked', async () => (await fx.counters())['park.at.encodeHeaders'] === 1);
      const { status, digest } = await killHost(fx, answer);
      expect([status, digest]).toEqual([200, patternDigest(400_000)]);
    }));

  it('a whole request body that was held goes on as the original', () =>
    scene([{ name: 'park-whole', options }], async (fx) => {
      const answer = http1(fx.port, { method: 'POST', path: '/echo', body: 'the original', timeoutMs: 6_000 });
      await eventually('parked', async () => (await fx.counters())['park-whole.parked'] === 1);
      const { status, text } = await killHost(fx, answer);
      expect([status, text]).toEqual([200, 'the original']);
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

  it('a response body partly sent is cut, also in open mode', () => {
    const { upstream, begins } = oneByOne();
    const run = async (fx: Fixture) => {
      const path = '/one-by-one';
      const headers = [['x-park', 'responseBodyLater']] as const;
      const answer = http1(fx.port, { path, headers, onHead: () => begins(path) });
      await eventually('parked', async () => (await fx.counters())['park.at.responseBodyLater'] === 1);
      expect(ended(await killHost(fx, answer))).toBe('cut');
    };
    return scene([{ name: 'park', options }], run, { upstream });
  });
});

describe('the host is killed, failure_mode replay', () => {
  const options = { failure_mode: 'replay', host_wait: '8s', message_timeout: '8s' };
  it('request headers go to the next host, once', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = http1(fx.port, {
        path: '/sink',
        headers: [
          ['x-park', 'decodeHeaders'],
          ['x-park-once', 'yes'],
        ],
        timeoutMs: 12_000,
      });
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      await sleep(200);
      await fx.startHost();
      const seen = (await answer).json as Seen;
      expect(seen.headers).toContainEqual(['x-attempt', '2']);
    }));

  it('a whole request body is replayed, once', () =>
    scene([{ name: 'park-whole', options }], async (fx) => {
      const answer = http1(fx.port, {
        method: 'POST',
        path: '/echo',
        body: 'again',
        headers: [['x-park-once', 'yes']],
        timeoutMs: 12_000,
      });
      await eventually('parked', async () => (await fx.counters())['park-whole.parked'] === 1);
      await fx.host.kill();
      await fx.startHost();
      expect([(await answer).status, (await answer).text]).toEqual([200, 'again']);
    }));

  it('a second death is the end: no endless replays', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = get(fx.port, '/hello', [['x-park', 'decodeHeaders']]);
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      await fx.startHost();
      await eventually('parked again', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      expect((await answer).status).toBe(503);
      expect((await fx.logged('/hello')).details).toContain('ts_filter_host_lost');
    }));

  it.each(POSITIONS.filter(({ parked }) => ['requestBodyLater', 'encodeHeaders', 'reply'].includes(parked)))(
    'is as closed with $where',
    (position) =>
      parking(position, 'http1', { ...options, host_wait: '0s' }, async (answer) => {
        expect(String(position.closed).split(' or ')).toContain(ended(answer));
      }),
  );

  it('a host that comes too late: 504 when message_timeout is up, 503 when host_wait is', () =>
    scene([{ name: 'park', options: { ...options, host_wait: undefined, message_timeout: '1.5s' } }], async (fx) => {
      const started = performance.now();
      const answer = get(fx.port, '/hello', [['x-park', 'decodeHeaders']]);
      await eventually('parked', async () => (await fx.counters())['park.at.decodeHeaders'] === 1);
      await fx.host.kill();
      expect((await answer).status).toBe(504);
      const took = performance.now() - started;
      expect(took).toBeGreaterThan(1_400);
      expect(took).toBeLessThan(2_500);
      const late = performance.now();
      expect((await get(fx.port, '/hello?late')).status).toBe(503);
      expect((await fx.logged('/hello?late')).details).toContain('ts_filter_no_host');
      expect(performance.now() - late).toBeGreaterThan(1_400);
    }));
});
