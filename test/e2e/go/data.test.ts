/** Bodies in the Golang filter's way: BufferInstance, AddData, InjectData. */
import { describe, expect } from 'vitest';
import { eventually, type Request } from '../../fixture/index.js';
import { logsOnFailure, stage } from '../support.js';
import { goCaseBoth, type Protocol } from './case.js';
import { exchange, Recorder, twoChunks, values } from './support.js';

describe('buffer', () => {
  const upstream = new Recorder();
  const at = stage({
    filters: [{ name: 'go-buffer' }],
    upstream: { paths: { '/test': upstream.handler((_req, res) => void res.end()) } },
  });
  const body = '1234567890'.repeat(3) + '12345'.repeat(4);
  const cases = [
    ['drain', ''],
    ['drain-bad-offset', body],
    ['reset', ''],
    ['reset-after-drain', 'again'],
    ['len', `${body}\xc3\xa4`],
  ] as const;
  for (const [name, expected] of cases) {
    goCaseBoth(`go/buffer/${name}`, async (protocol) => {
      logsOnFailure(at);
      const answer = await exchange(protocol, at.port, { method: 'POST', path: `/test?${name}`, body: [body] });
      expect(answer.status).toBe(200);
      expect(upstream.one().body).toBe(expected);
    });
  }
});

describe('add-data', () => {
  const upstream = new Recorder();
  const at = stage({
    filters: [{ name: 'go-add-data' }],
    upstream: {
      paths: {
        '/test': upstream.handler((_req, res, query) => {
          if (!query.has('with-body')) {
            res.writeHead(200, { 'content-length': '0' }).end();
            return;
          }
          res.writeHead(200, { trailer: 'x-trailer' });
          res.write('foo');
          res.addTrailers({ 'x-trailer': 'there' });
          res.end();
        }),
      },
    },
  });
  const ask = (protocol: Protocol, query: string, more: Partial<Request> = {}) =>
    exchange(protocol, at.port, { method: 'POST', path: `/test?${query}`, ...more });
  const trailers = [['x-trailer', 'there']] as const;

  goCaseBoth('go/add-data/decodeHeaders', async (protocol) => {
    logsOnFailure(at);
    const answer = await ask(protocol, 'decodeHeaders=foo', { method: 'HEAD' });
    const seen = upstream.one();
    expect([answer.status, seen.method, seen.body]).toEqual([200, 'POST', 'foo']);
    expect(values(seen.headers, 'content-length')).toEqual(['3']);
  });

  goCaseBoth('go/add-data/decodeData-refused', async (protocol) => {
    logsOnFailure(at);
    const answer = await ask(protocol, 'decodeData=bar', { body: ['addData'], length: 7 });
    expect(answer.status).toBe(200);
    const { body } = upstream.one();
    expect(body).toMatch(/^addData TSF_WRONG_PHASE: addData\(\) in decodeData: /);
    expect(body).not.toContain('bar');
  });

  for (const [name, query] of [
    ['', ''],
    ['/whole-body', '&buffer-all-data'],
  ] as const) {
    goCaseBoth(`go/add-data/decodeTrailers${name}`, async (protocol) => {
      logsOnFailure(at);
      const answer = await ask(protocol, `decodeTrailers=bar${query}`, { body: ['foo'], trailers });
      const seen = upstream.one();
      expect([answer.status, seen.body, values(seen.trailers, 'x-trailer')]).toEqual([200, 'foobar', ['there']]);
    });

    goCaseBoth(`go/add-data/encodeTrailers${name}`, async (protocol) => {
      logsOnFailure(at);
      const answer = await ask(protocol, `encodeTrailers=bar&with-body${query}`);
      expect([answer.status, answer.text, answer.trailer('x-trailer')]).toEqual([200, 'foobar', 'there']);
      upstream.one();
    });
  }

  goCaseBoth('go/add-data/encodeHeaders/async', async (protocol) => {
    logsOnFailure(at);
    const answer = await ask(protocol, 'encodeHeaders=foo');
    expect([answer.status, answer.header('content-length'), answer.text]).toEqual([200, '3', 'foo']);
    upstream.one();
  });
});

describe('inject-data', () => {
  const upstream = new Recorder();
  const at = stage({
    filters: [{ name: 'go-inject-data' }],
    counters: true,
    upstream: {
      paths: {
        '/test': upstream.handler(async (_req, res, query) => {
          res.writeHead(200);
          if (query.has('buffered-encode')) res.write('To be, ');
          if (query.has('encode')) {
            const count = async () => (await at.fx.counters())['go-inject-data.encodeData'] ?? 0;
            const before = await count();
            res.write('To be, ');
            await eventually('the first chunk is with the filter', async () => (await count()) > before);
            res.write('that is ');
          }
          res.end();
        }),
      },
    },
  });
  const QUOTE = 'To be, or not to be, that is the question';
  const ask = (protocol: Protocol, query: string, body?: Request['body']) =>
    exchange(protocol, at.port, {
      method: body === undefined ? 'GET' : 'POST',
      path: `/test?${query}`,
      ...(body === undefined ? {} : { body, trailers: [['x-end', 'yes']] }),
    });

  goCaseBoth('go/inject-data/request', async (protocol) => {
    logsOnFailure(at);
    const upload = twoChunks(at.fx, 'go-inject-data.decodeData', 'To be, ', 'that is ');
    expect((await ask(protocol, 'decode', upload)).status).toBe(200);
    expect(upstream.one().body).toBe(QUOTE);
  });

  goCaseBoth('go/inject-data/request/whole-body', async (protocol) => {
    logsOnFailure(at);
    expect((await ask(protocol, 'buffered-decode', ['To be, '])).status).toBe(200);
    expect(upstream.one().body).toBe(QUOTE);
  });

  goCaseBoth('go/inject-data/response', async (protocol) => {
    logsOnFailure(at);
    const answer = await ask(protocol, 'encode');
    expect([answer.status, answer.text, answer.complete]).toEqual([200, QUOTE, true]);
    upstream.one();
  });

  goCaseBoth('go/inject-data/response/whole-body', async (protocol) => {
    logsOnFailure(at);
    const answer = await ask(protocol, 'buffered-encode');
    expect([answer.status, answer.text, answer.complete]).toEqual([200, QUOTE, true]);
    upstream.one();
  });

  goCaseBoth('go/inject-data/outside-data-phase', async (protocol) => {
    const answer = await ask(protocol, 'in-headers');
    expect([answer.status, answer.text, upstream.seen]).toEqual([400, 'TSF_WRONG_PHASE', []]);
  });

  goCaseBoth('go/inject-data/synchronous', async (protocol) => {
    const answer = await ask(protocol, 'synchronous', ['To be, ']);
    expect([answer.status, answer.text, upstream.seen]).toEqual([400, 'TSF_WRONG_PHASE', []]);
  });
});
