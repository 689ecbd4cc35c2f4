/** Bodies through every style of filter: exact, in both directions at once, over HTTP/1.1 and HTTP/2. */
import { describe, expect, it } from 'vitest';
import {
  Connection,
  digest,
  filterPath,
  http1,
  http2,
  pattern,
  patternAt,
  patternDigest,
  Random,
  seedOf,
  within,
  type ByteMap,
  type Line,
  type Request,
  type Seen,
} from '../fixture/index.js';
import { mapRequest, mapResponse } from './filters/lib/maps.js';
import { logsOnFailure, stage } from './support.js';

const SIZES = [0, 1, 1023, 65536, 1048577, 104857600];

interface Shape {
  name: string;
  options?: Record<string, string>;
  largest?: number;
  request: [string, string];
  response: [string, string];
}
/** What each filter puts around the mapped bytes. */
const SHAPES: Shape[] = [
  { name: 'body-perchunk', request: ['', ''], response: ['', ''] },
  { name: 'body-generator', request: ['{', '}'], response: ['<', '>'] },
  { name: 'body-transformstream', request: ['', ''], response: ['', '>'] },
  { name: 'body-go', request: ['', ''], response: ['', '>'] },
  {
    name: 'body-whole',
    // what a host holds for one channel is bounded at 64 MiB
    largest: 48 * 1024 * 1024,
    options: { max_body_bytes: '64MiB', max_pending_output: '64MiB', message_timeout: '30s' },
    request: ['{', '}'],
    response: ['<', '>'],
  },
];

const up: ByteMap = (bytes) => Buffer.from(mapRequest(bytes));
const down: ByteMap = (bytes) => Buffer.from(mapResponse(bytes));
const latin1 = (text: string) => Buffer.from(text, 'latin1');

/** What the client of an echo must see. */
function echoed(shape: Shape, size: number): string {
  const [open, close] = shape.request.map((text) => down(latin1(text)).toString('latin1')) as [string, string];
  return patternDigest(size, (bytes) => down(up(bytes)), shape.response[0] + open, close + shape.response[1]);
}

const added = (around: [string, string]) => around[0].length + around[1].length;

