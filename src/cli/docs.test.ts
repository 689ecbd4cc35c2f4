import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { root } from '../../test/fixture/paths.js';
import { HELP_COLUMNS, MAX_HELP_LINES } from './command.js';
import { makeProgram } from './program.js';

const program = makeProgram();
const page = join(root, 'docs', 'commands.md');

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (piece) => (text += piece), getOutHelpWidth: () => HELP_COLUMNS }).outputHelp();
  return text.trimEnd();
}

test('docs/commands.md has a section for each command, with its help', () => {
  const before = readFileSync(page, 'utf8');
  const after = program.commands.reduce(
    (text, command) =>
      text.replace(
        new RegExp(`(^## ${command.name()}\n\n\`\`\`text\n)[^]*?(?=^\`\`\`$)`, 'm'),
        (_all, head: string) => `${head}${helpOf(command)}\n`,
      ),
    before,
  );
  if (process.env['WRITE_DOCS'] === '1') writeFileSync(page, after);
  else expect(before).toBe(after);
  const sections = [...after.matchAll(/^## (\S+)\n\n```text\nUsage: ts-filter-host (\S+)/gm)].map(([, name]) => name!);
  expect(sections.sort()).toEqual(program.commands.map((command) => command.name()).sort());
});

test('the help of each command fits a screen', () => {
  for (const command of [program, ...program.commands]) {
    const lines = helpOf(command).split('\n');
    expect(lines.length, command.name()).toBeLessThanOrEqual(MAX_HELP_LINES);
    expect(Math.max(...lines.map((line) => line.length)), command.name()).toBeLessThanOrEqual(HELP_COLUMNS);
  }
});
