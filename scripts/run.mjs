// `make run` and `make demo-...`: demo backend, ts-filter-host and stock Envoy until Ctrl-C, each ended by its own
// process id. DEMO_PORTS=8000:18000,... takes other ports than those of the configuration.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 10_000;

const DEMOS = {
  run: {
    config: 'envoy.yaml',
    host: ['filters/'],
    port: 8085,
    ready: ['/hello', 200],
    lines: (port) => [
      `curl -i localhost:${port}/hello`,
      `curl -d 'streamed through TypeScript' localhost:${port}/upper`,
    ],
  },
  apisix: {
    config: 'filters/apisix/envoy.yaml',
    host: ['filters/apisix', '--init', 'filters/apisix/init.ts'],
    port: 8000,
    ready: ['/', 302],
    lines: (port) => [`curl -i 127.0.0.1:${port}/`, `curl -i -H 'apikey: sesame' 127.0.0.1:${port}/hello`],
  },
  calls: {
    config: 'filters/calls/envoy.yaml',
    host: ['filters/calls'],
    port: 8000,
    ready: ['/hello', 200],
    lines: (port) => [`curl -i 127.0.0.1:${port}/httpbin/get`, `curl -i -d text 127.0.0.1:${port}/echo`],
  },
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [demoName = 'run'] = process.argv.slice(2);
const demo = DEMOS[demoName];
const label = demoName === 'run' ? 'make run' : `make demo-${demoName}`;
const otherPorts = new Map((process.env.DEMO_PORTS ?? '').split(',').map((pair) => pair.split(':').map(Number)));
const portOf = (port) => otherPorts.get(port) ?? port;
const envoyVersion = process.env.ENVOY_VERSION ?? '1.40';
const envoy = join(root, 'build/envoy', envoyVersion, 'envoy');
const directory = mkdtempSync(join(tmpdir(), 'ts-filter-demo-'));
const socket = join(directory, 'ts-filter.sock');

/** @type {{ name: string, child: import('node:child_process').ChildProcess, exited: Promise<unknown> }[]} */
const running = [];
let stopping = false;

process.on('SIGINT', () => void stop(0));
process.on('SIGTERM', () => void stop(0));

try {
  await requireFile(envoy, `make build-envoy ENVOY_VERSION=${envoyVersion}`);
  await requireFile(join(root, 'build/libts_filter.so'), 'make module');
  await requireFile(join(root, 'dist/src/cli/main.js'), 'make ts');
  const [backendPort, port, adminPort] = [8080, demo.port, 9901].map(portOf);
  for (const one of [backendPort, port, adminPort]) await requireFreePort(one);

  start('backend', process.execPath, ['scripts/demo-backend.mjs', String(backendPort)]);
  start('ts-filter-host', process.execPath, [
    'bin/ts-filter-host.js',
    ...demo.host,
    '--socket',
    socket,
    '--workers',
    '1',
  ]);
  await appears(socket, 'ts-filter-host');
  start(
    'envoy',
    envoy,
    [
      '--use-dynamic-base-id',
      '--concurrency',
      '2',
      '--log-level',
      'warning',
      '--component-log-level',
      'main:error',
      '-c',
      configFile(),
    ],
    {
      ENVOY_DYNAMIC_MODULES_SEARCH_PATH: join(root, 'build'),
      TS_FILTER_SOCKET: socket,
    },
  );

  await answers(backendPort, '/hello', 200, 'the backend');
  await answers(adminPort, '/ready', 200, 'Envoy');
  await answers(port, ...demo.ready, 'the filter (Envoy → ts-filter-host → backend)');
  if (!stopping) {
    console.log(`\nReady: Envoy ${port} (admin ${adminPort}), backend ${backendPort}. Try:\n`);
    for (const line of demo.lines(port)) console.log(`  ${line}`);
    console.log('\nCtrl-C ends it.');
  }
} catch (error) {
  if (!stopping) {
    console.error(`${label}: ${error.message}`);
    await stop(1);
  }
}

/** The demo's own, or a copy with other ports. */
function configFile() {
  if (process.env.DEMO_PORTS === undefined) return demo.config;
  const path = join(directory, 'envoy.yaml');
  const text = readFileSync(join(root, demo.config), 'utf8');
  writeFileSync(
    path,
    text.replace(/(?<=port_value: )\d+/g, (port) => String(portOf(Number(port)))),
  );
  return path;
}

/** Starts a part; when it ends by itself, everything ends. */
function start(name, command, args, env = {}) {
  // A process group of its own: Ctrl-C goes to this process only, which then stops the parts in order.
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: 'inherit', detached: true });
  const exited = once(child, 'exit').catch((error) => console.error(`${label}: ${name}: ${error.message}`));
  running.push({ name, child, exited });
  void exited.then(async () => {
    if (stopping) return;
    console.error(`${label}: ${name} ended by itself (${child.signalCode ?? child.exitCode}); its output is above`);
    await stop(1);
  });
}

/** Envoy first, so that no request finds its host or backend gone. */
async function stop(code) {
  if (stopping) return;
  stopping = true;
  for (const { name, child, exited } of running.reverse()) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    const late = setTimeout(() => {
      console.error(`${label}: ${name} did not end within ${STOP_WITHIN_MS / 1000} s and is killed`);
      child.kill('SIGKILL');
    }, STOP_WITHIN_MS);
    await exited;
    clearTimeout(late);
  }
  rmSync(directory, { recursive: true, force: true });
  process.exit(code);
}

async function requireFile(path, mend) {
  if (!existsSync(path)) throw new Error(`${path} is missing; run: ${mend}`);
}

async function requireFreePort(port) {
  const probe = connect(port, '127.0.0.1');
  const taken = await once(probe, 'connect').then(
    () => true,
    () => false,
  );
  probe.destroy();
  if (taken)
    throw new Error(`port ${port} is taken; end what listens there (ss -ltnp 'sport = :${port}') and try again`);
}

async function appears(path, what) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!stopping && !existsSync(path)) {
    if (Date.now() > deadline) throw new Error(`${what} is not ready after ${READY_WITHIN_MS / 1000} s: no ${path}`);
    await sleep(50);
  }
}

async function answers(port, path, wanted, what) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!stopping) {
    const last = await status(port, path);
    if (last === wanted) return;
    if (Date.now() > deadline) throw new Error(`${what} is not ready after ${READY_WITHIN_MS / 1000} s: ${last}`);
    await sleep(100);
  }
}

async function status(port, path) {
  try {
    const request = get({ host: '127.0.0.1', port, path, agent: false, timeout: 5000 });
    request.on('timeout', () => request.destroy(new Error('no answer in 5 s')));
    const [response] = await once(request, 'response');
    response.resume();
    return response.statusCode;
  } catch (error) {
    return error.message;
  }
}