for (const protocol of ['http1', 'http2'] as const) {
  const exchange = protocol === 'http1' ? http1 : http2;

  describe.each(SHAPES)(`$name over ${protocol}`, (shape) => {
    const at = stage({
      filters: [{ name: shape.name, ...(shape.options === undefined ? {} : { options: shape.options }) }],
      upstream: { protocol },
    });
    const post = (path: string, rest: Partial<Request>) =>
      exchange(at.port, { method: 'POST', path, timeoutMs: 50_000, ...rest });

    it.each(SIZES.map((size) => Math.min(size, shape.largest ?? size)))(
      'echoes %i bytes without content-length exactly',
      async (size) => {
        logsOnFailure(at);
        const answer = await post('/echo', { body: pattern(size) });
        expect([answer.status, answer.digest, answer.broken]).toEqual([200, echoed(shape, size), '']);
      },
    );

    it.each(SIZES.filter((size) => size > 0 && size < 1e8))(
      'echoes %i bytes with content-length both ways exactly',
      async (size) => {
        logsOnFailure(at);
        const answer = await post(`/echo?length=${size + added(shape.request)}`, { body: pattern(size), length: size });
        expect([answer.status, answer.digest, answer.broken]).toEqual([200, echoed(shape, size), '']);
        const length = answer.header('content-length');
        if (shape.name === 'body-whole') expect(length).toBe(String(answer.length));
        else if (length !== undefined) expect(length).toBe(String(answer.length));
      },
    );

    it('gives the upstream the exact body and, where all of it is there when the headers go, its exact length', async () => {
      const answer = await post('/sink', { body: pattern(70_001), length: 70_001 });
      const seen = Object.fromEntries((JSON.parse(unmap(shape, answer.body)) as Seen).headers);
      const { digest: got } = JSON.parse(unmap(shape, answer.body)) as Seen;
      expect(got).toBe(patternDigest(70_001, up, ...shape.request));
      if (shape.name === 'body-whole') expect(seen['content-length']).toBe(String(70_001 + added(shape.request)));
      else expect([undefined, String(70_001 + added(shape.request))]).toContain(seen['content-length']);
    });

    it('keeps random chunks, pauses, lengths and trailers exact', async () => {
      logsOnFailure(at);
      const seed = seedOf();
      const random = new Random(seed);
      const one = async (
        index: number,
        size: number,
        withLength: boolean,
        withTrailers: boolean,
        pieces: (number | Buffer)[],
      ) => {
        const what = `SEED=${seed}, case ${index}: ${size} bytes, length ${withLength}, trailers ${withTrailers}`;
        const trailers: Line[] = [['x-sum', String(size)]];
        const answer = await post(withTrailers ? '/echo?trailers=1' : '/echo', {
          body: pieces,
          ...(withTrailers ? { trailers } : withLength && size > 0 ? { length: size } : {}),
        });
        // with trailers the last data call of Go's style has endStream = false, so nothing is appended there
        const shaped =
          withTrailers && shape.name === 'body-go' ? { ...shape, response: ['', ''] as [string, string] } : shape;
        const expected = echoed(shaped, size);
        expect([answer.status, answer.digest, answer.broken], what).toEqual([200, expected, '']);
        if (withTrailers)
          expect(answer.trailers.sort(), what).toEqual([
            ['x-sum', String(size)],
            ['x-upstream-trailer', 'there'],
          ]);
      };
      for (let round = 0; round < 6; round++) {
        await Promise.all(
          [0, 1, 2, 3].map((lane) => {
            const size = random.pick([0, 1, 2, 100, random.int(3, 5000), random.int(5000, 400_000), 262144, 262145]);
            const largest = random.pick([7, 1000, 16_384, 65_537, 131_000]);
            const smallest = size / largest > 300 ? Math.floor(largest / 2) : 1;
            const pieces: (number | Buffer)[] = [];
            for (let sent = 0; sent < size;) {
              const piece = patternAt(sent, Math.min(random.int(smallest, largest), size - sent));
              pieces.push(piece);
              sent += piece.length;
              if (random.next() < 0.05 && pieces.length < 400) pieces.push(random.int(1, 5));
            }
            return one(round * 4 + lane, size, random.next() < 0.5, random.next() < 0.3, pieces);
          }),
        );
      }
    });

    it('leaves HEAD, 204 and 304 without a body and with their headers', async () => {
      const head = await exchange(at.port, { method: 'HEAD', path: '/bytes?n=10&cl=1' });
      expect([head.status, head.length, head.complete, head.header('content-length')]).toEqual([200, 0, true, '10']);
      for (const code of [204, 304]) {
        const answer = await exchange(at.port, { path: `/status?code=${code}` });
        expect([answer.status, answer.length, answer.complete, answer.header('x-upstream')]).toEqual([
          code,
          0,
          true,
          'status',
        ]);
      }
    });

    it('takes 100-continue and an early hint in the middle of an upload', async () => {
      logsOnFailure(at);
      const waited = await post('/echo', { body: [patternAt(0, 500), 30, patternAt(500, 500)], expectContinue: true });
      expect([waited.interim.map((head) => head.status), waited.digest, waited.broken]).toEqual([
        [100],
        echoed(shape, 1000),
        '',
      ]);

      const body = [patternAt(0, 3000), 120, patternAt(3000, 3000), 60, patternAt(6000, 3000), 60];
      const hinted = await post('/hints', { body, timeoutMs: 8_000 });
      const told = patternDigest(9000, up, ...shape.request);
      expect([hinted.status, unmap(shape, hinted.body), hinted.broken]).toEqual([200, told, '']);
    });
  });
}

/** Undoes what the response direction did to a body. */
function unmap(shape: Shape, body: Buffer): string {
  const inner = body.subarray(shape.response[0].length, body.length - shape.response[1].length);
  return Buffer.from(inner.map((byte) => (byte - 7) & 255)).toString('latin1');
}

describe.each(['http1', 'http2'] as const)('trailers over %s', (protocol) => {
  const exchange = protocol === 'http1' ? http1 : http2;
  const at = stage({ filters: [{ name: 'trailers' }], upstream: { protocol } });
  const expected = (size: number, sum: string) =>
    patternDigest(size, (bytes) => down(up(bytes)), '', down(latin1(`|${sum}`)).toString('latin1') + '>');

  it.each([0, 5, 300_000])('reach the hooks and the other side after %i bytes', async (size) => {
    logsOnFailure(at);
    const trailers: Line[] = [
      ['x-sum', 'abc'],
      ['x-removed', 'gone'],
    ];
    const answer = await exchange(at.port, { method: 'POST', path: '/echo?trailers=1', body: pattern(size), trailers });
    expect([answer.status, answer.digest, answer.broken]).toEqual([200, expected(size, 'abc'), '']);
    expect(answer.trailers.sort()).toEqual([
      ['x-decoded', 'yes'],
      ['x-encoded', 'yes'],
      ['x-sum', 'abc'],
      ['x-upstream-trailer', 'there'],
    ]);
  });

  it('settle as undefined when there are none', async () => {
    const answer = await exchange(at.port, { method: 'POST', path: '/echo', body: pattern(50) });
    expect([answer.digest, answer.trailers, answer.broken]).toEqual([expected(50, 'none'), [], '']);
  });
});

