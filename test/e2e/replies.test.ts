/** Replies and faults of filters: what the client reads, and that each stream ends once. */
import { describe, expect, it } from 'vitest';
import { Connection, eventually, get, http1, http2, sleep, type Seen } from '../fixture/index.js';
import { logsOnFailure, oneByOne, stage } from './support.js';

describe.each(['http1', 'http2'] as const)('replies over %s', (protocol) => {
  const exchange = protocol === 'http1' ? http1 : http2;
  const { upstream, begins } = oneByOne();
  const at = stage({
    filters: [{ name: 'replies' }],
    counters: true,
    upstream: {
      paths: {
        ...upstream.paths,
        '/stop-headers-only': (_req, res) => void res.writeHead(200, { 'content-length': '0' }).end(),
      },
    },
  });

  it.each(['/deny', '/deny-later'])('%s: a local reply with its body', async (path) => {
    logsOnFailure(at);
    const answer = await exchange(at.port, { path });
    expect(answer.status).toBe(403);
    expect(answer.text).toMatch(/^forbidden/);
    expect(answer.complete).toBe(true);
    // the Golang filter's way: a reply passes the filter's own encode hooks
    expect(answer.header('x-passed')).toBe('yes');
  });

  it('a local reply keeps repeated headers, its content-type and its details', async () => {
    const answer = await exchange(at.port, { path: '/deny?details' });
    expect([answer.all('x-reason'), answer.all('content-type')]).toEqual([['first', 'second'], ['text/x-test']]);
    expect((await at.fx.logged('/deny?details')).details).toContain('denied_by_test');
    const other = await exchange(at.port, { path: '/deny-object' });
    expect([other.status, other.header('retry-after'), other.all('x-many'), other.length]).toEqual([
      429,
      '7',
      ['1', '2'],
      0,
    ]);
  });

  it('a local reply in the middle of an upload', async () => {
    logsOnFailure(at);
    const answer = await exchange(at.port, {
      method: 'POST',
      path: '/deny',
      body: ['a', 50, 'b', 50, 'c'],
      timeoutMs: 5_000,
    });
    expect([answer.status, answer.text]).toEqual([403, 'forbidden\n']);
    const body = await exchange(at.port, {
      method: 'POST',
      path: '/sink?deny-body',
      body: ['a', 50, 'b', 50, 'c'],
      timeoutMs: 5_000,
    });
    expect([body.status, body.text]).toEqual([403, 'forbidden in the body\n']);
  });

  it.each([
    ['stream', Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join('')],
    ['whole', 'x'.repeat(300_000)],
  ])('a long reply instead of a response whose end has come: %s', async (how, expected) => {
    logsOnFailure(at);
    for (const trailers of [0, 1]) {
      const path = `/bytes?n=2000&piece=700&trailers=${trailers}&replace=${how}`;
      const answer = await exchange(at.port, { path });
      expect([answer.status, answer.complete, answer.text === expected]).toEqual([200, true, true]);
    }
  });

  it('a local reply instead of the response', async () => {
    logsOnFailure(at);
    const answer = await exchange(at.port, { path: '/deny-response' });
    expect([answer.status, answer.text, answer.broken]).toEqual([502, 'response refused\n', '']);
  });

  it('a streamed reply comes piece by piece', async () => {
    logsOnFailure(at);
    const times: number[] = [];
    const answer = await exchange(at.port, {
      path: '/stream?n=5&ms=100',
      onPiece: () => void times.push(performance.now()),
    });
    expect([answer.status, answer.text, answer.broken]).toEqual([200, 'line 0\nline 1\nline 2\nline 3\nline 4\n', '']);
    expect(answer.header('x-streamed')).toBe('yes');
    expect(times.length).toBe(5);
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(300);
  });

  it('a streamed reply of 32 MB to a reader that pauses is exact', async () => {
    logsOnFailure(at);
    let expected = 0;
    let wrong = 0;
    let seen = 0;
    const answer = await exchange(at.port, {
      path: '/stream-big?n=512',
      onPiece: async (piece) => {
        for (let i = 0; i < piece.length; i += 1024) {
          expected = ((seen + i) >> 16) & 255;
          if (piece[i] !== expected) wrong++;
        }
        if (seen === 0) await sleep(300);
        seen += piece.length;
      },
    });
    expect([answer.length, wrong, answer.broken]).toEqual([512 * 65536, 0, '']);
  });

  it('a streamed reply without body', async () => {
    const answer = await exchange(at.port, { path: '/stream-empty' });
    expect([answer.status, answer.length, answer.broken]).toEqual([204, 0, '']);
  });

  it('a streamed reply that fails is cut', async () => {
    const answer = await exchange(at.port, { path: '/stream-fails' });
    expect([answer.status, answer.text, answer.complete]).toEqual([200, 'something', false]);
  });

  it('a streamed reply stops when its client leaves', async () => {
    const before = (await at.fx.counters())['replies.streamFinally'] ?? 0;
    const connection = await Connection.open(at.port);
    await connection.write('GET /stream?n=100000&ms=20 HTTP/1.1\r\nhost: a\r\n\r\n');
    await connection.readHead();
    connection.close();
    await eventually('its finally ran', async () => (await at.fx.counters())['replies.streamFinally'] === before + 1);
  });

  // the last: StopAndBuffer for headers that have no body is the author's error
  it.each(['/throw', '/throw-later', '/throw-string', '/throw-encode', '/stop-headers-only'])(
    '%s: 500',
    async (path) => {
      logsOnFailure(at);
      const answer = await exchange(at.port, { path });
      expect([answer.status, answer.text.trim(), answer.complete]).toEqual([500, 'error happened in filter', true]);
    },
  );

  it('a throw in a request body: 500', async () => {
    logsOnFailure(at);
    const answer = await exchange(at.port, { method: 'POST', path: '/sink?throw-body', body: 'some' });
    expect([answer.status, answer.text.trim()]).toEqual([500, 'error happened in filter']);
  });

  it('a throw after the response headers went cuts the answer, with its details', async () => {
    logsOnFailure(at);
    const path = '/one-by-one?late-throw';
    const answer = await exchange(at.port, { path, onHead: () => begins(path) });
    expect([answer.status, answer.complete]).toEqual([200, false]);
    await eventually('the code is logged', () => at.fx.envoy.output.includes('ts_filter_error_late'));
  });

  it('an illegal write throws in the filter, in that stream only', async () => {
    logsOnFailure(at);
    const bad = await exchange(at.port, { path: '/bad-header' });
    expect([bad.status, bad.text.trim()]).toEqual([500, 'error happened in filter']);
    const ask = async (path: string) => (await exchange(at.port, { path })).text;
    expect(await ask('/bad-header-caught')).toBe('you asked for /bad-header-caught');
    expect(await ask('/empty-header-caught')).toBe('you asked for /empty-header-caught');
  });

  it('Running and a later continue', async () => {
    const answer = await exchange(at.port, { path: '/running' });
    expect([answer.status, answer.text]).toEqual([200, 'you asked for /running']);
  });

  it('leaves no stream and no filter behind', async () => {
    await eventually('no stream', async () => (await at.fx.activeStreams()) === 0);
  });
});

