/** What the tests of exact and prompt bodies share. */
import { expect } from 'vitest';
import {
  patternAt,
  startUpstream,
  UpstreamEnds,
  type AnyFilter,
  type EnvoyOptions,
  type FilterSpec,
  type Fixture,
  type Handler,
  type Heard,
  type Protocol,
  type Response,
  type Upstream,
} from '../../fixture/index.js';
import { SHIFT, type ShiftConfig, type Style } from '../filters/lib/shift.js';
import { stage, withEnvoy } from '../support.js';

export const PROTOCOLS: readonly Protocol[] = ['http1', 'http2'];

/** Every way to change a body that flows. */
export const STREAMING: readonly Style[] = ['perChunk', 'generator', 'delegating', 'transformStream', 'go'];

/** EXACT_RUNS multiplies how often the timings of each row are tried. */
export const RUNS = Number(process.env['EXACT_RUNS'] ?? '1');

/** One of ours alone, or two of them in one crossing. */
export type Times = 1 | 2;

export function ours(times: Times, config: ShiftConfig, options: FilterSpec['options'] = {}): FilterSpec {
  if (times === 1) return { name: 'shift', config, options };
  const one = { name: 'shift', plugin_config: config };
  return { name: 'pair', filters: [one, one], options };
}

/** What `times` of ours make of a body. */
export const shifted = (body: Buffer, direction: 'request' | 'response', times: number): Buffer =>
  Buffer.from(body.map((byte) => byte + SHIFT[direction] * times));

/** The first bytes of the pattern. */
export function patternBytes(size: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(size / 65536) }, (_, i) => patternAt(i * 65536, 65536));
  return Buffer.concat(blocks).subarray(0, size);
}

/** A number for each exchange of a file. */
let exchanges = 0;
export const nextId = (): string => String(++exchanges);

/** Chains by name; a request chooses its chain by its query. */
export type Chains = Readonly<Record<string, readonly AnyFilter[]>>;

/** Envoy compares what is in the query as it stands there, without decoding. */
const slug = (chain: string): string => chain.replaceAll(/[^a-z0-9]+/gi, '_');
export const through = (chain: string): string => `chain=${slug(chain)}`;

const DISABLED = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true };
const instance = (chain: string, i: number): string => `${slug(chain)}-${i}`;

function named(filter: AnyFilter, name: string): AnyFilter {
  return 'typed_config' in filter ? { ...filter, name } : { ...filter, instance: name };
}

/** One Envoy with all chains, whose routes switch off what is of another chain: a switched off filter is not made. */
function together(chains: Chains): Pick<EnvoyOptions, 'filters' | 'route' | 'routes'> {
  const all = Object.entries(chains).map(([chain, filters]) => ({
    chain,
    filters: filters.map((filter, i) => named(filter, instance(chain, i))),
    instances: filters.map((_, i) => instance(chain, i)),
  }));
  const instances = all.flatMap((one) => one.instances);
  return {
    filters: all.flatMap(({ filters }) => filters),
    routes: all.map((one) => ({
      match: { prefix: '/', query_parameters: [{ name: 'chain', string_match: { exact: slug(one.chain) } }] },
      route: { cluster: 'upstream', timeout: '0s' },
      typed_per_filter_config: Object.fromEntries(
        instances.filter((name) => !one.instances.includes(name)).map((name) => [name, DISABLED]),
      ),
    })),
    // a chain that does not exist is an error of the test
    route: { route: undefined, direct_response: { status: 404 } },
  };
}

export interface TalkStage {
  readonly fx: Fixture;
  readonly port: number;
  readonly upstream: Upstream;
  readonly ends: UpstreamEnds;
}

type TalkOptions = Omit<EnvoyOptions, 'upstream' | 'filters' | 'routes'> & {
  readonly paths?: Readonly<Record<string, Handler>>;
};

/** A stage of these chains, whose upstream has the test's own hands at `/talk`. */
export function talkStage(chains: Chains, protocol: Protocol, { paths, hcm, ...options }: TalkOptions = {}): TalkStage {
  const ends = new UpstreamEnds();
  const at = stage({
    ...together(chains),
    counters: true,
    upstream: { protocol, paths: { '/talk': ends.handler, ...paths } },
    // an HTTP/1 client hears after that time that its response was cut
    hcm: { drain_timeout: '0.5s', ...hcm },
    ...options,
  });
  return {
    get fx() {
      return at.fx;
    },
    get port() {
      return at.port;
    },
    get upstream() {
      return at.upstream;
    },
    ends,
  };
}

/** A fixture for one test, whose upstream has the test's own hands at `/talk`. */
export async function withTalk(
  filters: readonly AnyFilter[],
  protocol: Protocol,
  more: Omit<EnvoyOptions, 'upstream' | 'filters'>,
  run: (fx: Fixture, ends: UpstreamEnds) => Promise<void>,
): Promise<void> {
  const ends = new UpstreamEnds();
  const upstream = await startUpstream({ protocol, paths: { '/talk': ends.handler } });
  try {
    await withEnvoy({ filters, upstream, ...more }, (fx) => run(fx, ends));
  } finally {
    await upstream.close();
  }
}

/** What became of a message: `exact`, `ended` when its receiver was told that it is broken, else what is wrong. */
export type Fate = string;

function difference(got: Buffer, wanted: Buffer): Fate {
  if (got.equals(wanted)) return 'exact';
  let at = 0;
  while (at < got.length && got[at] === wanted[at]) at++;
  return `wrong: ${got.length} of ${wanted.length} bytes and a clean end, the first wrong one is at ${at}`;
}

/** At the upstream. */
export function fateOfRequest(heard: Heard | undefined, wanted: Buffer): Fate {
  if (heard === undefined || heard.end === 'cut') return 'ended';
  if (heard.end === 'open') return `hung: ${heard.length} of ${wanted.length} bytes and no end`;
  return difference(heard.bytes, wanted);
}

/** At the client, whose answer may also be an error of Envoy's. */
export function fateOfResponse(answer: Response | Error, wanted: Buffer): Fate {
  if (answer instanceof Error) return `hung: ${answer.message}`;
  if (!answer.complete || answer.status >= 500) return 'ended';
  return difference(answer.body, wanted);
}

export function tally(fates: readonly Fate[]): Record<Fate, number> {
  const counts: Record<Fate, number> = {};
  for (const fate of fates) counts[fate] = (counts[fate] ?? 0) + 1;
  return counts;
}

/** `of` names them when they are not. */
export function expectExact(fates: readonly Fate[], of = 'all'): void {
  expect({ of, ...tally(fates) }).toEqual({ of, exact: fates.length });
}

export const CUT = 'ts_filter_cut_by_chain';

/** Each message is whole, or it ended with the code that the log has with its mend. */
export function expectExactOrCoded(fates: readonly Fate[], fx: Fixture, of = 'all'): void {
  const { exact = 0, ended = 0, ...wrong } = tally(fates);
  expect({ of, ...wrong }).toEqual({ of });
  expect(exact + ended).toBe(fates.length);
  const coded = fx.envoy.output.includes(CUT) || fx.accessLog().some(({ details }) => details.includes(CUT));
  if (ended > 0) expect([`${ended} ended`, coded]).toEqual([`${ended} ended`, true]);
}

/** Runs jobs, so many at a time. */
export async function inParallel<T>(jobs: readonly (() => Promise<T>)[], width: number): Promise<T[]> {
  const results: T[] = [];
  const queue = jobs.entries();
  const lane = async () => {
    for (const [i, job] of queue) results[i] = await job();
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}
