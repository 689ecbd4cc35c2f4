/** What was asked for, by the environment. */
import { ALL_VERSIONS, versionsOf, wholeNumber } from '../support/settings.js';
import type { EnvoyVersion } from '../fixture/paths.js';
import { STAGES, type StageName } from './plan.js';

export interface Settings {
  readonly versions: readonly EnvoyVersion[];
  readonly seed: number;
  /** For each Envoy. */
  readonly exchanges: number;
  /** Only the conversation of this exchange. */
  readonly only: number | undefined;
  /** How often, then. */
  readonly repeat: number;
  /** Only conversations there. */
  readonly stage: StageName | undefined;
  /** Reports to scripts/count_results.py. */
  readonly report: boolean;
}

export function readSettings(env: NodeJS.ProcessEnv, args: readonly string[]): Settings {
  const versions = versionsOf(env['TORTURE_VERSIONS'], ALL_VERSIONS);
  const only = env['FRAMING_ONLY'];
  const named = env['FRAMING_STAGE'];
  const stage = STAGES.find((one) => one === named);
  if (named !== undefined && named !== '' && stage === undefined)
    throw new Error(`FRAMING_STAGE=${named}: use one of ${STAGES.join(', ')}`);
  return {
    versions,
    seed: wholeNumber('FRAMING_SEED', env['FRAMING_SEED'], Math.floor(Math.random() * 2 ** 31)),
    exchanges: Math.ceil(wholeNumber('FRAMING_EXCHANGES', env['FRAMING_EXCHANGES'], 20_000) / versions.length),
    only: only === undefined || only === '' ? undefined : wholeNumber('FRAMING_ONLY', only, 0),
    repeat: wholeNumber('FRAMING_REPEAT', env['FRAMING_REPEAT'], 20),
    stage,
    report: args.includes('--report'),
  };
}
