import type { Command } from 'commander';
import { command } from '../command.js';

export const modulePathCommand = (): Command =>
  command('module-path', 'prints where the module for Envoy is (libts_filter.so)').action(async () => {
    const { modulePath } = await import('../module-path.js');
    process.stdout.write(`${modulePath()}\n`);
  });

export const buildModuleCommand = (): Command =>
  command('build-module', 'compiles the module here, for machines that there is none for')
    .option('--out <file>', 'where to (default: where module-path finds it)')
    .action(async ({ out }: { out?: string }) => {
      const { buildModule } = await import('../build-module.js');
      process.stdout.write(`${await buildModule(out)}\n`);
    });

export const buildAddonCommand = (): Command =>
  command('build-addon', "compiles the host's addon here, for machines that there is none for")
    .option('--out <file>', 'where to (default: where the host looks for it)')
    .option('--node-headers <dir>', 'a folder with node_api.h (default: that of this Node, or of node-gyp)')
    .action(async (flags: { out?: string; nodeHeaders?: string }) => {
      const { buildAddon } = await import('../build-addon.js');
      process.stdout.write(`${await buildAddon(flags)}\n`);
    });
