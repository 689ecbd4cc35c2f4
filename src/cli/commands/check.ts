import type { Command } from 'commander';
import { command, EXIT_FAILED } from '../command.js';

export const checkCommand = (): Command =>
  command('check', 'type-checks filters with the TypeScript of your project')
    .argument('[paths...]', 'filter files and folders', ['.'])
    .action(async (paths: string[]) => {
      const { check } = await import('../check.js');
      if (!(await check(paths))) process.exitCode = EXIT_FAILED;
    });
