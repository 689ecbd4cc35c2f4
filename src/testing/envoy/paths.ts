/** Where the Envoy, the module and the host of a test are. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { MODULE_FILE } from '../../base/native-file.js';
import { packageFile } from '../../base/package-root.js';

const MODULE = basename(MODULE_FILE);

export const hostScript = (): string => packageFile('bin/ts-filter-host.js');

/** Throws with what to do where there is none. */
export function envoyBinary(given: string | undefined): string {
  const named = given ?? process.env['ENVOY'];
  if (named !== undefined && named !== '') {
    if (isProgram(named)) return named;
    const from = given === undefined ? '$ENVOY' : 'the option `envoy`';
    throw new Error(`startEnvoy: ${named} (${from}) is no program; give the path of an Envoy 1.38, 1.39 or 1.40`);
  }
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = folders.map((folder) => join(folder, 'envoy')).find(isProgram);
  if (found !== undefined) return found;
  throw new Error(
    'startEnvoy: no `envoy` on the PATH; install Envoy 1.38, 1.39 or 1.40, or name its binary with $ENVOY or the option `envoy`',
  );
}

/** The folder that has the module. Throws with what to do where it is not there. */
export function moduleDir(given: string | undefined): string {
  const folder = given ?? dirname(packageFile(MODULE_FILE));
  if (existsSync(join(folder, MODULE))) return folder;
  throw new Error(
    `startEnvoy: ${join(folder, MODULE)} is missing; name its folder with the option \`moduleDir\`, or build it (\`make build-envoy\` in a clone)`,
  );
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
