import { Argument, type Command } from 'commander';
import { below, command } from '../command.js';
import { SHELLS, type Shell } from '../completion.js';

export const completionCommand = (): Command =>
  command('completion', "prints a shell's completion")
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText('after', below('For this shell: source <(ts-filter-host completion bash)'))
    .action(async (shell: Shell, _flags: object, self: Command) => {
      const { completion } = await import('../completion.js');
      if (self.parent !== null) process.stdout.write(completion(self.parent, shell));
    });
