/** Options that several commands have, and how values are read: one line names the flag, the value and the mend. */
import { Option } from 'commander';
import { LOG_LEVELS, type LogLevel } from '../base/log.js';
import { OWN_ACCESS, type SocketAccess } from '../host/socket-path.js';
import { usage } from './command.js';

/** By the host's parent, for no one else: another host that has come meanwhile is the newer one. */
export const STARTED_AGAIN = 'started-again';
/** By the host's parent, too: it reads what the host writes. */
export const OUTPUT_READ = 'output-read';

/** Node's own choice. */
const INSPECTOR = 9229;
const LONGEST_MS = 2 ** 31 - 1;

export const socketOption = (): Option =>
  new Option(
    '--socket <path>',
    'unix socket (default: $TS_FILTER_SOCKET, else ts-filter.sock in $XDG_RUNTIME_DIR or a private /tmp/ts-filter-<uid>/)',
  ).argParser((text) => {
    if (text === '') throw usage('--socket is empty; give a path, or leave it out for the default');
    return text;
  });

export const logLevelOption = (): Option =>
  new Option('--log-level <level>', 'the least level of lines').default('info').choices(LOG_LEVELS).argParser(level);

export const integerOption = (flag: string, text: string, least: number, most: number): Option =>
  new Option(`--${flag} <n>`, text).argParser((value) => integer(flag, value, least, most));

/** Its value is in milliseconds. */
export const durationOption = (flag: string, text: string): Option =>
  new Option(`--${flag} <time>`, text).argParser((value) => duration(flag, value));

export const portOption = (flag: string, text: string): Option =>
  new Option(`--${flag} <port>`, text).argParser((value) => integer(flag, value, 1, 65_535));

/** Its value is a port. */
export const inspectOption = (text: string): Option =>
  new Option('--inspect [port]', `${text} (port: ${INSPECTOR})`)
    .preset(String(INSPECTOR))
    .argParser((value) => integer('inspect', value, 1, 65_535));

/** Its value is a list of user ids. */
export const uidsOption = (): Option =>
  new Option(
    '--allowed-uids <list>',
    "users beside the host's own whose Envoy may connect, for instance 101 (default: none)",
  ).argParser((text) =>
    text.split(',').map((one) => {
      const uid = /^\d+$/.test(one) ? Number(one) : NaN;
      if (!(uid <= 0xfffffffe)) throw usage(`--allowed-uids ${text}: give user ids with commas between, such as 101`);
      return uid;
    }),
  );

/** Its value is the mode of a file. */
export const socketModeOption = (): Option =>
  new Option('--socket-mode <mode>', "the socket's permissions, in octal, for instance 0660 or 0666")
    .default(OWN_ACCESS.mode, '0600')
    .argParser((text) => {
      const mode = /^0?[0-7]{3}$/.test(text) ? parseInt(text, 8) : NaN;
      if ((mode & 0o711) === 0o600) return mode;
      throw usage(`--socket-mode ${text}: give 0600, 0660 or 0666; the host itself needs both, and nobody executes it`);
    });

/** Who may connect by the values of both. */
export function accessOf(allowedUids: readonly number[], mode: number): SocketAccess {
  const other = allowedUids.find((uid) => uid !== 0 && uid !== process.getuid?.());
  if (other !== undefined && (mode & 0o022) === 0)
    throw usage(
      `--allowed-uids ${allowedUids.join()} and --socket-mode 0${mode.toString(8)}: uid ${other} cannot connect to such a socket; add --socket-mode 0666, or 0660 where it shares a group with the host`,
    );
  return { allowedUids, mode };
}

/** host:port, [address]:port, or a port of this machine. */
export const addressOption = (flag: string, text: string): Option =>
  new Option(`--${flag} <host:port>`, text).argParser((value) => {
    const match = /^(?:(?:\[([\da-fA-F:.]+)\]|([^:[\]\s]+)):)?(\d+)$/.exec(value);
    if (match === null) throw usage(`--${flag} ${value}: give host:port, for instance 127.0.0.1:8080`);
    return { host: match[1] ?? match[2] ?? '127.0.0.1', port: integer(flag, match[3]!, 1, 65_535) };
  });

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
  if (!(value >= 0 && value <= LONGEST_MS)) throw usage(`--${flag} ${text}: give a time such as 500ms, 10s or 2m`);
  return Math.round(value);
}
