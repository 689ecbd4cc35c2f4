import { Option, type Command } from 'commander';
import { HostError } from '../../base/host-errors.js';
import type { LogLevel } from '../../base/log.js';
import { below, command, usage } from '../command.js';
import {
  accessOf,
  durationOption,
  inspectOption,
  integerOption,
  logLevelOption,
  OUTPUT_READ,
  socketModeOption,
  socketOption,
  STARTED_AGAIN,
  uidsOption,
} from '../options.js';

const MAX_WORKERS = 256;

/** As the parser names them. */
interface Flags {
  readonly socket?: string;
  readonly allowedUids?: readonly number[];
  readonly socketMode: number;
  readonly workers: number;
  readonly stallTimeout: number;
  readonly supervise: boolean;
  readonly init?: string;
  readonly logLevel: LogLevel;
  readonly drainTimeout: number;
  readonly watch?: boolean;
  readonly inspect?: number;
  readonly startedAgain?: boolean;
  readonly outputRead?: boolean;
  readonly metricsPort?: string;
}

export const serveCommand = (): Command =>
  command('serve', 'serves filters to Envoy; this is meant where no command is named')
    .argument('[paths...]', 'filter files and folders (<name>.ts, <name>/index.ts)')
    .addOption(socketOption())
    .addOption(uidsOption())
    .addOption(socketModeOption())
    .addOption(integerOption('workers', 'threads that run filters; 0 = the main thread', 0, MAX_WORKERS).default(1))
    .option('--init <file>', 'runs once in each thread before the filters load')
    .addOption(logLevelOption())
    .addOption(
      durationOption('stall-timeout', 'a thread that does not turn for so long is replaced; 0 = never').default(
        2_000,
        '2s',
      ),
    )
    .option(
      '--no-supervise',
      'no parent process that starts the host again when it dies: where systemd or Kubernetes does it',
    )
    .addOption(
      durationOption('drain-timeout', 'how long open streams may take at the end, or behind a reload').default(
        10_000,
        '10s',
      ),
    )
    .option('--watch', 'loads the filters anew when their files, or what they import, change')
    .addOption(inspectOption('for a debugger: no stall timeout, and no parent process'))
    .addOption(new Option(`--${STARTED_AGAIN}`).hideHelp())
    .addOption(new Option(`--${OUTPUT_READ}`).hideHelp())
    .addOption(new Option('--metrics-port <port>').hideHelp())
    .addHelpText(
      'after',
      below(
        'A second host on the same socket takes it over: the first one ends what it has, and exits.\nSIGHUP loads the filters anew.',
      ),
    )
    .action(async (paths: string[], flags: Flags) => {
      if (flags.metricsPort !== undefined)
        throw new HostError('TSF_NOT_YET', '--metrics-port is not there yet; leave it out');
      if (paths.length === 0)
        throw usage('no filters given; name files or folders, for instance: ts-filter-host filters/');
      const { watch = false, workers } = flags;
      if (watch && workers === 0)
        throw usage('--watch needs threads that can be replaced, and --workers 0 has none; use --workers 1');
      const { serve } = await import('../serve.js');
      await serve({
        paths,
        socket: flags.socket,
        access: accessOf(flags.allowedUids ?? [], flags.socketMode),
        workers,
        stallTimeoutMs: flags.stallTimeout,
        supervise: flags.supervise,
        init: flags.init,
        logLevel: flags.logLevel,
        drainTimeoutMs: flags.drainTimeout,
        watch,
        inspect: flags.inspect,
        takesOver: flags.startedAgain !== true,
        outputIsRead: flags.outputRead === true,
      });
    });
