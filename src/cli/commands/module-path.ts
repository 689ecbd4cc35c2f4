import type { Command } from 'commander';
import { below, command } from '../command.js';

export const modulePathCommand = (): Command =>
  command('module-path', 'prints where the module for Envoy is')
    .addHelpText(
      'after',
      below('For instance: ENVOY_DYNAMIC_MODULES_SEARCH_PATH=$(dirname $(ts-filter-host module-path))'),
    )
    .action(async () => {
      const { modulePath } = await import('../module-path.js');
      process.stdout.write(`${modulePath()}\n`);
    });