describe('codes of illegal writes', () => {
  const at = stage({
    filters: [{ name: 'replies' }],
    upstream: { paths: { '/bad-header-caught': tell, '/empty-header-caught': tell } },
  });
  it('are TSF_ codes', async () => {
    expect((await get(at.port, '/empty-header-caught')).text).toBe('TSF_HEADER_EMPTY');
    expect((await get(at.port, '/bad-header-caught')).text).toMatch(/^TSF_[A-Z_]+$/);
  });
});

function tell(req: { headers: Record<string, unknown> }, res: { end(text: string): unknown }): void {
  res.end(String(req.headers['x-caught']));
}

describe('redirect', () => {
  const at = stage({ filters: [{ name: 'redirect', config: { ret_code: 302, uri: '/redirected/path' } }] });
  it('302 with its location', async () => {
    const answer = await get(at.port, '/');
    expect([answer.status, answer.header('location'), answer.length, answer.complete]).toEqual([
      302,
      '/redirected/path',
      0,
      true,
    ]);
    expect(at.upstream.seen.size).toBe(0);
  });
});

describe('auth', () => {
  const at = stage({ filters: [{ name: 'auth', config: { tokens: { secret: 'ann' }, delay_ms: 60 } }] });
  it('401 without and with a wrong token, 200 with the right one', async () => {
    logsOnFailure(at);
    const none = await get(at.port, '/sink');
    expect([none.status, none.text, none.header('www-authenticate')]).toEqual([401, 'unauthorized\n', 'Bearer']);
    const wrong = await get(at.port, '/sink', [['authorization', 'Bearer nonsense']]);
    expect([wrong.status, wrong.header('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
    const right = await get(at.port, '/sink', [
      ['authorization', 'Bearer secret'],
      ['x-user', 'forged'],
    ]);
    expect(right.status).toBe(200);
    expect((right.json as Seen).headers.filter(([name]) => name === 'x-user')).toEqual([['x-user', 'ann']]);
  });

  it('stops when the client leaves: the upstream never hears of it', async () => {
    const before = at.upstream.seen.get('/sink') ?? 0;
    for (let i = 0; i < 10; i++) {
      const connection = await Connection.open(at.port);
      await connection.write('GET /sink HTTP/1.1\r\nhost: a\r\nauthorization: Bearer secret\r\n\r\n');
      await sleep(20);
      connection.reset();
    }
    await eventually('no stream', async () => (await at.fx.activeStreams()) === 0);
    await sleep(150);
    expect(at.upstream.seen.get('/sink') ?? 0).toBe(before);
  });
});

describe('stream-reply', () => {
  const at = stage({ filters: [{ name: 'stream-reply', config: { chunks: 4, delay_ms: 80 } }] });
  it('comes line by line', async () => {
    const times: number[] = [];
    const answer = await http1(at.port, { path: '/', onPiece: () => void times.push(performance.now()) });
    expect(answer.text).toBe('chunk 1 of 4\nchunk 2 of 4\nchunk 3 of 4\nchunk 4 of 4\n');
    expect(times.length).toBe(4);
    expect(times[3]! - times[0]!).toBeGreaterThan(150);
  });
});
