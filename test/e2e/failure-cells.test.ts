/** Cells of docs/failure.md that no other test is about: most of failure_mode open, and hosts that lie. */
import { describe, expect, it } from 'vitest';
import { OFFSET } from 'sharedarraybuffer-ring';
import {
  Connection,
  eventually,
  get,
  http1,
  sleep,
  within,
  type Fixture,
  type Line,
  type Request,
  type Seen,
} from '../fixture/index.js';
import { LyingHost, type Liar } from '../fixture/lying-host.js';
import { ControlKind, FrameKind } from '../../src/channel/codec/index.js';
import { ended, killHost, oneByOne, scene, stage, stopHost } from './support.js';

const OPEN = { host_wait: '0s', failure_mode: 'open' };
const MODES = ['closed', 'open'] as const;

async function* endless() {
  for (let i = 0; i < 200; i++) {
    yield Buffer.alloc(500, 97);
    await sleep(50);
  }
}

interface Killed {
  readonly where: string;
  readonly filter: 'park' | 'park-whole';
  readonly parked: string;
  readonly request: Partial<Request>;
  /** A status, with the body or trailer that shows that it is the original; or `cut`. */
  readonly is: readonly string[];
}
const UPLOAD = { method: 'POST', path: '/sink' };
const KILLED: readonly Killed[] = [
  {
    where: 'a streamed request body partly sent on: 502',
    filter: 'park',
    parked: 'requestBodyLater',
    request: { ...UPLOAD, body: endless() },
    is: ['502'],
  },
  {
    where: 'the whole response body held: it goes on as the original',
    filter: 'park-whole',
    parked: 'response',
    request: { path: '/hello' },
    is: ['200 hola mundo :)'],
  },
  { where: 'a streamed reply partly sent: cut', filter: 'park', parked: 'reply', request: { path: '/' }, is: ['cut'] },
  {
    where: 'request trailers unanswered: they go untouched',
    filter: 'park',
    parked: 'decodeTrailers',
    request: { ...UPLOAD, body: ['some'], trailers: [['x-sum', '1']] },
    is: ['200 x-sum'],
  },
  {
    where: 'response trailers unanswered: they go untouched',
    filter: 'park',
    parked: 'encodeTrailers',
    request: { path: '/bytes?n=1000&trailers=1' },
    is: ['200 there'],
  },
];

describe('the host is killed, failure_mode open', () => {
  it.each(KILLED)('with $where', ({ filter, parked, request, is }) =>
    scene([{ name: filter, options: OPEN }], async (fx) => {
      const headers: Line[] = [['x-park', parked]];
      let begun = false;
      const onHead = () => void (begun = true);
      const answer = http1(fx.port, { path: '/', ...request, headers, onHead, timeoutMs: 30_000 });
      answer.catch(() => undefined);
      await eventually('parked', async () => (await fx.counters())[`park.at.${parked}`] === 1);
      if (is[0] === 'cut') await eventually('the answer has begun', () => begun);
      const got = await killHost(fx, answer);
      const [status, original] = is[0]!.split(/ (.*)/);
      expect(ended(got)).toBe(status);
      const seen = [got.text, JSON.stringify(got.trailers)];
      if (original !== undefined) expect(seen.join(' ')).toContain(original);
    }),
  );
});

