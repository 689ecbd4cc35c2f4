import type { Command } from 'commander';
import { command, EXIT_FAILED } from '../command.js';
import { socketOption } from '../options.js';

export const doctorCommand = (): Command =>
  command('doctor', "checks Node, the addon and the socket's folder")
    .addOption(socketOption())
    .action(async ({ socket }: { socket?: string }) => {
      const { doctor } = await import('../doctor.js');
      if (!doctor(socket)) process.exitCode = EXIT_FAILED;
    });
