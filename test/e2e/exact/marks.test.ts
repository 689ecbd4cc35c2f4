/** Nothing of ours is on a request: not for later filters, not for a signer, not for filters of the upstream, nor for it. */
import { describe, expect, it } from 'vitest';
import { exchangeOver, type Pieces, type Seen } from '../../fixture/index.js';
import { awsRequestSigning, lua } from '../envoy-filters.js';
import { logsOnFailure } from '../support.js';
import type { ShiftConfig } from '../filters/lib/shift.js';
import { ours, patternBytes, PROTOCOLS, talkStage, through, type Chains, type Times } from './support.js';

/** Writes the names of all headers that it sees into one header. */
const names = (header: string) =>
  lua(`
  function envoy_on_request(handle)
    local names = {}
    for name, _ in pairs(handle:headers()) do table.insert(names, name) end
    table.sort(names)
    handle:headers():add("${header}", table.concat(names, " "))
  end`);

const STYLES: readonly ShiftConfig[] = [
  { style: 'headers' },
  { style: 'perChunk', keep: true },
  { style: 'generator', keep: true, pause: 5 },
  { style: 'go', keep: true },
  { style: 'whole', keep: true },
];
const TIMES: readonly Times[] = [1, 2];
const later = names('x-later-filter-saw');
const signer = awsRequestSigning();

const chains: Chains = {
  nothing: [later],
  'nothing signed': [later, signer],
  ...Object.fromEntries(
    STYLES.flatMap((config) =>
      TIMES.flatMap((times) => [
        [`${config.style} ${times}`, [ours(times, config), later]],
        [`${config.style} ${times} signed`, [ours(times, config), later, signer]],
      ]),
    ),
  ),
};

const BODIES: Readonly<Record<string, () => { body?: Pieces; trailers?: [string, string][] }>> = {
  'no body': () => ({}),
  'a body at once': () => ({ body: [patternBytes(500)] }),
  'a body in pieces': () => ({ body: [patternBytes(500), 10, patternBytes(70_000), 10] }),
  'a body with trailers': () => ({ body: [patternBytes(500), 10], trailers: [['x-sum', 'seven']] }),
};

const STAGES = PROTOCOLS.flatMap((protocol) => [false, true].map((edges) => ({ protocol, edges })));

describe.each(STAGES)('over $protocol, edges: $edges', ({ protocol, edges }) => {
  const at = talkStage(chains, protocol, {
    edges,
    upstreamFilters: [names('x-upstream-filter-saw')],
    envoyEnv: { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', AWS_EC2_METADATA_DISABLED: 'true' },
  });

  /** The request as the upstream saw it, its headers by name. */
  async function seenBy(chain: string, what: string): Promise<Map<string, string>> {
    const answer = await exchangeOver[protocol](at.port, {
      method: 'POST',
      path: `/sink?${through(chain)}`,
      ...BODIES[what]!(),
      timeoutMs: 5_000,
    });
    // a response that ours changes is compared elsewhere: its bytes stay as they are here
    expect([answer.status, answer.broken]).toEqual([200, '']);
    return new Map((answer.json as Seen).headers);
  }
  const without = (values: Iterable<string>, ...removed: string[]): string[] =>
    [...values].filter((value) => !removed.includes(value)).toSorted();

  // what a transform removes from headers by its contract
  const FRAMING = ['content-length', 'transfer-encoding'];

  describe.each(Object.keys(BODIES))('%s', (what) => {
    const streams = STYLES.flatMap(({ style }) => TIMES.map((times) => `${style} ${times}`));

    it.each(streams)(
      'later filters, upstream filters and the upstream see what they see without ours: %s',
      async (chain) => {
        logsOnFailure(at);
        const [plain, seen] = [await seenBy('nothing', what), await seenBy(chain, what)];
        for (const header of ['x-later-filter-saw', 'x-upstream-filter-saw']) {
          const [expected, got] = [plain, seen].map((one) => without(one.get(header)!.split(' '), ...FRAMING));
          expect([header, got]).toEqual([header, expected]);
        }
        expect(without(seen.keys(), ...FRAMING)).toEqual(without(plain.keys(), ...FRAMING));
      },
    );

    it.each(['nothing', ...streams])('every header that a signer signs reaches the upstream: %s', async (chain) => {
      logsOnFailure(at);
      const seen = await seenBy(`${chain} signed`, what);
      const signed = /SignedHeaders=([^,]+)/.exec(seen.get('authorization') ?? '')?.[1]?.split(';');
      expect(signed).toContain('x-amz-date');
      // the authority of HTTP/2
      expect(without(signed!, 'host').filter((name) => !seen.has(name))).toEqual([]);
    });
  });
});
