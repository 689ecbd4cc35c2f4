/** Settings of the tortures, from the environment. */
import type { EnvoyVersion } from '../fixture/paths.js';

export const ALL_VERSIONS: readonly EnvoyVersion[] = ['1.40', '1.39', '1.38'];

export function wholeNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined || text === '') return otherwise;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new Error(`${name}=${text}: must be a whole number`);
}

/** The Envoys that are named, divided by spaces. */
export function versionsOf(text: string | undefined, otherwise: readonly EnvoyVersion[]): EnvoyVersion[] {
  const wanted = text?.split(/\s+/).filter((version) => version !== '') ?? otherwise;
  return wanted.map((version) => {
    const known = ALL_VERSIONS.find((one) => one === version);
    if (known === undefined) throw new Error(`no Envoy ${version}: use ${ALL_VERSIONS.join(', ')}`);
    return known;
  });
}
