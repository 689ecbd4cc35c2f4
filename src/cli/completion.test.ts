import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { hostScript, nodeBinary } from '../../test/fixture/paths.js';
import { makeProgram } from './program.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-completion-'));
afterAll(() => rmSync(dir, { recursive: true }));
for (const shell of ['bash', 'zsh']) {
  writeFileSync(join(dir, shell), execFileSync(nodeBinary, [hostScript, 'completion', shell]));
}
writeFileSync(join(dir, 'envoy.yaml'), '');

/** What bash offers behind these words, the last of which is being typed. */
function offered(...words: string[]): string[] {
  const line = ['ts-filter-host', ...words].map((word) => `'${word}'`).join(' ');
  const script = `source '${join(dir, 'bash')}'; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _ts_filter_host; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], { encoding: 'utf8', cwd: dir });
  expect(stderr).toBe('');
  return stdout.split('\n').filter(Boolean);
}

test('commands, and the options of each', () => {
  const program = makeProgram();
  const names = program.commands.map((command) => command.name());
  expect(offered('')).toEqual(expect.arrayContaining(names));
  expect(offered('pri')).toEqual(['print-config']);
  for (const command of program.commands) {
    const options = offered(command.name(), '--');
    for (const { long, hidden } of command.options)
      expect(options.includes(long!), `${command.name()} ${long}`).toBe(!hidden);
  }
});

test('values that are known, and files for the others', () => {
  expect(offered('print-config', 'x', '--istio', 'SIDE')).toEqual(['SIDECAR_INBOUND', 'SIDECAR_OUTBOUND']);
  expect(offered('dev', '--log-level', '')).toEqual(['debug', 'info', 'warn', 'error']);
  expect(offered('check', '--config', 'env')).toEqual(['envoy.yaml']);
  expect(offered('env')).toEqual(['envoy.yaml']);
  // serve is meant where no command is named
  expect(offered('--drain')).toEqual(['--drain-timeout']);
});

test('zsh reads it, where there is a zsh', ({ skip }) => {
  if (spawnSync('zsh', ['--version']).status !== 0) skip();
  const script = `autoload -Uz compinit && compinit -u; source '${join(dir, 'zsh')}'; print -r -- $_comps[ts-filter-host]`;
  expect(execFileSync('zsh', ['-f', '-c', script], { encoding: 'utf8' })).toContain('_bash_complete');
});
