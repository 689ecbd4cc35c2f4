/** What was asked for, by the environment. */
import type { EnvoyVersion } from '../fixture/paths.js';

export interface Settings {
  readonly versions: readonly EnvoyVersion[];
  readonly edges: readonly boolean[];
  readonly seed: number;
  /** Messages for each half on each Envoy. */
  readonly perHalf: number;
  /** Only this message. */
  readonly only: number | undefined;
  /** How often, then. */
  readonly repeat: number;
  readonly ours: boolean;
  /** No new round begins after so long. */
  readonly mostMs: number;
  /** Reports to scripts/count_results.py; few enough failures are let pass. */
  readonly report: boolean;
  readonly writeDocs: boolean;
}

const EDGES: Record<string, readonly boolean[]> = { both: [false, true], with: [true], without: [false] };
const ALL: readonly EnvoyVersion[] = ['1.40', '1.39', '1.38'];

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined || text === '') return otherwise;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new Error(`${name}=${text}: must be a whole number`);
}

export function readSettings(env: NodeJS.ProcessEnv, args: readonly string[]): Settings {
  const wanted = env['TORTURE_VERSIONS']?.split(/\s+/).filter((version) => version !== '') ?? ALL;
  const versions = wanted.map((version) => {
    const known = ALL.find((one) => one === version);
    if (known === undefined) throw new Error(`no Envoy ${version}: use ${ALL.join(', ')}`);
    return known;
  });
  const edges = EDGES[env['TORTURE_EDGES'] || 'both'];
  if (edges === undefined) throw new Error('TORTURE_EDGES: use both, with or without');
  const messages = whole('TORTURE_MESSAGES', env['TORTURE_MESSAGES'], 20_000);
  const only = env['TORTURE_ONLY'];
  return {
    versions,
    edges,
    seed: whole('TORTURE_SEED', env['TORTURE_SEED'], Math.floor(Math.random() * 2 ** 31)),
    perHalf: Math.ceil(messages / versions.length / edges.length),
    only: only === undefined || only === '' ? undefined : whole('TORTURE_ONLY', only, 0),
    repeat: whole('TORTURE_REPEAT', env['TORTURE_REPEAT'], 100),
    mostMs: whole('TORTURE_MINUTES', env['TORTURE_MINUTES'], 40) * 60_000,
    ours: env['TORTURE_OURS'] !== 'none',
    report: args.includes('--report'),
    writeDocs: args.includes('--write-docs') || env['TORTURE_WRITE_DOCS'] === '1',
  };
}