describe.each(MODES)('failure_mode %s', (failure_mode) => {
  const options = { failure_mode, host_wait: '0s' };
  const { upstream, begins } = oneByOne();
  const streaming = stage({
    upstream,
    filters: [
      { name: 'replies', options },
      { name: 'cells', options: { ...options, max_pending_output: '128KiB' } },
    ],
  });
  const limited = stage({
    filters: [
      { name: 'touch', options: { ...options, max_header_bytes: 2048 } },
      { name: 'park-whole', options: { ...options, max_body_bytes: 1000 } },
    ],
  });

  it('a filter that throws: 500, or cut when the response has begun', async () => {
    const { fx, port } = streaming;
    const thrown = await get(port, '/throw');
    expect([ended(thrown), thrown.text.trim()]).toEqual(['500', 'error happened in filter']);
    expect((await fx.logged('/throw')).details).toContain('ts_filter_error');
    const late = '/one-by-one?late-throw';
    expect(ended(await http1(port, { path: late, onHead: () => begins(late) }))).toBe('cut');
    await eventually('its code is logged', () => fx.envoy.output.includes('reset: ts_filter_error_late'));
  });

  it('a reply after the response has begun: cut', async () => {
    const { fx, port } = streaming;
    const answer = await http1(port, { method: 'POST', path: '/echo?late-reply', body: ['some', 300, 'more'] });
    expect(ended(answer)).toBe('cut');
    await eventually('its code is logged', () => fx.envoy.output.includes('reset: ts_filter_reply_late'));
  });

  it('a body of another length than the filter wrote: 500 while nothing was sent, else cut', async () => {
    const { fx, port } = streaming;
    const whole = await get(port, '/hello?wrong-length');
    expect([ended(whole), whole.text.trim()]).toEqual(['500', 'error happened in filter']);
    expect(['cut', '500']).toContain(ended(await get(port, '/bytes?n=400000&wrong-length')));
    await eventually('its code is logged', () => fx.host.output.includes('TSF_LENGTH_WRONG'));
  });

  it('recreateStream when the body has gone on: 500', async () => {
    const { fx, port } = streaming;
    const path = '/sink?recreate';
    expect(ended(await http1(port, { method: 'POST', path, body: 'some' }))).toBe('500');
    expect((await fx.logged(path)).details).toContain('ts_filter_recreate_refused');
  });

  it('more output than Envoy takes: 500, or cut', async () => {
    const { fx, port } = streaming;
    expect(['cut', '500']).toContain(ended(await get(port, '/hello?flood')));
    await eventually('its code is logged', () => fx.logs().includes('TSF_OUTPUT_LIMIT'));
  });

  it('a whole body over max_body_bytes: 413 and 500', async () => {
    const { fx, port } = limited;
    const request = await http1(port, { method: 'POST', path: '/sink?whole', body: 'a'.repeat(5000) });
    expect(ended(request)).toBe('413');
    const path = '/bytes?n=5000';
    expect(ended(await get(port, path, [['x-park', 'response']]))).toBe('500');
    for (const one of ['/sink?whole', path])
      expect((await fx.logged(one)).details).toContain('ts_filter_body_too_large');
  });

  it('headers over max_header_bytes: 431, or they pass untouched', async () => {
    const { fx, port } = limited;
    const answer = await get(port, '/sink', [['x-large', 'a'.repeat(4000)]]);
    expect(ended(answer)).toBe(failure_mode === 'open' ? '200' : '431');
    if (failure_mode === 'open') {
      const names = (answer.json as Seen).headers.map(([name]) => name);
      expect([names.includes('x-large'), names.includes('x-touch-request')]).toEqual([true, false]);
    } else expect((await fx.logged('/sink')).details).toContain('ts_filter_headers_too_large');
  });

  it('what cannot be an upstream filter: 500', () =>
    scene(
      [],
      async (fx) => {
        expect(ended(await get(fx.port, '/hello'))).toBe('500');
        expect((await fx.logged('/hello')).details).toContain('ts_filter_not_upstream');
      },
      { upstreamFilters: [{ name: 'upstream-no', config: 'encodeHeaders', options }] },
    ));

  it('an upgrade whose headers wait for its body: 504, or it passes after StopAndBuffer', () =>
    scene([{ name: 'statuses', options: { ...options, upgrades: true, message_timeout: '300ms' } }], async (fx) => {
      for (const status of [3, 4]) {
        const connection = await Connection.open(fx.port);
        const lines = 'host: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: a';
        await connection.write(`GET /chat?decodeHeaders=${status} HTTP/1.1\r\n${lines}\r\n\r\n`);
        try {
          const head = await within(5_000, 'an answer', connection.readHead());
          expect([status, head.status]).toEqual([status, failure_mode === 'open' && status === 3 ? 101 : 504]);
        } finally {
          connection.close();
        }
      }
    }));

  it('no verdict in message_timeout: 503, or it passes', () =>
    scene(
      [{ name: 'cells', config: { hang: true }, options: { ...options, message_timeout: '500ms' } }],
      async (fx) => {
        const started = performance.now();
        expect(ended(await get(fx.port, '/hello'))).toBe(failure_mode === 'open' ? '200' : '503');
        expect(performance.now() - started).toBeLessThan(1_500);
        if (failure_mode === 'closed') expect((await fx.logged('/hello')).details).toContain('ts_filter_no_host');
      },
    ));

  it('the host is stopped: as host lost', () =>
    scene(
      [{ name: 'touch', options: { ...options, host_stall_timeout: '0.5s', message_timeout: '20s' } }],
      async (fx) => {
        expect(ended(await get(fx.port, '/hello'))).toBe('200');
        await stopHost(fx);
        const answer = await get(fx.port, '/hello?stopped');
        expect(ended(answer)).toBe(failure_mode === 'open' ? '200' : '503');
        expect(answer.header('x-touch-response')).toBeUndefined();
        fx.host.signal('SIGCONT');
      },
    ));
});

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 37 + 11) & 255);
const word = (n: number) => Buffer.from(Uint32Array.of(n).buffer);
const LIES: readonly { readonly name: string; tell(liar: Liar): void }[] = [
  { name: 'a frame of noise', tell: (liar) => liar.frame(FrameKind.Answer, bytes(64)) },
  { name: 'a frame whose table points beyond it', tell: (liar) => liar.frame(FrameKind.Output, word(0xfffffff0)) },
  { name: 'an empty frame', tell: (liar) => liar.frame(FrameKind.LocalReply, new Uint8Array(0)) },
  {
    name: 'a ring that holds more than it has',
    tell({ file, ring }) {
      new DataView(file.buffer, file.byteOffset).setUint32(OFFSET.tail, 0x7fff0000, true);
      ring();
    },
  },
  { name: 'noise on the socket', tell: (liar) => liar.message(ControlKind.ConfigVerdict, bytes(40)) },
];

