/** What was asked for, by the environment. */
import type { EnvoyVersion } from '../fixture/paths.js';
import { ALL_VERSIONS, versionsOf, wholeNumber } from '../support/settings.js';

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
  /** Envoy's filters are not called as its documentation calls them. */
  readonly ownNames: boolean;
  /** No new round begins after so long. */
  readonly mostMs: number;
  /** Reports to scripts/count_results.py; few enough failures are let pass. */
  readonly report: boolean;
  readonly writeDocs: boolean;
}

const EDGES: Record<string, readonly boolean[]> = { both: [false, true], with: [true], without: [false] };

export function readSettings(env: NodeJS.ProcessEnv, args: readonly string[]): Settings {
  const versions = versionsOf(env['TORTURE_VERSIONS'], ALL_VERSIONS);
  const edges = EDGES[env['TORTURE_EDGES'] || 'both'];
  if (edges === undefined) throw new Error('TORTURE_EDGES: use both, with or without');
  const messages = wholeNumber('TORTURE_MESSAGES', env['TORTURE_MESSAGES'], 20_000);
  const only = env['TORTURE_ONLY'];
  return {
    versions,
    edges,
    seed: wholeNumber('TORTURE_SEED', env['TORTURE_SEED'], Math.floor(Math.random() * 2 ** 31)),
    perHalf: Math.ceil(messages / versions.length / edges.length),
    only: only === undefined || only === '' ? undefined : wholeNumber('TORTURE_ONLY', only, 0),
    repeat: wholeNumber('TORTURE_REPEAT', env['TORTURE_REPEAT'], 100),
    mostMs: wholeNumber('TORTURE_MINUTES', env['TORTURE_MINUTES'], 40) * 60_000,
    ours: env['TORTURE_OURS'] !== 'none',
    ownNames: env['TORTURE_NAMES'] === 'own',
    report: args.includes('--report'),
    writeDocs: args.includes('--write-docs') || env['TORTURE_WRITE_DOCS'] === '1',
  };
}
