/** The framing torture's own parts: a strict reader, plans that a seed says, and a judge that sees what is wrong. */
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ResetLog } from '../torture/judge.js';
import type { Arrival } from './board.js';
import { judge, type Kind } from './judge.js';
import { through, type Acts } from './ours.js';
import { planTalk, TALK, type Exchange } from './plan.js';
import type { Sight, View } from './run.js';
import { nothingSeen, type Seen } from './seen.js';
import { bodiless, CutBody, framingOf, Incoming, readContent, readStart } from './strict.js';

function incoming(text: string): Incoming {
  const stream = new Duplex({ read: () => undefined, write: (_bytes, _encoding, done) => done() });
  stream.push(Buffer.from(text, 'latin1'));
  stream.push(null);
  return new Incoming(Object.assign(stream, { setNoDelay: () => undefined }) as unknown as Socket);
}

async function read(text: string) {
  const from = incoming(text);
  const faults: string[] = [];
  const start = await readStart(from);
  const content = await readContent(from, framingOf(start.lines, start.version, faults));
  return { from, faults, start, content };
}

describe('the strict reader', () => {
  it('takes a message by its length, and leaves what follows', async () => {
    const { from, content, faults } = await read(
      'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 204 No\r\n\r\n',
    );
    expect(content.body.toString()).toBe('abc');
    expect(faults).toEqual([]);
    expect((await readStart(from)).status).toBe(204);
  });

  it('takes chunks with trailers', async () => {
    const { content } = await read(
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx: y\r\n\r\n',
    );
    expect(content.body.toString()).toBe('abc');
    expect(content.trailers).toEqual([['x', 'y']]);
  });

  it.each([
    ['stray bytes before a status line', 'abHTTP/1.1 200 OK\r\n\r\n', /no status line/],
    ['a line without CR', 'HTTP/1.1 200 OK\n\r\n', /without CR/],
    ['a header without a name', 'HTTP/1.1 200 OK\r\n: x\r\n\r\n', /no header line/],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nx : y\r\n\r\n', /no header line/],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc', /content-length/],
    [
      'a chunk longer than its size',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n',
      /longer/,
    ],
    ['an unknown coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n', /transfer-encoding/],
  ])('refuses %s', async (_what, text, message) => {
    await expect(read(text)).rejects.toThrow(message);
  });

  it('tells a body that is cut, with what came of it', async () => {
    const cut = await read('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc').catch((error: Error) => error);
    expect(cut).toBeInstanceOf(CutBody);
    expect((cut as CutBody).body.toString()).toBe('abc');
  });

  it('notes what may not stand beside each other', async () => {
    const { faults } = await read(
      'HTTP/1.0 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    expect(faults).toEqual([
      '2 content-length',
      'content-length and transfer-encoding',
      'transfer-encoding to HTTP/1.0',
    ]);
  });

  it('knows which answers have no body', () => {
    expect([bodiless('HEAD', 200), bodiless('GET', 204), bodiless('GET', 304), bodiless('CONNECT', 200)]).not.toContain(
      false,
    );
    expect([bodiless('GET', 200), bodiless('GET', 205), bodiless('CONNECT', 403)]).not.toContain(true);
  });
});

describe('plans', () => {
  it('are the same for a seed and a number, and others for another', () => {
    expect(planTalk(7, 3)).toEqual(planTalk(7, 3));
    expect(planTalk(7, 3)).not.toEqual(planTalk(8, 3));
    expect(planTalk(7, 3).exchanges.map(({ number }) => number)).toEqual(
      Array.from({ length: TALK }, (_, i) => 3 * TALK + i),
    );
  });

  it('come to every method, stage, client and malformed request', () => {
    const talks = Array.from({ length: 600 }, (_, number) => planTalk(1, number));
    const exchanges = talks.flatMap((talk) => talk.exchanges);
    const kinds = (of: readonly unknown[]) => new Set(of).size;
    expect(kinds(talks.map(({ stage }) => stage))).toBe(8);
    expect(kinds(talks.map(({ client }) => client))).toBe(4);
    expect(kinds(exchanges.map(({ request }) => request.method))).toBe(8);
    expect(kinds(exchanges.map(({ request }) => request.malformed))).toBe(11);
    expect(kinds(exchanges.map(({ answer }) => answer.status))).toBe(15);
  });
});

