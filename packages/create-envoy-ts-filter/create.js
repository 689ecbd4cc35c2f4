#!/usr/bin/env node
// `npm create envoy-ts-filter <name>` is `ts-filter-host create <name>`.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const library = dirname(createRequire(import.meta.url).resolve('envoy-ts-filter/package.json'));
process.argv.splice(2, 0, 'create');
await import(pathToFileURL(join(library, 'bin', 'ts-filter-host.js')).href);
