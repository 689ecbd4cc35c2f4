// `make run` and `make demo-...`: demo backend, ts-filter-host and stock Envoy until Ctrl-C, each ended by its own
// process id. DEMO_PORTS=8000:18000,... takes other ports than those of the configuration.
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Processes, takenPort } from '../dist/src/cli/processes.js';

const READY_WITHIN_MS = 20_000;

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

const processes = new Processes({
  ended: ({ name }, how) => void stop(1, `${name} ended by itself (${how}); its output is above`),
  problem: (text) => console.error(`${label}: ${text}`),
});

process.on('SIGINT', () => void stop(0));
process.on('SIGTERM', () => void stop(0));

try {
  await requireFile(envoy, `make build-envoy ENVOY_VERSION=${envoyVersion}`);
  await requireFile(join(root, 'build/libts_filter.so'), 'make module');
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
  if (!processes.isStopping) {
    console.log(`\nReady: Envoy ${port} (admin ${adminPort}), backend ${backendPort}. Try:\n`);
    for (const line of demo.lines(port)) console.log(`  ${line}`);
    console.log('\nCtrl-C ends it.');
  }
} catch (error) {
  await stop(1, error.message);
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

function start(name, command, args, env) {
  processes.start(name, command, args, { cwd: root, env });
}

/** Envoy first, so that no request finds its host or backend gone. */
async function stop(code, why) {
  if (processes.isStopping) return;
  if (why !== undefined) console.error(`${label}: ${why}`);
  await processes.stop();
  rmSync(directory, { recursive: true, force: true });
  process.exit(code);
}

async function requireFile(path, mend) {
  if (!existsSync(path)) throw new Error(`${path} is missing; run: ${mend}`);
}

async function requireFreePort(port) {
  const taken = await takenPort(port);
  if (taken !== undefined) throw new Error(`${taken} and try again`);
}

async function appears(path, what) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!processes.isStopping && !existsSync(path)) {
    if (Date.now() > deadline) throw new Error(`${what} is not ready after ${READY_WITHIN_MS / 1000} s: no ${path}`);
    await sleep(50);
  }
}

async function answers(port, path, wanted, what) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!processes.isStopping) {
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
