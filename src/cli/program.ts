/** The command line as a whole: `ts-filter-host` and its commands. */
import type { Command } from 'commander';
import { below, command } from './command.js';
import { buildAddonCommand, buildModuleCommand } from './commands/build.js';
import { checkCommand } from './commands/check.js';
import { completionCommand } from './commands/completion.js';
import { createCommand } from './commands/create.js';
import { devCommand } from './commands/dev.js';
import { doctorCommand } from './commands/doctor.js';
import { modulePathCommand } from './commands/module-path.js';
import { printConfigCommand } from './commands/print-config.js';
import { requestCommand } from './commands/request.js';
import { serveCommand } from './commands/serve.js';
import { version } from './version.js';

/** In the order of the help; the first one is meant where none is named. A command is added here. */
const COMMANDS: readonly (() => Command)[] = [
  serveCommand,
  createCommand,
  devCommand,
  requestCommand,
  checkCommand,
  printConfigCommand,
  doctorCommand,
  modulePathCommand,
  buildModuleCommand,
  buildAddonCommand,
  completionCommand,
];

export function makeProgram(): Command {
  const program = command('ts-filter-host', 'serves Envoy HTTP filters written in TypeScript')
    .version(version, '--version', 'show the version')
    .usage('[command] [options] [paths...]')
    .helpCommand(false)
    .addHelpText(
      'after',
      below(`Without a command it serves: ts-filter-host my-filters/ is ts-filter-host serve my-filters/.
ts-filter-host <command> --help has each command's options.`),
    );
  COMMANDS.forEach((make, i) => program.addCommand(make(), { isDefault: i === 0 }));
  return program;
}
