/** The fixture itself, on an Envoy without our filter: what fails here is not the product's fault. */
import { describe, expect, it } from 'vitest';
import { Connection, get, http1, http2, openSession, pattern, patternDigest, type Seen } from '../fixture/index.js';
import { createHash } from 'node:crypto';
import { stage } from './support.js';

const sha1 = (text: string) => createHash('sha1').update(text).digest('hex');

for (const protocol of ['http1', 'http2'] as const) {
  const exchange = protocol === 'http1' ? http1 : http2;
  describe(`without our filter, ${protocol}`, () => {
    const at = stage({ filters: [], upstream: { protocol } });

    it('echoes bodies of every size with their bytes and their end', async () => {
      for (const size of [0, 1, 65536, 8 << 20]) {
        for (const length of [undefined, size]) {
          const answer = await exchange(at.port, {
            method: 'POST',
            path: '/echo',
            body: pattern(size),
            ...(length === undefined ? {} : { length }),
          });
          expect([answer.status, answer.digest, answer.complete]).toEqual([200, patternDigest(size), true]);
        }
      }
    });

    it('carries trailers both ways', async () => {
      const answer = await exchange(at.port, {
        method: 'POST',
        path: '/echo?trailers=1',
        body: pattern(70_000),
        trailers: [['x-sum', '7']],
      });
      expect([answer.digest, answer.complete]).toEqual([patternDigest(70_000), true]);
      expect(answer.trailers.sort()).toEqual([
        ['x-sum', '7'],
        ['x-upstream-trailer', 'there'],
      ]);
    });

    it('tells a cut body from a whole one', async () => {
      const answer = await exchange(at.port, { path: '/reset?after=100000' });
      expect(answer.complete).toBe(false);
      expect(answer.broken).not.toBe('');
    });

    it('carries early hints in the middle of an upload', async () => {
      const answer = await exchange(at.port, { method: 'POST', path: '/hints', body: ['first', 100, 'second'] });
      expect(answer.text).toBe('11:' + sha1('firstsecond'));
    });

    it('knows HEAD, 204, 304 and 100-continue', async () => {
      expect((await exchange(at.port, { method: 'HEAD', path: '/bytes?n=10&cl=1' })).header('content-length')).toBe(
        '10',
      );
      for (const code of [204, 304]) {
        const answer = await exchange(at.port, { path: `/status?code=${code}` });
        expect([answer.status, answer.length, answer.complete]).toEqual([code, 0, true]);
      }
      const answer = await exchange(at.port, {
        method: 'POST',
        path: '/sink',
        body: ['wai', 'ted'],
        expectContinue: true,
      });
      expect(answer.interim.map((head) => head.status)).toEqual([100]);
      expect((answer.json as Seen).digest).toBe('6:' + sha1('waited'));
    });

    it('logs every stream once', async () => {
      await exchange(at.port, { path: '/hello?once' });
      expect(await at.fx.logged('/hello?once')).toMatchObject({ code: 200, details: 'via_upstream' });
    });
  });
}

describe('without our filter', () => {
  const at = stage({ filters: [] });

  it('opens websockets', async () => {
    const connection = await Connection.open(at.port);
    await connection.write(
      'GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const head = await connection.readHead();
    expect(head.status).toBe(101);
    await connection.write('anything');
    expect((await connection.readExactly(8)).toString()).toBe('anything');
    connection.close();
  });

  it('serves many requests on one HTTP/2 session', async () => {
    const session = await openSession(at.port);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => http2(at.port, { path: `/hello?${i}` }, session)),
    );
    expect(new Set(answers.map((answer) => answer.text))).toEqual(new Set(['hola mundo :)']));
    session.destroy();
  });

  it('reads the stats of Envoy', async () => {
    const before = await at.fx.stat('cluster.upstream.upstream_rq_total');
    await get(at.port, '/hello');
    expect(await at.fx.stat('cluster.upstream.upstream_rq_total')).toBe(before + 1);
  });
});
