/** The native addon, found beside this package's sources or its build. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export type Addon = typeof import('../../cpp/addon/addon.js');
export type Connection = import('../../cpp/addon/addon.js').Connection;
export type Listener = import('../../cpp/addon/addon.js').Listener;

const FILE = 'build/ts_filter_addon.node';
/** From src/base/ (tests) and from dist/src/base/. */
const CANDIDATES = [`../../${FILE}`, `../../../${FILE}`].map((path) => fileURLToPath(new URL(path, import.meta.url)));

export function addonPath(): string | undefined {
  return CANDIDATES.find((path) => existsSync(path));
}

let loaded: Addon | undefined;

export function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  const path = addonPath();
  if (path === undefined) {
    throw Object.assign(
      new Error(`${FILE} is missing; run \`ts-filter-host build-addon\`, or \`make addon\` in a clone`),
      {
        code: 'TSF_ADDON_MISSING',
      },
    );
  }
  loaded = createRequire(import.meta.url)(path) as Addon;
  return loaded;
}
