/** The log hooks: what they see, when, and that they never stand in a stream's way. */
import { describe, expect, it } from 'vitest';
import { accessLogger, envoyVersion, eventually, get, http1, sleep, type Fixture } from '../fixture/index.js';
import { logsOnFailure, stage, withEnvoy } from './support.js';

type Entry = Record<string, unknown> & { readonly attributes: Record<string, unknown> };

const lines = (fx: Fixture, path: string, by = 'log-hooks'): Entry[] =>
  fx.host.records.filter((one) => one['by'] === by && one['path'] === path) as Entry[];
const kinds = (entries: Entry[]): unknown[] => entries.map((entry) => entry['log']);

/** The lines of a path, once the work that its last hook began is done. */
const all = (fx: Fixture, path: string, by = 'log-hooks'): Promise<Entry[]> =>
  eventually(`the last log line of ${path}`, () => {
    const found = lines(fx, path, by);
    return found.some((entry) => entry['log'] === 'later' && entry['of'] === 'end') && found;
  });

const upload = (port: number, path: string) =>
  http1(port, {
    method: 'POST',
    path,
    headers: [['x-mark', 'sent']],
    body: ['01234', 50, '56789'],
    trailers: [['x-sent', 'a trailer']],
  });

describe('with the access logger', () => {
  const at = stage({
    filters: [{ name: 'log-hooks' }, { name: 'log-hooks-second' }, { name: 'touch' }],
    hcm: accessLogger({ interval: '0.1s' }),
  });

  it('the start hook runs before decodeHeaders and sees the request', async () => {
    logsOnFailure(at);
    await upload(at.port, '/partial?start');
    const [first] = await all(at.fx, '/partial?start');
    expect(first).toMatchObject({ log: 'start', decoded: false, mark: 'sent' });
    expect(first!.attributes).toMatchObject({ 'request.method': 'POST', 'request.size': 0 });
    expect(first).not.toHaveProperty('status');
    expect(first).not.toHaveProperty('written');
  });

  it('the periodic hook runs each interval', async () => {
    logsOnFailure(at);
    await upload(at.port, '/partial?ms=500');
    const entries = (await all(at.fx, '/partial?ms=500')).filter((entry) => entry['log'] === 'periodic');
    expect(entries.length).toBeGreaterThanOrEqual(2);
    expect(entries.length).toBeLessThanOrEqual(7);
    expect(entries.at(-1)).toMatchObject({ status: '206', written: 'yes', sent: 'a trailer' });
    expect(entries.at(-1)!.attributes).toMatchObject({ 'response.code': 206, 'request.size': 10, 'response.size': 4 });
  });

  it('the last hook sees code, sizes, details and trailers', async () => {
    logsOnFailure(at);
    const answer = await upload(at.port, '/partial?end');
    expect([answer.status, answer.text, answer.complete]).toEqual([206, 'partial', true]);
    const entries = await all(at.fx, '/partial?end');
    const ends = entries.filter((entry) => entry['log'] === 'end');
    expect(ends).toMatchObject([{ status: '206', mark: 'sent', written: 'yes', sent: 'a trailer', got: 'there' }]);
    expect(ends[0]!.attributes).toEqual({
      'request.method': 'POST',
      'request.size': 10,
      'response.code': 206,
      'response.code_details': 'via_upstream',
      'response.size': 7,
      'response.flags': 0,
    });
    expect(ends[0]!['requestId']).toBe(entries[0]!['requestId']);
    expect(at.fx.envoy.output).not.toContain('Unsupported attribute');
  });

  it('work that the hooks begin goes on after them', async () => {
    logsOnFailure(at);
    await upload(at.port, '/partial?ms=120');
    const later = (await all(at.fx, '/partial?ms=120')).filter((entry) => entry['log'] === 'later');
    expect(later.map((entry) => [entry['of'], entry['code'], typeof entry['connection']])).toEqual([
      ['start', 'getProperty("response.code"): Envoy has no value', 'number'],
      ['end', 206, 'string'],
    ]);
    expect(later[1]!['connection']).toContain('the stream has ended; declare "connection.id" in `attributes`');
  });

  it('each filter of the chain has its own hooks, in the order log, complete, destroy', async () => {
    logsOnFailure(at);
    await get(at.port, '/hello?both');
    for (const by of ['log-hooks', 'log-hooks-second']) {
      const entries = await all(at.fx, '/hello?both', by);
      expect(kinds(entries).filter((kind) => kind !== 'later')).toEqual(['start', 'end']);
      const id = entries[0]!['requestId'];
      const last = at.fx.host.records.filter((one) => one['by'] === by && one['requestId'] === id);
      expect(last.map((one) => one['log']).filter((kind) => kind !== 'later')).toEqual([
        'start',
        'end',
        'complete',
        'destroy',
      ]);
    }
  });

  it('a client that goes away ends the hooks too', async () => {
    logsOnFailure(at);
    const gone = await http1(at.port, { path: '/never', timeoutMs: 250 }).catch((error: Error) => error);
    expect(gone).toBeInstanceOf(Error);
    const entries = await all(at.fx, '/never');
    expect(kinds(entries)[0]).toBe('start');
    const end = entries.find((entry) => entry['log'] === 'end');
    expect(end).not.toHaveProperty('status');
    expect(end!.attributes['response.flags']).not.toBe(0);
    const destroyed = at.fx.host.records.find(
      (one) => one['log'] === 'destroy' && one['by'] === 'log-hooks' && one['requestId'] === end!['requestId'],
    );
    expect(destroyed).toMatchObject({ reason: 'reset' });
  });

  it('two hundred requests at once have their start and their end each', async () => {
    logsOnFailure(at);
    const paths = Array.from({ length: 200 }, (_, i) => `/hello?many=${i}`);
    await Promise.all(paths.map((path) => get(at.port, path)));
    for (const path of paths) {
      const found = kinds(await all(at.fx, path)).filter((kind) => kind === 'start' || kind === 'end');
      expect([path, ...found]).toEqual([path, 'start', 'end']);
    }
  });
});

