/** README's "Your own project", command for command, from an empty folder and the tarball. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { Child, envoyBinary, eventually, get, nodeBinary, root } from '../fixture/index.js';

/**
 * Commands that are not there yet, and what stands in for what they leave behind. What is there is taken out; what stood in
 * for it goes with it.
 */
const TO_COME: readonly (readonly [command: RegExp, standIn: () => void])[] = [
  [/ create /, writeProject],
  [/^npm test$/, () => undefined],
  [/ dev /, () => undefined],
  [/ print-config .*--full/, writeEnvoyConfig],
];
/** They run until they are told to end. */
const STAYS = / dev |ts-filter-host filters\/|envoy -c/;
const MOST = 11;

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const section = /^## Your own project\n(.*?)^## /ms.exec(readme)![1]!;
const commands = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block]) => block!.trim().split('\n'));

const folder = mkdtempSync(join(tmpdir(), 'tsf-readme-'));
const socket = join(folder, 's');
const PATH = [dirname(envoyBinary('1.40')), dirname(nodeBinary), process.env['PATH']].join(':');
const running: Child[] = [];
let cwd = folder;
/** Envoy's, once there is an envoy.yaml. */
let port = 0;
let edited = false;

afterAll(async () => {
  for (const child of running.reverse()) await child.stop(10_000);
  rmSync(folder, { recursive: true });
});

function writeProject(): void {
  mkdirSync(join(cwd, 'my-filter', 'filters'), { recursive: true });
  const dependencies = { 'envoy-ts-filter': `file:${inject('tarball')}` };
  writeFileSync(
    join(cwd, 'my-filter', 'package.json'),
    JSON.stringify({ type: 'module', private: true, dependencies }),
  );
  const source = `import { defineFilter } from 'envoy-ts-filter';
export default defineFilter({
  name: 'my-filter',
  create: () => ({ encodeHeaders(headers) { headers.set('x-my-filter', 'hello'); } }),
});
`;
  writeFileSync(join(cwd, 'my-filter', 'filters', 'my-filter.ts'), source);
}

function writeEnvoyConfig(): void {
  const { stdout } = runIn(cwd, `node_modules/.bin/ts-filter-host print-config my-filter --socket ${socket}`);
  writeFileSync(
    join(cwd, 'envoy.yaml'),
    `static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config: { virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }] }
          http_filters:
${stdout.replace(/^(?=.)/gm, '          ')}`,
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port: free } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return free;
}

/** Other tests run beside this one: its ports are chosen by the kernel. */
async function giveFreePorts(): Promise<void> {
  const path = join(cwd, 'envoy.yaml');
  if (port !== 0 || !existsSync(path)) return;
  const parts = readFileSync(path, 'utf8').split(/(?<=port_value: )\d+/);
  const ports = await Promise.all(parts.slice(1).map(freePort));
  const listens = parts.findIndex((part) => /^ *listeners:$/m.test(part));
  port = ports[listens]!;
  writeFileSync(path, parts.map((part, i) => `${part}${ports[i] ?? ''}`).join(''));
}

/** As in the README, but for places that are this machine's. */
const here = async (command: string): Promise<string> =>
  command
    .replace(' dev filters/', ` dev filters/ --port ${await freePort()} --admin-port ${await freePort()}`)
    .replace(`./${basename(inject('tarball'))}`, inject('tarball'))
    .replaceAll('/run/ts-filter.sock', socket)
    .replace(' envoy -c', ' exec envoy --use-dynamic-base-id -c');

function runIn(where: string, command: string) {
  return spawnSync('sh', ['-c', command], { cwd: where, encoding: 'utf8', env: { ...process.env, PATH } });
}

function start(command: string): Child {
  const line = command.startsWith('node_modules') ? `exec ${command}` : command;
  const child = new Child(command, 'sh', ['-c', `cd ${cwd} && ${line}`], { PATH });
  running.push(child);
  return child;
}

beforeAll(() => {
  expect(commands.length).toBeGreaterThan(5);
});

it(`takes at most ${MOST} commands`, () => expect(commands.length).toBeLessThanOrEqual(MOST));

it.each(commands)('%s', async (command) => {
  const [, folderOf] = /^cd (\S+) && /.exec(command) ?? [];
  const standIn = TO_COME.find(([one]) => one.test(command))?.[1];
  if (standIn !== undefined) {
    standIn();
  } else if (STAYS.test(command)) {
    // One `dev` at a time.
    if (/ dev /.test(command)) for (const one of running.splice(0)) await one.stop(10_000);
    await giveFreePorts();
    const child = start(await here(command));
    await child.waitForOutput(/"listening"|starting main dispatch loop|curl/, 20_000);
    const [, devPort] = / dev /.test(command) ? (/ --port (\d+)/.exec(child.name) ?? []) : [];
    if (devPort !== undefined) await answers(Number(devPort), edited ? 'hola' : 'hello');
  } else {
    const { status, stdout, stderr } = runIn(cwd, await here(command));
    expect(status, stdout + stderr).toBe(0);
  }
  if (/^sed /.test(command)) edited = true;
  if (folderOf !== undefined) cwd = join(cwd, folderOf);
});

/** What the filter writes; a `dev` that was there before an edit has it too. */
async function answers(at: number, wanted: string): Promise<void> {
  await eventually(`the filter writes ${wanted}`, async () => (await get(at, '/')).header('x-my-filter') === wanted);
}

it('in the end a request meets the edited filter', () => answers(port, 'hola'));