async function lieTo(fx: Fixture, lie: (typeof LIES)[number], i: number, failure_mode: string): Promise<void> {
  const host = new LyingHost(fx.socket, (liar) => lie.tell(liar));
  try {
    await eventually(
      'it is asked',
      async () => {
        const path = `/hello?${i}&${host.told}`;
        const answer = await get(fx.port, path);
        if (host.told === 0) return false;
        expect([lie.name, ended(answer)]).toEqual([lie.name, failure_mode === 'open' ? '200' : '503']);
        if (failure_mode === 'closed') expect((await fx.logged(path)).details).toContain('ts_filter_host_lost');
        return true;
      },
      5_000,
    );
    await eventually(
      'it is named',
      () => fx.envoy.output.split(/host at \S+ lost: .*(?:malformed|corrupt)/).length > i + 1,
    );
  } finally {
    host.close();
  }
}

describe('a host that says what no host says', () => {
  it.each(MODES)('%s: it is dropped and named, its streams as host lost', (failure_mode) =>
    scene(
      [{ name: 'touch', options: { failure_mode, host_wait: '1s', message_timeout: '20s' } }],
      async (fx) => {
        for (const [i, lie] of LIES.entries()) await lieTo(fx, lie, i, failure_mode);
        await fx.startHost();
        await eventually('an honest one serves', async () => {
          const answer = await get(fx.port, '/hello');
          return answer.header('x-touch-response') === 'on';
        });
        expect(fx.envoy.running).toBe(true);
      },
      { host: false },
    ),
  );
});
