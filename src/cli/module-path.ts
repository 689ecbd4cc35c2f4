/** Where the module for Envoy is; ENVOY_DYNAMIC_MODULES_SEARCH_PATH is the folder of it. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { HostError } from '../base/host-errors.js';

export function modulePath(): string {
  const root = dirname(createRequire(import.meta.url).resolve('envoy-ts-filter/package.json'));
  const path = join(root, 'build', 'libts_filter.so');
  if (existsSync(path)) return path;
  throw new HostError('TSF_MODULE_MISSING', `${path} is missing; run \`make module\` in a clone`);
}
