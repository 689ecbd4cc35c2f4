/** What compiles the package's two native files, for machines that it brings none for. */
import { Option, type Command } from 'commander';
import { below, command } from '../command.js';
import type { AddonBuild } from '../build-addon.js';

const outOption = (): Option => new Option('--out <file>', 'where it goes (default: where the package looks for it)');
const COMPILER = below(
  'The compiler is $CXX (default: g++), with $CXXFLAGS and $LDFLAGS. Prints where the file is now.',
);

export const buildModuleCommand = (): Command =>
  command('build-module', 'compiles the module for Envoy, for machines that there is none for')
    .addOption(outOption())
    .addHelpText('after', COMPILER)
    .action(async ({ out }: { readonly out?: string }) => {
      const { buildModule } = await import('../build-module.js');
      process.stdout.write(`${await buildModule(out)}\n`);
    });

export const buildAddonCommand = (): Command =>
  command('build-addon', "compiles the host's native addon, for machines that there is none for")
    .addOption(outOption())
    .option('--node-headers <dir>', "the folder with node_api.h (default: this Node's, or node-gyp's)")
    .addHelpText('after', COMPILER)
    .action(async (flags: AddonBuild) => {
      const { buildAddon } = await import('../build-addon.js');
      process.stdout.write(`${await buildAddon(flags)}\n`);
    });
