/** README's "Your own project", command for command, from an empty folder and the tarball. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { Child, envoyBinary, eventually, get, nodeBinary, root } from '../fixture/index.js';
import { freePorts } from '../support/free-ports.js';

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
/** Where the `dev` that runs listens. */
let devPort: number | undefined;
let greeting = 'hello';

afterAll(async () => {
  for (const child of running.reverse()) await child.stop(10_000);
  rmSync(folder, { recursive: true });
});

/** Other tests run beside this one: its ports are chosen by the kernel. */
async function giveFreePorts(): Promise<void> {
  const path = join(cwd, 'envoy.yaml');
  if (port !== 0 || !existsSync(path)) return;
  const parts = readFileSync(path, 'utf8').split(/(?<=port_value: )\d+/);
  const ports = await freePorts(parts.length - 1);
  const listens = parts.findIndex((part) => /^ *listeners:$/m.test(part));
  port = ports[listens]!;
  writeFileSync(path, parts.map((part, i) => `${part}${ports[i] ?? ''}`).join(''));
}

/** As in the README, but for places that are this machine's. */
const here = async (command: string): Promise<string> => {
  const [own, admin] = await freePorts(2);
  return command
    .replace(' dev filters/', ` dev filters/ --port ${own} --admin-port ${admin}`)
    .replace(`./${basename(inject('tarball'))}`, inject('tarball'))
    .replaceAll('/run/ts-filter.sock', socket)
    .replace(' envoy -c', ' exec envoy --use-dynamic-base-id -c');
};

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
  const isDev = / dev /.test(command);
  if (STAYS.test(command)) {
    // One `dev` at a time, and none beside what is deployed.
    if (devPort !== undefined) for (const one of running.splice(0)) await one.stop(10_000);
    devPort = undefined;
    await giveFreePorts();
    const line = await here(command);
    await start(line).waitForOutput(/"listening"|starting main dispatch loop|curl/, 20_000);
    if (isDev) devPort = Number(/ --port (\d+)/.exec(line)![1]);
  } else {
    const { status, stdout, stderr } = runIn(cwd, await here(command));
    expect(status, stdout + stderr).toBe(0);
  }
  if (command.startsWith('sed ')) greeting = 'hola';
  if (devPort !== undefined) await greets(devPort);
  cwd = join(cwd, /^cd (\S+) && /.exec(command)?.[1] ?? '.');
});

it('in the end a request meets the edited filter', () => greets(port));

async function greets(at: number): Promise<void> {
  await eventually(
    `the filter's header is ${greeting}`,
    async () => (await get(at, '/')).header('x-my-filter') === greeting,
  );
}
