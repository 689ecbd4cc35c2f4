/** `ts-filter-host serve`: the host, or the parent that starts it again when it dies. */
import inspector from 'node:inspector';
import { loadAddon } from '../base/addon.js';
import { EXIT_UNSETTLED, exitText, HostError } from '../base/host-errors.js';
import { createLog, type Logger, type LogLevel } from '../base/log.js';
import { writeDirectly } from '../base/output.js';
import { freeBuffersInPlace } from '../host/buffers.js';
import { type SocketAccess, socketPath } from '../host/socket-path.js';
import { loadFailure } from '../loader/loader-import.js';
import { EXIT_FAILED } from './command.js';
import { heedParent, Supervisor } from './supervise.js';
import { Terminal } from './terminal.js';
import { version } from './version.js';

export interface ServeOptions {
  readonly paths: readonly string[];
  readonly socket: string | undefined;
  readonly access: SocketAccess;
  readonly workers: number;
  readonly stallTimeoutMs: number;
  /** A parent process starts the host again when it dies. */
  readonly supervise: boolean;
  readonly init: string | undefined;
  readonly logLevel: LogLevel;
  readonly drainTimeoutMs: number;
  readonly watch: boolean;
  /** A debugger's port. */
  readonly inspect: number | undefined;
  /** False: a host that serves the socket is left in its place. */
  readonly takesOver: boolean;
  /** Whoever started it always reads what it writes to stdout and stderr. */
  readonly outputIsRead: boolean;
}

const HURRY =
  'ts-filter-host dev --inspect, or message_timeout and host_stall_timeout of 24h in the filter_config, and timeout: 0s in the route';

/** A debugger is for the process that runs the filters. */
const isDebugged = (): boolean =>
  inspector.url() !== undefined || process.execArgv.some((flag) => flag.startsWith('--inspect'));

export async function serve(options: ServeOptions): Promise<void> {
  if (!options.outputIsRead) loadAddon().pumpOutput();
  writeDirectly();
  const log = createLog(options.logLevel);
  if (options.inspect !== undefined) inspector.open(options.inspect, '127.0.0.1');
  // Whoever started it with a channel, as dev does, has thought of it.
  if (isDebugged() && !process.connected)
    log.info({ mend: HURRY }, 'a debugger may halt the filters; Envoy does not know of it');
  if (options.supervise && !isDebugged()) {
    const [, script = '', ...given] = process.argv;
    // The parent's own options come first, which is the default command's way to be named.
    const args = given[0] === 'serve' ? given.slice(1) : given;
    const supervisor = new Supervisor({ script, args, paths: options.paths, log });
    process.exitCode = await supervisor.run();
    return;
  }
  await runHost(options, log);
}

async function runHost(options: ServeOptions, log: Logger): Promise<void> {
  freeBuffersInPlace();
  // The parent does without all that this loads.
  const { Host } = await import('../host/host.js');
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    parent.leaving();
    host.stop().then(
      () => host.exit(0),
      (error: unknown) => {
        process.stderr.write(`ts-filter-host: ${loadFailure(error)}\n`);
        process.exit(EXIT_FAILED);
      },
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
