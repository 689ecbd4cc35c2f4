import type { Command } from 'commander';
import { below, command, EXIT_FAILED } from '../command.js';
import { socketOption } from '../options.js';

interface Flags {
  readonly config?: string;
  readonly socket?: string;
}

export const checkCommand = (): Command =>
  command('check', 'type-checks filters with the TypeScript of your project, or an envoy.yaml')
    .argument('[paths...]', 'filter files and folders (default: this folder; with --config: filters)')
    .option('--config <file>', 'looks at this envoy.yaml instead: names, plugin_config, sockets, order, edges')
    .addOption(socketOption())
    .addHelpText('after', below('For instance: ts-filter-host check --config envoy.yaml filters/'))
    .action(async (paths: string[], { config, socket }: Flags) => {
      if (config !== undefined) return checkFile(config, paths.length === 0 ? ['filters'] : paths, socket);
      const { check } = await import('../check.js');
      if (!(await check(paths.length === 0 ? ['.'] : paths))) process.exitCode = EXIT_FAILED;
    });

async function checkFile(file: string, paths: readonly string[], socket: string | undefined): Promise<void> {
  const { checkConfig } = await import('../check-config.js');
  const found = await checkConfig({ file, paths, socket });
  process.stdout.write(found.length === 0 ? `${file}: no mistakes found\n` : found.map((one) => `${one}\n`).join(''));
  // The filters have run, and may have begun something that goes on.
  process.exit(found.length === 0 ? 0 : EXIT_FAILED);
}
