/** The host is absent, too slow or stopped: answers in time, with the status that fits. */
import { describe, expect, it } from 'vitest';
import {
  Connection,
  eventually,
  get,
  http1,
  http2,
  sleep,
  type Fixture,
  type Line,
  type Response,
  type Seen,
} from '../fixture/index.js';
import { ended, scene, stopHost } from './support.js';

describe('no host when the stream starts', () => {
  it('answers 503 ts_filter_no_host at once, and serves when a host comes', () =>
    scene(
      [{ name: 'touch', options: { host_wait: '0s' } }],
      async (fx) => {
        const started = performance.now();
        expect((await get(fx.port, '/hello?absent')).status).toBe(503);
        expect(performance.now() - started).toBeLessThan(500);
        expect((await fx.logged('/hello?absent')).details).toContain('ts_filter_no_host');
        await fx.startHost();
        await eventually(
          'served',
          async () => (await get(fx.port, '/hello')).header('x-touch-response') === 'on',
          5_000,
        );
      },
      { host: false },
    ));

  it('host_wait bridges until a host comes', () =>
    scene(
      [{ name: 'touch', options: { host_wait: '10s' } }],
      async (fx) => {
        const answers = Array.from({ length: 20 }, (_, i) =>
          http1(fx.port, { path: `/hello?${i}`, timeoutMs: 12_000 }),
        );
        await sleep(400);
        await fx.startHost();
        for (const answer of await Promise.all(answers))
          expect([answer.status, answer.header('x-touch-response')]).toEqual([200, 'on']);
      },
      { host: false },
    ));

  it('host_wait ends with 503', () =>
    scene(
      [{ name: 'touch', options: { host_wait: '0.4s' } }],
      async (fx) => {
        const started = performance.now();
        expect((await get(fx.port, '/hello')).status).toBe(503);
        const took = performance.now() - started;
        expect(took).toBeGreaterThan(350);
        expect(took).toBeLessThan(2_000);
      },
      { host: false },
    ));

  it('open passes untouched', () =>
    scene(
      [{ name: 'touch', options: { host_wait: '0s', failure_mode: 'open' } }],
      async (fx) => {
        const answer = await http1(fx.port, { method: 'POST', path: '/echo', body: 'as it is' });
        expect([answer.status, answer.text, answer.header('x-touch-response')]).toEqual([200, 'as it is', undefined]);
      },
      { host: false },
    ));

  it('a client that leaves while waiting harms nothing', () =>
    scene(
      [{ name: 'touch', options: { host_wait: '10s' } }],
      async (fx) => {
        for (let i = 0; i < 20; i++) {
          const client = await Connection.open(fx.port);
          await client.write('GET /hello HTTP/1.1\r\nhost: a\r\n\r\n');
          await sleep(5);
          client.reset();
        }
        await eventually('no stream is left', async () => (await fx.activeStreams()) === 0);
        await fx.startHost();
        expect((await get(fx.port, '/hello')).status).toBe(200);
      },
      { host: false },
    ));
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
    }),
  );

  it.each(['request', 'response'])('a whole %s body: 504', (where) =>
    scene([{ name: 'park-whole', options }], async (fx) => {
      const answer = await http1(fx.port, {
        method: 'POST',
        path: '/echo',
        body: 'whole',
        headers: [['x-park', where]],
        timeoutMs: 4_000,
      });
      expect(answer.status).toBe(504);
    }),
  );

  it('response trailers: 504, or a cut answer when its headers went', () =>
    scene([{ name: 'park', options }], async (fx) => {
      const answer = await http1(fx.port, {
        path: '/bytes?n=1000&trailers=1',
        headers: [['x-park', 'encodeTrailers']],
        timeoutMs: 4_000,
      });
      // the headers may wait for the end of so short a body
      expect(['cut', '504']).toContain(ended(answer));
    }));

  it('does not limit the pace of a streaming filter', () =>
    scene([{ name: 'twice', config: { pauseMs: 800 }, options }], async (fx) => {
      const answer = await get(fx.port, '/hello');
      expect([answer.status, answer.text, answer.broken]).toEqual([200, 'hola mundo :)', '']);
    }));

  it('open goes on untouched where nothing was consumed', () =>
    scene([{ name: 'park', options: { ...options, failure_mode: 'open' } }], async (fx) => {
      const answer = await http1(fx.port, {
        method: 'POST',
        path: '/echo',
        body: 'untouched',
        headers: [['x-park', 'decodeHeaders']],
        timeoutMs: 4_000,
      });
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
    scene(
      [{ name: 'touch', options: { host_wait: '0s', host_stall_timeout: '0.5s', message_timeout: '20s' } }],
      async (fx) => {
        expect((await get(fx.port, '/hello')).status).toBe(200);
        await stopHost(fx);
        const started = performance.now();
        const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => get(fx.port, `/hello?stalled${i}`)));
        expect(performance.now() - started).toBeLessThan(4_000);
        expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([503]));
        for (let i = 0; i < answers.length; i++)
          expect((await fx.logged(`/hello?stalled${i}`)).details).toMatch(/ts_filter_(host_lost|no_host)/);
        // nobody takes the channel that is offered now: no stream waits longer than host_wait or a second
        const later = performance.now();
        expect((await get(fx.port, '/hello?later')).status).toBe(503);
        expect(performance.now() - later).toBeLessThan(1_500);
        expect((await fx.logged('/hello?later')).details).toContain('ts_filter_no_host');
        fx.host.signal('SIGCONT');
        await eventually('served again', async () => (await get(fx.port, '/hello')).status === 200);
      },
    ));
});

describe('gRPC requests get a grpc-status that fits', () => {
  const grpc = (fx: Fixture, headers: Line[]) =>
    http2(fx.port, {
      method: 'POST',
      path: '/grpc.Service/Call',
      headers: [['content-type', 'application/grpc'], ['te', 'trailers'], ...headers],
      body: Buffer.alloc(5),
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
