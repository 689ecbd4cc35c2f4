/** A newcomer's first request. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { eventually } from '../fixture/index.js';
import { logsOnFailure, stage } from './support.js';

const at = stage({ filters: [{ name: 'hello', config: {} }] });

it('curl /hello reads hola mundo, the host logs all request headers in one line, and Envoy logs it too', async () => {
  logsOnFailure(at);
  const { stdout } = await promisify(execFile)('curl', [
    '-sS',
    '--max-time',
    '10',
    '-H',
    'x-one: 1',
    '-H',
    'x-twice: a',
    '-H',
    'x-twice: b',
    `http://127.0.0.1:${at.port}/hello`,
  ]);
  expect(stdout).toBe('hola mundo :)');

  const record = await eventually('the log line', () => at.fx.host.records.find((one) => 'headers' in one));
  const lines = at.fx.host.records.filter((one) => 'headers' in one);
  expect(lines.length).toBe(1);
  expect(record['headers']).toMatchObject({
    ':path': '/hello',
    ':method': 'GET',
    ':authority': `127.0.0.1:${at.port}`,
    'x-one': '1',
    'x-twice': ['a', 'b'],
    accept: '*/*',
  });
  expect(record).toMatchObject({ filter: 'hello', msg: 'request headers' });

  await eventually("a line in Envoy's log", () =>
    at.fx.envoy.output.split('\n').some((line) => line.includes('request headers')),
  );
});
