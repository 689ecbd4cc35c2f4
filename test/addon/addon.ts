// The built addon with the types of cpp/addon/addon.d.ts.
import { createRequire } from 'node:module';

export type Addon = typeof import('../../cpp/addon/addon.js');
export type Connection = import('../../cpp/addon/addon.js').Connection;

export const addonPath = new URL('../../build/ts_filter_addon.node', import.meta.url).pathname;
export const addon = createRequire(import.meta.url)(addonPath) as Addon;
