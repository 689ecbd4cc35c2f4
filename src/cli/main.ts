/** `ts-filter-host`. Messages for people go to stderr, the log goes to stdout. */
import { readFileSync } from 'node:fs';
import inspector from 'node:inspector';
import { EXIT_UNSETTLED, exitText, HostError } from '../base/host-errors.js';
import { loadAddon } from '../base/addon.js';
import { loadFailure } from '../loader/loader-import.js';
import { createLog, type Logger } from '../base/log.js';
import { writeDirectly } from '../base/output.js';
import { LoadError } from '../host/place.js';
import { socketPath } from '../host/socket-path.js';
import { check } from './check.js';
import { doctor } from './doctor.js';
import { HELP, parseCommand, type ServeOptions } from './options.js';
import { printConfig } from './print-config.js';
import { heedParent, Supervisor } from './supervise.js';
import { Terminal } from './terminal.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const version = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

function die(text: string, code: number): never {
  process.stderr.write(`ts-filter-host: ${text}\n`);
  process.exit(code);
}

/** A debugger is for the process that runs the filters. */
const isDebugged = (): boolean =>
  inspector.url() !== undefined || process.execArgv.some((flag) => flag.startsWith('--inspect'));

async function serve(options: ServeOptions): Promise<void> {
  if (!options.outputIsRead) loadAddon().pumpOutput();
  writeDirectly();
  const log = createLog(options.logLevel);
  if (options.supervise && !isDebugged()) {
    const [, script = '', ...args] = process.argv;
    const supervisor = new Supervisor({ script, args, paths: options.paths, log });
    process.exitCode = await supervisor.run();
    return;
  }
  await runHost(options, log);
}

async function runHost(options: ServeOptions, log: Logger): Promise<void> {
  // The parent does without all that this loads.
  const { Host } = await import('../host/host.js');
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    parent.leaving();
    host.stop().then(
      () => host.exit(0),
      (error: unknown) => die(loadFailure(error), EXIT_FAILED),
    );
  };
  const host = new Host({ ...options, socket: socketPath(options.socket), version, log, onReplaced: stop });
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (signals++ > 0) host.abandon(signal === 'SIGINT' ? 130 : 143);
    stop();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const terminal = new Terminal();
  process.on('SIGHUP', () => (terminal.isGone() ? stop() : host.reload('signal')));
  const parent = heedParent((order) => {
    if (order === 'reload') host.reload('signal');
    else if (order === 'stop') stop();
    else host.abandon(143);
  });
  // With --workers 0 the filters load in this thread: Node ends it when nothing is left that could settle what they await.
  const dry = (): void => {
    process.stderr.write(`ts-filter-host: TSF_LOAD_FAILED: ${exitText(EXIT_UNSETTLED)}\n`);
    process.exitCode = EXIT_FAILED;
  };
  process.once('beforeExit', dry);
  try {
    await host.start();
  } catch (error) {
    if (options.takesOver || !(error instanceof HostError) || error.code !== 'TSF_HOST_RUNNING') throw error;
    log.info({ reason: error.message }, 'not started again');
    process.exit(0);
  }
  process.off('beforeExit', dry);
  parent.listening();
}

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2));
  switch (command.do) {
    case 'help':
      process.stdout.write(HELP);
      return;
    case 'version':
      process.stdout.write(`${version}\n`);
      return;
    case 'print-config':
      process.stdout.write(printConfig(command.name, socketPath(command.socket)));
      return;
    case 'check':
      process.exitCode = (await check(command.paths)) ? 0 : EXIT_FAILED;
      return;
    case 'doctor':
      process.exitCode = doctor(command.socket) ? 0 : EXIT_FAILED;
      return;
    case 'serve':
      await serve(command.serve);
      return;
    default:
      throw new HostError('TSF_INTERNAL', `no work for ${JSON.stringify(command satisfies never)}`);
  }
}

try {
  await main();
} catch (error) {
  if (error instanceof LoadError) die(error.message, EXIT_FAILED);
  const isUsage = error instanceof HostError && (error.code === 'TSF_USAGE' || error.code === 'TSF_NOT_YET');
  die(loadFailure(error), isUsage ? EXIT_USAGE : EXIT_FAILED);
}
