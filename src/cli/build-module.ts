/** `ts-filter-host build-module`: the module for Envoy, from the sources in this package. */
import { MODULE_FILE } from '../base/native-file.js';
import { packageFile } from '../base/package-root.js';
import { compileNative } from './compile.js';

/** Answers where the module is now. */
export async function buildModule(out = packageFile(MODULE_FILE)): Promise<string> {
  await compileNative({
    folders: ['cpp/shm', 'cpp/core', 'cpp/stock'],
    compileFlags: ['cpp/compile.flags'],
    linkFlags: ['cpp/link.flags'],
    exportsMap: 'cpp/stock/exports.map',
    systemIncludes: [packageFile('build/gen'), packageFile('build/include')],
    out,
  });
  return out;
}
