import { relative } from 'node:path';
import type { Command } from 'commander';
import { below, command } from '../command.js';

interface Flags {
  readonly package?: string;
}

export const createCommand = (): Command =>
  command('create', "makes a folder with a filter, its test, and an editor's settings")
    .argument('<name>', "the filter's name, and the folder's")
    .option(
      '--package <spec>',
      'what its package.json says for envoy-ts-filter, for instance file:../envoy-ts-filter.tgz',
    )
    .addHelpText('after', below('The same as: npm create envoy-ts-filter <name>'))
    .action(async (name: string, flags: Flags) => {
      const { create } = await import('../create.js');
      const files = create({ name, into: '.', library: flags.package });
      const list = files.map((file) => `  ${relative('.', file)}\n`).join('');
      process.stdout.write(
        `${list}\nNext:\n  cd ${name} && npm install && npm test\n  node_modules/.bin/ts-filter-host dev filters/\n`,
      );
    });
