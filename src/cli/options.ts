/** The command line: what is asked for, or one line that names the flag and the mend. */
import { parseArgs } from 'node:util';
import { HostError } from '../base/host-errors.js';
import { LOG_LEVELS, type LogLevel } from '../base/log.js';
import type { SocketAccess } from '../host/socket-path.js';

export const HELP = `ts-filter-host [paths…] — serves Envoy HTTP filters written in TypeScript

  paths                 filter files and folders (<name>.ts, <name>/index.ts)
  --socket PATH         unix socket (default: $TS_FILTER_SOCKET, else ts-filter.sock in $XDG_RUNTIME_DIR
                        or in a private /tmp/ts-filter-<uid>/)
  --allowed-uids LIST   users beside the host's own whose Envoy may connect, for instance 101 (default none)
  --socket-mode MODE    the socket's permissions, in octal, for instance 0660 or 0666 (default 0600)
  --workers N           threads that run filters; 0 = the main thread (default 1)
  --init FILE           runs once in each thread before the filters load
  --log-level LEVEL     ${LOG_LEVELS.join(', ')} (default info)
  --stall-timeout TIME  a thread that does not turn for so long is replaced (default 2s; 0 = never)
  --no-supervise        no parent process that starts the host again when it dies: where systemd or Kubernetes does it
  --drain-timeout TIME  how long open streams may take at the end, or behind a reload, for instance 10s or 500ms
                        (default 10s)
  --watch               loads the filters anew when their files, or what they import, change
  --help, --version

A second host on the same socket takes it over: the first one ends what it has, and exits. SIGHUP loads the filters anew.

  ts-filter-host check [paths…]                        type-checks filters (default: those of this folder) with the
                                                       TypeScript of your project
  ts-filter-host print-config <name> [--socket PATH]   the snippet for envoy.yaml
  ts-filter-host doctor [--socket PATH]                checks Node, the addon and the socket's folder

Not yet: --metrics-port, dev, create, build-addon.
`;

const SUBCOMMANDS = ['dev', 'create', 'check', 'print-config', 'doctor', 'build-addon'] as const;
type Subcommand = (typeof SUBCOMMANDS)[number];
const NOT_YET: readonly Subcommand[] = ['dev', 'create', 'build-addon'];

const MAX_WORKERS = 256;

/** By the host's parent, for no one else: another host that has come meanwhile is the newer one. */
export const STARTED_AGAIN = 'started-again';

export type Command =
  | { readonly do: 'help' | 'version' }
  | { readonly do: 'check'; readonly paths: readonly string[] }
  | { readonly do: 'doctor'; readonly socket: string | undefined }
  | { readonly do: 'print-config'; readonly name: string; readonly socket: string | undefined }
  | { readonly do: 'serve'; readonly serve: ServeOptions };

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
  /** False: a host that serves the socket is left in its place. */
  readonly takesOver: boolean;
}

const usage = (message: string): HostError => new HostError('TSF_USAGE', message);

export function parseCommand(args: readonly string[]): Command {
  const { values, positionals } = parse(args);
  if (values.help === true) return { do: 'help' };
  if (values.version === true) return { do: 'version' };
  if (values['metrics-port'] !== undefined)
    throw new HostError('TSF_NOT_YET', '--metrics-port is not there yet; leave it out');
  const socket = values.socket;
  if (socket === '') throw usage('--socket is empty; give a path, or leave it out for the default');
  const [first, ...rest] = positionals;
  const subcommand = SUBCOMMANDS.find((known) => known === first);
  if (subcommand !== undefined && NOT_YET.includes(subcommand)) {
    throw new HostError('TSF_NOT_YET', `${subcommand} is not there yet; see ts-filter-host --help`);
  }
  if (subcommand === 'doctor') return { do: 'doctor', socket };
  if (subcommand === 'check') return { do: 'check', paths: rest.length === 0 ? ['.'] : rest };
  if (subcommand === 'print-config') {
    const [name] = rest;
    if (name === undefined) throw usage("print-config needs a filter's name: ts-filter-host print-config <name>");
    return { do: 'print-config', name, socket };
  }
  if (positionals.length === 0) {
    throw usage('no filters given; name files or folders, for instance: ts-filter-host filters/');
  }
  const workers = integer('workers', values.workers ?? '1', 0, MAX_WORKERS);
  const watch = values.watch === true;
  if (watch && workers === 0)
    throw usage('--watch needs threads that can be replaced, and --workers 0 has none; use --workers 1');
  return {
    do: 'serve',
    serve: {
      paths: positionals,
      socket,
      access: access(values['allowed-uids'], values['socket-mode']),
      workers,
      stallTimeoutMs: duration('stall-timeout', values['stall-timeout'] ?? '2s'),
      supervise: values['no-supervise'] !== true,
      init: values.init,
      logLevel: level(values['log-level'] ?? 'info'),
      drainTimeoutMs: duration('drain-timeout', values['drain-timeout'] ?? '10s'),
      watch,
      takesOver: values[STARTED_AGAIN] !== true,
    },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        socket: { type: 'string' },
        'allowed-uids': { type: 'string' },
        'socket-mode': { type: 'string' },
        workers: { type: 'string' },
        init: { type: 'string' },
        watch: { type: 'boolean' },
        'metrics-port': { type: 'string' },
        'log-level': { type: 'string' },
        'stall-timeout': { type: 'string' },
        'no-supervise': { type: 'boolean' },
        [STARTED_AGAIN]: { type: 'boolean' },
        'drain-timeout': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    // parseArgs' first sentence names the flag; what follows advises on `--`.
    const message = (error as Error).message.split(/\. |\n/)[0] ?? '';
    throw usage(`${message.replace(/\.$/, '')}; see ts-filter-host --help`);
  }
}

function access(uids: string | undefined, modeText = '0600'): SocketAccess {
  const allowedUids = (uids?.split(',') ?? []).map((text) => {
    const uid = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(uid <= 0xfffffffe)) throw usage(`--allowed-uids ${uids}: give user ids with commas between, such as 101`);
    return uid;
  });
  const mode = /^0?[0-7]{3}$/.test(modeText) ? parseInt(modeText, 8) : NaN;
  if ((mode & 0o711) !== 0o600)
    throw usage(
      `--socket-mode ${modeText}: give 0600, 0660 or 0666; the host itself needs both, and nobody executes it`,
    );
  const others = allowedUids.filter((uid) => uid !== 0 && uid !== process.getuid?.());
  if (others.length > 0 && (mode & 0o022) === 0)
    throw usage(
      `--allowed-uids ${uids} and --socket-mode ${modeText}: uid ${others[0]} cannot connect to such a socket; add --socket-mode 0666, or 0660 where it shares a group with the host`,
    );
  return { allowedUids, mode };
}

function integer(flag: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most))
    throw usage(`--${flag} ${text}: give a whole number from ${least} to ${most}`);
  return value;
}

function level(text: string): LogLevel {
  const found = LOG_LEVELS.find((known) => known === text);
  if (found === undefined) throw usage(`--log-level ${text}: give one of ${LOG_LEVELS.join(', ')}`);
  return found;
}

function duration(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000 }[match?.[2] ?? 's'] ?? NaN;
  const value = Number(match?.[1] ?? NaN) * unit;
  if (!(value >= 0 && value <= 2 ** 31 - 1)) throw usage(`--${flag} ${text}: give a time such as 500ms, 10s or 2m`);
  return Math.round(value);
}