describe('filters whose only hook is one of trailers', () => {
  const at = stage({
    filters: ['request-trailers', 'response-trailers', 'declared-request-trailers', 'declared-response-trailers'].map(
      (name) => ({ name }),
    ),
    hostPaths: [filterPath('trailers-only')],
  });

  it('change them, add to the body, and are sent nothing else', async () => {
    logsOnFailure(at);
    const trailers: Line[] = [['x-mine', 'there']];
    const answer = await http1(at.port, { method: 'POST', path: '/echo?trailers=1', body: ['a', 5, 'b'], trailers });
    expect([answer.status, answer.broken]).toEqual([200, '']);
    expect(answer.text).toMatch(
      /^ab(<request-trailers>|<declared-request-trailers>){2}(<response-trailers>|<declared-response-trailers>){2}$/,
    );
    expect(answer.trailers.map(([name]) => name).sort()).toEqual([
      'x-declared-request-trailers',
      'x-declared-response-trailers',
      'x-mine',
      'x-request-trailers',
      'x-response-trailers',
      'x-upstream-trailer',
    ]);
  });
});

describe.each([{ later: false }, { later: true }])('addData, awaited first: $later', ({ later }) => {
  const at = stage({
    filters: [
      { name: 'make-body', config: { request: 'made for the upstream', response: 'made for the client', later } },
    ],
  });

  it('gives a headers-only request a body', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, { path: '/sink' });
    const seen = answer.json as Seen;
    expect([seen.method, seen.digest]).toEqual(['POST', digest('made for the upstream')]);
  });

  it('gives a headers-only response a body', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, { path: '/status?code=200' });
    expect([answer.status, answer.text, answer.broken]).toEqual([200, 'made for the client', '']);
  });

  it('leaves messages that have a body alone', async () => {
    const answer = await http1(at.port, { method: 'POST', path: '/echo', body: 'mine' });
    expect([answer.text, answer.broken]).toEqual(['mine', '']);
  });
});

describe('bodies made empty', () => {
  const at = stage({ filters: [{ name: 'empty-body' }] });

  it.each([1, 100_000, 3_000_000])('drain %i bytes of a request and end it', async (size) => {
    logsOnFailure(at);
    const answer = await http1(at.port, { method: 'POST', path: '/sink', body: pattern(size) });
    expect([answer.status, answer.length, answer.broken]).toEqual([200, 0, '']);
    // the response is emptied too, so the upstream's own count tells what it got
    expect(at.upstream.seen.get('/sink')).toBeGreaterThan(0);
  });

  it.each([1, 100_000, 3_000_000])('drain %i bytes of a response and end it', async (size) => {
    logsOnFailure(at);
    for (const framing of ['', '&cl=1']) {
      const answer = await http1(at.port, { path: `/bytes?n=${size}${framing}` });
      expect([answer.status, answer.length, answer.broken]).toEqual([200, 0, '']);
    }
  });
});

describe('websockets', () => {
  const at = stage({ filters: [{ name: 'body-perchunk' }, { name: 'body-generator' }, { name: 'body-whole' }] });

  it('pass untouched both ways', async () => {
    logsOnFailure(at);
    const connection = await Connection.open(at.port);
    await connection.write(
      [
        'GET /ws HTTP/1.1',
        'host: a',
        'connection: Upgrade',
        'upgrade: websocket',
        'sec-websocket-version: 13',
        'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
        '',
        '',
      ].join('\r\n'),
    );
    const head = await within(5_000, 'the handshake', connection.readHead());
    expect(head.status).toBe(101);
    expect(head.lines).toContainEqual(['sec-websocket-accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=']);
    for (const size of [1, 125, 70_000, 1_000_000]) {
      const sent = Buffer.concat([...pattern(size)]);
      void connection.write(sent);
      const back = await within(5_000, `${size} bytes back`, connection.readExactly(size));
      expect(digest(back)).toBe(digest(sent));
    }
    connection.close();
  });
});