describe('the judge', () => {
  const talk = planTalk(1, 0);
  const none = { size: 0, offset: 0, steps: [], end: 'with the headers' as const, length: false };
  const body = { size: 4, offset: 0, steps: [4], end: 'with the last piece' as const, length: true };
  const exchange = (acts: Acts, method = 'GET'): Exchange => ({
    number: 0,
    request: {
      method,
      target: 'http1',
      body: none,
      expect: false,
      upgrade: false,
      together: true,
      malformed: undefined,
    },
    answer: {
      ...talk.exchanges[0]!.answer,
      status: 200,
      interim: [],
      when: 'late',
      body,
      framing: 'length',
      short: false,
    },
    acts: [acts],
  });
  const seen = (change: Partial<Seen>): Seen => ({ ...nothingSeen('clean', ''), status: 200, stays: true, ...change });
  const arrival: Arrival = { method: 'GET', lines: [], body: Buffer.alloc(0), trailers: [], end: 'clean', faults: [] };
  const view = (one: Seen): View => ({ seen: one, arrivals: [arrival], log: undefined, code: undefined });
  const bare = seen({ body: Buffer.from('abcd'), lines: [['content-length', '4']] });
  const kinds = (acts: Acts, ours: Seen, method = 'GET', without = bare): Kind[] => {
    const sight: Sight = {
      version: '1.40',
      conversation: { ...talk, client: 'http1', stage: 'one' },
      exchange: exchange(acts, method),
      bare: view(without),
      ours: view(ours),
      began: 0,
      ended: 1,
      strays: false,
    };
    return judge(sight, new ResetLog('')).faults.map(({ kind }) => kind);
  };
  const looks: Acts = { request: 'none', response: 'none' };

  it('finds nothing where all is as without us', () => {
    expect(kinds(looks, bare)).toEqual([]);
  });

  it.each<[string, Acts, Partial<Seen>, Kind]>([
    [
      'a lost length',
      looks,
      { body: bare.body, lines: [['transfer-encoding', 'chunked']] },
      'client: not as without us',
    ],
    ['another body', looks, { body: Buffer.from('abcx'), lines: bare.lines }, 'client: body'],
    ['a status', looks, { status: 502, body: bare.body, lines: bare.lines }, 'client: status'],
    [
      'a connection that is lost',
      looks,
      { body: bare.body, lines: bare.lines, stays: false },
      'client: connection lost',
    ],
    ['stray bytes', looks, { body: bare.body, lines: bare.lines, faults: ['stray bytes'] }, 'client: broken framing'],
    ['a cut body', looks, { body: Buffer.from('ab'), end: 'broken', lines: bare.lines }, 'client: cut'],
    ['a hang', looks, { end: 'hung' }, 'hung'],
    ['a code without a cause', looks, { status: 500, body: Buffer.from('ts_filter_error') }, 'coded without a cause'],
    [
      'a right length that was not kept',
      { request: 'none', response: 'go-map', responseLength: '4' },
      { body: Buffer.from(through('go-map', 'A', { body: bare.body, trailers: false, headersOnly: 'no' })[0]!.body) },
      'client: length',
    ],
  ])('finds %s', (_what, acts, ours, kind) => {
    expect(kinds(acts, seen(ours))).toContain(kind);
  });

  it('takes a code for a wrong length', () => {
    const acts: Acts = { request: 'none', response: 'none', responseLength: '5' };
    expect(kinds(acts, seen({ status: 502, body: Buffer.from('ts_filter_length') }))).toEqual([]);
  });
});
