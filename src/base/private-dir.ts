/** A folder of this user's own under /tmp, for systems without $XDG_RUNTIME_DIR. Others may have been there first. */
import { lstatSync, mkdirSync } from 'node:fs';
import { HostError } from './host-errors.js';

export function privateDir(): string {
  const uid = process.getuid?.() ?? 0;
  // Not os.tmpdir(): the module has to find the same folder, whatever TMPDIR says in either process.
  const path = `/tmp/ts-filter-${uid}`;
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const stats = lstatSync(path);
  if (!stats.isDirectory() || stats.uid !== uid || (stats.mode & 0o077) !== 0) {
    throw new HostError(
      'TSF_SOCKET_DIR',
      `${path} must be a folder of uid ${uid} with mode 0700; remove it, or set XDG_RUNTIME_DIR or --socket`,
    );
  }
  return path;
}
