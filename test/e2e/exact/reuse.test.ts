/**
 * A request that a filter behind ours has ended, without edges: the answer to it is not given on, and the connection on
 * which the upstream still waits for the rest is not used for another, which would be read as that rest.
 */
import { describe, expect, it } from 'vitest';
import { exchangeOver, type Handler, type Protocol } from '../../fixture/index.js';
import { fault, lua } from '../envoy-filters.js';
import { logsOnFailure } from '../support.js';
import {
  CUT,
  expectExact,
  fateOfRequest,
  nextId,
  ours,
  patternBytes,
  PROTOCOLS,
  talkStage,
  through,
  type Chains,
  type Times,
} from './support.js';

const TIMES: readonly Times[] = [1, 2];
/** Ours lets its headers go, then the end comes in, then fault goes on, and then ours has its output. */
const END_MS = 60;
const FAULT_MS = 150;
const OURS = { style: 'generator', pause: 250 } as const;
const chains: Chains = {
  innocent: [lua('function envoy_on_request(handle) end')],
  ...Object.fromEntries(TIMES.map((times) => [`${times} before fault`, [ours(times, OURS), fault(FAULT_MS)]])),
};

/** How much of the answer comes before any of the request's body is read. */
const RASH: Readonly<Record<string, (res: Parameters<Handler>[1]) => void>> = {
  'headers alone': (res) => res.writeHead(200).end(),
  'headers and a length': (res) => res.writeHead(200, { 'content-length': '5' }).end('early'),
  'headers and chunks': (res) => {
    res.writeHead(200).write('ear');
    setTimeout(() => res.end('ly'), 5);
  },
};

/** None with its length: before 1.40 headers wait for all of a small one. */
const BODIES: Readonly<Record<string, { end: number[]; trailers?: [string, string][] }>> = {
  'ended by its last piece': { end: [] },
  'ended by an empty frame': { end: [1] },
  'with trailers': { end: [], trailers: [['x-sum', 'seven']] },
};

const HEARD_MS = 3_000;
const FOLLOWERS = 3;

const answerAs: Handler = (_req, res, query) => RASH[query.get('how') ?? '']!(res);

describe.each(PROTOCOLS)('to an upstream over %s', (protocol) => {
  const at = talkStage(chains, protocol, { paths: { '/rash': answerAs } });

  async function innocent(client: Protocol): Promise<string> {
    const id = nextId();
    const body = patternBytes(300);
    const path = `/talk?answer&${through('innocent')}&id=${id}`;
    const answer = await exchangeOver[client](at.port, { method: 'POST', path, body, timeoutMs: HEARD_MS }).catch(
      (error: Error) => error,
    );
    if (answer instanceof Error) return `hung: ${answer.message}`;
    return answer.status === 200 ? fateOfRequest(at.ends.seen(id)?.request, body) : `status ${answer.status}`;
  }

  describe.each(Object.keys(RASH))('that answers with %s', (how) => {
    it.each(Object.keys(BODIES).flatMap((body) => PROTOCOLS.map((client) => ({ body, client }))))(
      'a body $body over $client, and the requests behind it',
      async ({ body, client }) => {
        logsOnFailure(at);
        const { end, ...more } = BODIES[body]!;
        for (const times of TIMES) {
          const path = `/rash?how=${encodeURIComponent(how)}&${through(`${times} before fault`)}&id=${nextId()}`;
          const pieces = [END_MS, patternBytes(210), ...end];
          const request = { method: 'POST', path, body: pieces, ...more, timeoutMs: HEARD_MS };
          const answer = await exchangeOver[client](at.port, request);
          expect([answer.status, answer.text, answer.complete]).toEqual([502, CUT, true]);
          const behind: string[] = [];
          for (let i = 0; i < FOLLOWERS; i++) behind.push(await innocent(client));
          expectExact(behind, `behind ${times}`);
        }
      },
    );
  });
});
