/** The native addon. */
import { createRequire } from 'node:module';
import { HostError, messageOf } from './host-errors.js';
import { ADDON_FILE, nativeFile } from './native-file.js';

export type Addon = typeof import('../../cpp/addon/addon.js');
export type Connection = import('../../cpp/addon/addon.js').Connection;
export type Listener = import('../../cpp/addon/addon.js').Listener;

const MEND = 'run `ts-filter-host build-addon` (needs a C++20 compiler), or `make addon` in a clone';

export function addonPath(): string | undefined {
  const file = nativeFile(ADDON_FILE);
  return file.usable ? file.path : undefined;
}

let loaded: Addon | undefined;

export function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  const file = nativeFile(ADDON_FILE);
  if (!file.usable) throw new HostError('TSF_ADDON_MISSING', `${file.path} ${file.why}; ${MEND}`);
  try {
    loaded = createRequire(import.meta.url)(file.path) as Addon;
  } catch (error) {
    // Another C library (musl), or an older one.
    throw new HostError('TSF_ADDON_MISSING', `${file.path} does not load here: ${messageOf(error)}; ${MEND}`, {
      cause: error,
    });
  }
  return loaded;
}
