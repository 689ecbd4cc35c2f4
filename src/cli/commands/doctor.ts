import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { below, command, EXIT_FAILED } from '../command.js';
import { socketOption } from '../options.js';

interface Flags {
  readonly socket?: string;
  readonly envoy?: string;
  readonly config?: string;
}

export const doctorCommand = (): Command =>
  command('doctor', 'checks this machine, and an envoy.yaml, and says what to do about each fault')
    .argument('[paths...]', 'with --config: the filters that it names (default: filters, where it is there)')
    .option('--config <file>', 'an envoy.yaml: search path, order, edges, names, plugin_config, and what Envoy says')
    .option('--envoy <path>', 'the Envoy (default: $ENVOY, else envoy on the PATH)')
    .addOption(socketOption())
    .addHelpText('after', below('Run it as the user that Envoy runs as, with the environment that Envoy has.'))
    .action(async (given: string[], { socket, envoy, config }: Flags) => {
      const { doctor } = await import('../doctor.js');
      const paths = given.length === 0 && existsSync('filters') ? ['filters'] : given;
      const isWell = await doctor({ socket, envoy, config, paths });
      // With --config the filters have run, and may have begun something that goes on.
      process.exit(isWell ? 0 : EXIT_FAILED);
    });
