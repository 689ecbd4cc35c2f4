/** The five ends of PROTOCOL.md, as the tests start them; `scripts/build-calls.sh` compiles what has to be. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Program } from '../../filters/calls/core/index.js';
import { buildDir, root } from '../fixture/paths.js';

const built = join(buildDir, 'calls');
const clients = join(root, 'filters/calls/clients');
const runtimes = join(root, 'test/calls/runtimes');
const python = (file: string): Program => ({
  command: ['python3', file],
  env: { PYTHONPATH: join(clients, 'python'), PYTHONDONTWRITEBYTECODE: '1' },
});
const java = (name: string): Program => ({
  command: ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(built, 'java'), name],
});

export interface Language {
  readonly name: string;
  readonly echo: Program;
  readonly conformance: Program;
}

export const LANGUAGES: readonly Language[] = [
  {
    name: 'Python',
    echo: python(join(clients, 'python/echo.py')),
    conformance: python(join(runtimes, 'conformance.py')),
  },
  {
    name: 'Go',
    echo: { command: [join(built, 'go-echo')] },
    conformance: { command: [join(built, 'go-conformance')] },
  },
  { name: 'Java', echo: java('Echo'), conformance: java('Conformance') },
  {
    name: 'Rust',
    echo: { command: [join(built, 'rust-echo')] },
    conformance: { command: [join(built, 'rust-conformance')] },
  },
  {
    name: 'TypeScript',
    echo: { module: pathToFileURL(join(clients, 'typescript/echo.ts')) },
    conformance: { module: pathToFileURL(join(runtimes, 'conformance.ts')) },
  },
];
