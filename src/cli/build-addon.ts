/** `ts-filter-host build-addon`: the host's native addon, from the sources in this package. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { HostError } from '../base/host-errors.js';
import { ADDON_FILE } from '../base/native-file.js';
import { packageFile } from '../base/package-root.js';
import { compileNative } from './compile.js';

export interface AddonBuild {
  /** Default: where the host looks for it. */
  readonly out?: string | undefined;
  /** A folder with `node_api.h`; default: of this Node, or of node-gyp. */
  readonly nodeHeaders?: string | undefined;
}

/** Answers where the addon is now. */
export async function buildAddon({ out = packageFile(ADDON_FILE), nodeHeaders }: AddonBuild): Promise<string> {
  await compileNative({
    folders: ['cpp/shm', 'cpp/addon'],
    compileFlags: ['cpp/compile.flags', 'cpp/addon/compile.flags'],
    linkFlags: ['cpp/link.flags', 'cpp/addon/link.flags'],
    exportsMap: 'cpp/addon/exports.map',
    systemIncludes: [headersOfNode(nodeHeaders), packageFile('build/include/node-addon-api')],
    out,
  });
  return out;
}

function headersOfNode(given: string | undefined): string {
  const places =
    given !== undefined
      ? [resolve(given)]
      : [
          join(dirname(dirname(process.execPath)), 'include', 'node'),
          join(homedir(), '.cache', 'node-gyp', process.versions.node, 'include', 'node'),
        ];
  const found = places.find((place) => existsSync(join(place, 'node_api.h')));
  if (found !== undefined) return found;
  const mend = 'get them with `npx node-gyp install`, or name the folder with --node-headers';
  throw new HostError(
    'TSF_HEADERS_MISSING',
    `Node's headers (node_api.h) are not in ${places.join(' nor in ')}; ${mend}`,
  );
}
