import { createRequire } from 'node:module';

const manifest = createRequire(import.meta.url)('envoy-ts-filter/package.json') as { version: string };

/** The package's. */
export const version = manifest.version;
