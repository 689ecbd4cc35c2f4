/** `ts-filter-host module-path`: where the module for Envoy is; ENVOY_DYNAMIC_MODULES_SEARCH_PATH is the folder of it. */
import { HostError } from '../base/host-errors.js';
import { MODULE_FILE, nativeFile } from '../base/native-file.js';

export function modulePath(): string {
  const file = nativeFile(MODULE_FILE);
  if (file.usable) return file.path;
  const mend = 'run `ts-filter-host build-module` (needs a C++20 compiler), or `make module` in a clone';
  throw new HostError('TSF_MODULE_MISSING', `${file.path} ${file.why}; ${mend}`);
}