it('without the logger the last hook alone runs', async () => {
  await withEnvoy({ filters: [{ name: 'log-hooks' }], upstream: { port: 1 } }, async (fx) => {
    await get(fx.port, '/hello');
    const entries = await all(fx, '/hello');
    expect(kinds(entries)).toEqual(['end', 'later']);
    expect(entries[0]).toMatchObject({ status: '503' });
    expect(entries[0]!.attributes).toMatchObject({ 'response.code': 503 });
  });
});

it('without a host streams go their way, and the hooks are there when it comes', async () => {
  const options = { failure_mode: 'open', host_wait: '0s' };
  const hcm = accessLogger({ interval: '0.05s' });
  await withEnvoy(
    { filters: [{ name: 'log-hooks', options }], upstream: { port: 1 }, hcm, host: false },
    async (fx) => {
      const answer = await get(fx.port, '/hello?absent');
      expect(answer.status).toBe(503);
      await fx.startHost();
      await eventually('a stream with a host', async () => {
        await get(fx.port, '/hello?there');
        return lines(fx, '/hello?there').length > 0;
      });
      await all(fx, '/hello?there');
      await sleep(50);
      expect(lines(fx, '/hello?absent')).toEqual([]);
    },
  );
});

describe('the logger', () => {
  it.each([
    ['a key', { logger_config: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: '{"a":1}' } }],
    ['another name', { logger_name: 'mine' }],
  ])('with %s is refused by name', async (_what, change) => {
    const hcm = accessLogger({ interval: '1s', change });
    const key = Object.keys(change)[0]!;
    await expect(
      withEnvoy({ filters: [{ name: 'log-hooks' }], upstream: { port: 1 }, hcm }, () => Promise.resolve()),
    ).rejects.toThrow(new RegExp(`access logger: ${key}: `));
  });
});

describe('metrics in onLog', () => {
  const at = stage({
    filters: [
      {
        name: 'log-metrics',
        options: {
          metrics: [
            { name: 'log_metrics_seen', type: 'counter', labels: ['by'] },
            { name: 'log_metrics_last', type: 'gauge' },
            { name: 'log_metrics_sizes', type: 'histogram' },
          ],
        },
      },
    ],
  });

  it('are recorded without the stream, from Envoy 1.39 on', async () => {
    logsOnFailure(at);
    for (let i = 0; i < 3; i++) expect((await get(at.port, '/echo')).status).toBe(200);
    const counted = await eventually('three log hooks', () => {
      const said = at.fx.host.records.filter((one) => 'counted' in one).map((one) => one['counted']);
      return said.length === 3 && said;
    });
    if (envoyVersion === '1.38') {
      expect(counted).toEqual(Array(3).fill('TSF_STREAM_ENDED'));
      return;
    }
    expect(counted).toEqual(Array(3).fill('200'));
    // nothing else goes by this worker any more: they are there without another request
    const stats = await eventually('the counter', async () => {
      const found = await at.fx.stats(/^dynamicmodulescustom\.log_metrics/);
      return found.get('dynamicmodulescustom.log_metrics_seen.by.200') === 3 && found;
    });
    expect(stats.get('dynamicmodulescustom.log_metrics_last')).toBe(7);
    await eventually('the histogram, which Envoy merges every few seconds', async () =>
      /log_metrics_sizes: P0/.test(await at.fx.admin('/stats?filter=log_metrics_sizes')),
    );
  });
});
