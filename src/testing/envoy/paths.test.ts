import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { envoyBinary, moduleDir } from './paths.js';
import { startEnvoy } from './start-envoy.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-paths-'));
const program = join(dir, 'envoy');
writeFileSync(program, '', { mode: 0o755 });
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

test('Envoy is the one that is given, else of $ENVOY, else on the PATH', () => {
  vi.stubEnv('ENVOY', '');
  vi.stubEnv('PATH', `/nowhere:${dir}`);
  expect(envoyBinary(undefined)).toBe(program);
  vi.stubEnv('ENVOY', '/no/envoy');
  expect(() => envoyBinary(undefined)).toThrow('/no/envoy ($ENVOY) is no program; give the path of an Envoy 1.38');
  expect(() => envoyBinary(dir)).toThrow('(the option `envoy`) is no program');
  expect(envoyBinary(program)).toBe(program);
});

test('where there is none, or no module, or no filter, the error says what to do', async () => {
  vi.stubEnv('ENVOY', '');
  vi.stubEnv('PATH', '/nowhere');
  expect(() => envoyBinary(undefined)).toThrow(/no `envoy` on the PATH; install .* \$ENVOY or the option `envoy`/);
  expect(() => moduleDir(dir)).toThrow(/libts_filter\.so is missing; name its folder/);
  await expect(startEnvoy({ filters: [{ name: 'f' }] })).rejects.toThrow('give `hostPaths`');
});
