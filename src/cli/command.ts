/**
 * How a command is made: each is a file in commands/ that exports a function, and a line in program.ts. What it does is imported
 * in its action, so that `--help` and the host's parent do without it.
 */
import { Command, CommanderError } from 'commander';
import { HostError } from '../base/host-errors.js';

/** The screen that help fits on; a test sees to the lines. */
export const HELP_COLUMNS = 100;
export const MAX_HELP_LINES = 40;

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

export const usage = (message: string): HostError => new HostError('TSF_USAGE', message);

/** A command of that name. What is wrong on the command line is thrown, as a HostError. */
export function command(name: string, summary: string): Command {
  return new Command(name)
    .summary(summary)
    .description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`)
    .exitOverride((error) => thrown(name, error))
    .helpOption('-h, --help', 'show this')
    .configureOutput({
      writeErr: () => undefined,
      getOutHelpWidth: () => Math.min(process.stdout.columns ?? HELP_COLUMNS, HELP_COLUMNS),
      getOutHasColors: () => false,
    });
}

/** Help and version are no errors; main() ends well with them. */
function thrown(name: string, error: CommanderError): never {
  if (error.exitCode === 0) throw error;
  const [first = ''] = error.message.replace(/^error: /, '').split('\n', 1);
  throw usage(`${first.replace(/\.$/, '')}; see ts-filter-host ${name} --help`);
}

/** The parser has shown help or the version, and nothing else is to be done. */
export const isDone = (error: unknown): boolean => error instanceof CommanderError && error.exitCode === 0;

/** Text below the options: what one line per option cannot say, and examples. */
export const below = (text: string): string => `\n${text}`;
