/** `ts-filter-host doctor`: what has to be right before a host can start, one line each. */
import { addonPath, loadAddon } from '../base/addon.js';
import { HostError, messageOf } from '../base/host-errors.js';
import { checkSocketDir, socketPath } from '../host/socket-path.js';

function checkNode(): string {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  if (!fits)
    throw new HostError(
      'TSF_NODE_VERSION',
      `Node ${process.versions.node}; needs 20.19 or later in 20, or 22.12 or later`,
    );
  return major === 20
    ? `${process.versions.node} (20 is past its end of life; 22 or later is better)`
    : process.versions.node;
}

function checkAddon(): string {
  loadAddon();
  return addonPath() ?? '';
}

function checkSocket(flag: string | undefined): string {
  const path = socketPath(flag);
  checkSocketDir(path);
  return path;
}

/** True when all is well. */
export function doctor(socket: string | undefined): boolean {
  const checks: readonly (readonly [string, () => string])[] = [
    ['node', checkNode],
    ['addon', checkAddon],
    ['socket', () => checkSocket(socket)],
  ];
  let healthy = true;
  for (const [name, check] of checks) {
    try {
      process.stdout.write(`ok    ${name}: ${check()}\n`);
    } catch (error) {
      healthy = false;
      const code = error instanceof HostError ? `${error.code}: ` : '';
      process.stdout.write(`wrong ${name}: ${code}${messageOf(error)}\n`);
    }
  }
  return healthy;
}
