// One case set up: Envoy, the process beside it, an upstream when it needs one; checked, used, taken down.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { envoyConfig } from './cases.js';
import { start, stop, until } from './processes.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const envoy = here(`../build/envoy/${process.env.ENVOY_VERSION ?? '1.40'}/envoy`);

/**
 * Calls `use({ url, measured, sidecar })` while the case runs. `wrap` turns the sidecar's arguments into a
 * command.
 */
export async function withCase(
  oneCase,
  { backend = false, wrap = (args) => [oneCase.program ?? process.execPath, ...args] },
  use,
) {
  const folder = mkdtempSync(join(tmpdir(), 'tsf-bench-'));
  const children = [];
  const add = (...command) => {
    const child = start(...command);
    children.push(child);
    return child;
  };
  try {
    const context = { socket: join(folder, 'sidecar.sock') };
    if (backend) {
      const upstream = add('backend', process.execPath, [here('backend.js')]);
      context.backendPort = await until('it listened', children, () => Number(/port (\d+)/.exec(upstream.output)?.[1]));
    }
    if (oneCase.needsServer) {
      const server = add('server', process.execPath, [here('backend.js')]);
      context.serverPort = await until('it listened', children, () => Number(/port (\d+)/.exec(server.output)?.[1]));
    }
    let sidecar;
    if (oneCase.sidecar) {
      const [command, ...args] = wrap(oneCase.sidecar(context));
      sidecar = add('sidecar', command, args);
    }
    const config = join(folder, 'envoy.json');
    const adminFile = join(folder, 'admin');
    writeFileSync(config, JSON.stringify(envoyConfig(oneCase, context)));
    const args = ['--concurrency', '1', '-l', 'error', '--use-dynamic-base-id', '--admin-address-path', adminFile];
    const proxy = add('envoy', envoy, ['-c', config, ...args], { ENVOY_DYNAMIC_MODULES_SEARCH_PATH: here('../build') });
    const port = await until('Envoy listened', children, () => listenerPort(adminFile));
    const url = `http://127.0.0.1:${port}`;
    await until('a request was changed', children, () => works(oneCase, `${url}/check`, backend));
    return await use({ url, sidecar, measured: sidecar ? [sidecar, proxy] : [proxy] });
  } catch (error) {
    throw new Error(`${oneCase.label}: ${error.message}`, { cause: error });
  } finally {
    for (const child of children.reverse()) await stop(child);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function listenerPort(adminFile) {
  const address = readFileSync(adminFile, 'utf8').trim();
  const response = await fetch(`http://${address}/listeners?format=json`, { signal: AbortSignal.timeout(2000) });
  const {
    listener_statuses: [listener],
  } = await response.json();
  return listener.local_address.socket_address.port_value;
}

/** A peer that answers without doing the work is not measured. */
async function works(oneCase, url, backend) {
  const response = await fetch(url, { signal: AbortSignal.timeout(6000) });
  const text = await response.text();
  if (response.status !== 200) return false;
  if (!oneCase.adds) return true;
  if (backend) return text === 'CHECK 1 CHECK';
  return response.headers.get('x-bench-response') === '1' && response.headers.get('x-saw-request') === '1';
}

/** One wrk run; its script prints JSON as the last line. */
export async function wrk(url, connections, seconds) {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', here('wrk.lua'), url];
  const child = start('wrk', 'wrk', args);
  const timer = setTimeout(() => child.kill('SIGKILL'), (seconds + 15) * 1000);
  await child.ended;
  clearTimeout(timer);
  const json = child.output.trim().split('\n').at(-1);
  try {
    return JSON.parse(json);
  } catch {
    throw new Error(`wrk did not work:\n${child.output}`);
  }
}
