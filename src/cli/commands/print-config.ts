import type { Command } from 'commander';
import { socketPath } from '../../host/socket-path.js';
import { command } from '../command.js';
import { socketOption } from '../options.js';

export const printConfigCommand = (): Command =>
  command('print-config', 'prints what envoy.yaml needs for a filter')
    .argument('<name>', "the filter's name in defineFilter")
    .addOption(socketOption())
    .action(async (name: string, { socket }: { socket?: string }) => {
      const { printConfig } = await import('../print-config.js');
      process.stdout.write(printConfig(name, socketPath(socket)));
    });
