/** `observe_only`: the filter sees what goes by, and whatever it does, or whatever becomes of it, nobody else notices. */
import { describe, expect, it } from 'vitest';
import {
  accessLogger,
  digest,
  dynamicModulePerRoute,
  envoyVersion,
  eventually,
  get,
  http1,
  http2,
  sleep,
  type Config,
  type Fixture,
  type Seen,
} from '../fixture/index.js';
import { buffer } from './envoy-filters.js';
import { mapRequest, mapResponse } from './filters/lib/maps.js';
import { logsOnFailure, scene, stage } from './support.js';

const observer = (options: Config = {}) => ({
  name: 'observed',
  options: { observe_only: true, metrics: [{ name: 'observed_asked', type: 'counter' }], ...options },
});

type View = Record<string, unknown>;
/** What the filter saw of that path. */
const view = (fx: Fixture, path: string): Promise<View> =>
  eventually(
    `the view of ${path}`,
    () => fx.host.records.find((one) => one['by'] === 'observed' && one['path'] === path) ?? false,
  );

/** What the operator's counter says. */
async function results(fx: Fixture): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [name, value] of await fx.stats(/ts_filter\.observed/)) {
    const result = /result\.([a-z_]+)/.exec(name)?.[1];
    if (result !== undefined && value > 0) found[result] = value;
  }
  return found;
}

/** The first streams may come before the host. */
async function watched(fx: Fixture): Promise<void> {
  const before = (await results(fx))['complete'] ?? 0;
  await eventually('a stream is observed', async () => {
    await get(fx.port, '/hello?first');
    return ((await results(fx))['complete'] ?? 0) > before;
  });
}

const BODY = Buffer.alloc(200_000, 'some bytes ');

describe.each(['http1', 'http2'] as const)('a filter that changes everything, over %s', (protocol) => {
  const at = stage({ filters: [observer()], upstream: { protocol } });
  const exchange = protocol === 'http1' ? http1 : http2;

  it('changes nothing, and sees all of it', async () => {
    logsOnFailure(at);
    await watched(at.fx);
    const path = '/echo?trailers=1&all';
    const answer = await exchange(at.port, { method: 'POST', path, body: BODY, trailers: [['x-sent', 'a trailer']] });
    expect([answer.status, answer.digest, answer.complete]).toEqual([200, digest(BODY), true]);
    expect(answer.header('x-observed')).toBeUndefined();
    expect([answer.trailer('x-sent'), answer.trailer('x-upstream-trailer')]).toEqual(['a trailer', 'there']);
    expect(await view(at.fx, path)).toMatchObject({
      request: digest(BODY),
      response: digest(BODY),
      status: 200,
      'request-trailer': 'a trailer',
      'response-trailer': 'there',
      logged: '200',
      reason: 'complete',
    });
  });

  it('leaves the request as it came', async () => {
    const headers = [['x-keep', 'kept']] as const;
    const answer = await exchange(at.port, { method: 'POST', path: '/sink?as', headers, body: BODY });
    const seen = answer.json as Seen;
    expect([seen.path, seen.digest]).toEqual(['/sink?as', digest(BODY)]);
    const lines = Object.fromEntries(seen.headers);
    expect([lines['x-keep'], lines['x-observed']]).toEqual(['kept', undefined]);
    expect((await at.fx.logged('/sink?as')).code).toBe(200);
  });

  it('holds nobody while it takes its time, and sees the stream to its end when that has long been over', async () => {
    logsOnFailure(at);
    const started = performance.now();
    const answer = await exchange(at.port, {
      method: 'POST',
      path: '/echo?slow',
      headers: [
        ['x-sleep', '1000'],
        ['x-act', 'whole'],
      ],
      body: 'slowly',
      trailers: [['x-sent', 't']],
    });
    expect(performance.now() - started).toBeLessThan(500);
    expect([answer.status, answer.text]).toEqual([200, 'slowly']);
    const seen = await view(at.fx, '/echo?slow');
    expect(seen).toMatchObject({
      slept: true,
      'in order': true,
      method: 'POST',
      request: digest('slowly'),
      response: digest('slowly'),
      'request-trailer': 't',
      logged: '200',
      reason: 'complete',
    });
    expect(seen).not.toHaveProperty('aborted');
  });

  it.skipIf(envoyVersion === '1.38')('records metrics, then too', async () => {
    await eventually('counted', async () => (await at.fx.stat('dynamicmodulescustom.observed_asked')) > 1);
  });

  it('is told when the client leaves', async () => {
    await exchange(at.port, { path: '/never?left', timeoutMs: 200 }).catch(() => undefined);
    expect(await view(at.fx, '/never?left')).toMatchObject({ aborted: 'downstream', reason: 'reset' });
  });

  it.each([
    { act: 'reply', seen: { status: 403, reason: 'complete' }, result: 'replied' },
    { act: 'stream', seen: { aborted: 'local_reply' }, result: 'replied' },
    { act: 'throw', seen: { aborted: 'local_reply', reason: 'reset' }, result: 'failed' },
  ])("$act: the client gets the upstream's answer, and the view is over", async ({ act, seen, result }) => {
    logsOnFailure(at);
    const path = `/delay?ms=400&${act}`;
    const before = (await results(at.fx))[result] ?? 0;
    const answer = await exchange(at.port, { method: 'POST', path, headers: [['x-act', act]], body: 'as it is' });
    expect([answer.status, answer.complete, answer.header('x-observed')]).toEqual([200, true, undefined]);
    expect(await view(at.fx, path)).toMatchObject(seen);
    expect((await results(at.fx))[result]).toBe(before + 1);
  });

  it('counts what it throws', async () => {
    const panics = await at.fx.stats(/ts_filter\.panics/);
    expect([...panics.values()]).toEqual([1]);
  });

  it('lets events by as they are sent', async () => {
    const late: number[] = [];
    await exchange(at.port, {
      path: '/sse?n=10&ms=50',
      headers: [['x-sleep', '300']],
      onPiece: (piece) => {
        const sent = /"at":([\d.]+)/.exec(piece.toString('utf8'));
        if (sent !== null) late.push(performance.timeOrigin + performance.now() - Number(sent[1]));
      },
    });
    expect(late).toHaveLength(10);
    expect(Math.max(...late)).toBeLessThan(150);
    expect(await view(at.fx, '/sse?n=10&ms=50')).toMatchObject({ status: 200, reason: 'complete' });
  });
});

describe('a host that cannot be told', () => {
  it('absent: nothing waits, and it is observed once it is there', () =>
    scene(
      [observer()],
      async (fx) => {
        const started = performance.now();
        expect((await http1(fx.port, { method: 'POST', path: '/echo', body: 'as it is' })).text).toBe('as it is');
        expect(performance.now() - started).toBeLessThan(500);
        expect(await results(fx)).toEqual({ no_host: 1 });
        await fx.startHost();
        await watched(fx);
      },
      { host: false },
    ));

  it('killed under load: every answer is whole', () =>
    scene([observer()], async (fx) => {
      await watched(fx);
      let going = true;
      const load = Array.from({ length: 8 }, async (_, lane) => {
        let count = 0;
        for (; going; count++) {
          const path = lane < 4 ? `/echo?${lane}` : '/delay?ms=50';
          const answer = await http1(fx.port, { method: 'POST', path, body: BODY });
          expect([answer.status, answer.complete]).toEqual([200, true]);
          if (lane < 4) expect(answer.digest).toBe(digest(BODY));
        }
        return count;
      });
      for (let i = 0; i < 2; i++) {
        await sleep(200);
        await fx.host.kill();
        await sleep(100);
        await fx.startHost();
      }
      going = false;
      expect(Math.min(...(await Promise.all(load)))).toBeGreaterThan(2);
      expect(await results(fx)).toHaveProperty('host_lost');
      await watched(fx);
    }));

  it('stopped: the ring fills up, and what has no room is dropped and counted', () =>
    scene([observer({ ring_bytes: '64KiB' })], async (fx) => {
      await watched(fx);
      fx.host.signal('SIGSTOP');
      const headers = [['x-long', 'x'.repeat(2000)]] as const;
      for (let i = 0; i < 60; i++) {
        const answer = await http1(fx.port, { method: 'POST', path: '/echo', headers, body: 'x'.repeat(1000) });
        expect([answer.status, answer.length]).toEqual([200, 1000]);
      }
      expect((await results(fx))['dropped']).toBeGreaterThan(10);
      fx.host.signal('SIGCONT');
      await watched(fx);
    }));
});

describe('more than the filter can be told', () => {
  const at = stage({ filters: [observer({ max_body_bytes: '64KiB', stream_window: '64KiB' })] });
  it('ends the view, not the upload', async () => {
    logsOnFailure(at);
    await watched(at.fx);
    const upload = Buffer.alloc(8_000_000, 'much');
    const answer = await http1(at.port, {
      method: 'POST',
      path: '/sink?much',
      headers: [['x-chunk', '30']],
      body: upload,
    });
    expect((answer.json as Seen).digest).toBe(digest(upload));
    const seen = await view(at.fx, '/sink?much');
    expect(seen).toMatchObject({ aborted: 'dropped', reason: 'reset' });
    expect(seen).not.toHaveProperty('request');
    expect(await results(at.fx)).toMatchObject({ limit: 1 });
  });
});

describe('per route', () => {
  const route = (path: string, observe_only: boolean): Config => ({
    match: { prefix: path },
    route: { cluster: 'upstream', timeout: '0s' },
    typed_per_filter_config: {
      seen: dynamicModulePerRoute('observed', { observe_only }),
      on: dynamicModulePerRoute('touch', { observe_only }),
    },
  });
  const at = stage({
    filters: [
      { ...observer(), instance: 'seen' },
      { name: 'touch', instance: 'on' },
    ],
    routes: [route('/hello', true), route('/sink', false)],
  });

  it('on, where the filter works elsewhere', async () => {
    logsOnFailure(at);
    await eventually(
      'the host is there',
      async () => (await get(at.port, '/status')).header('x-touch-response') === 'on',
    );
    const answer = await get(at.port, '/hello');
    expect([answer.header('x-observed'), answer.header('x-touch-response')]).toEqual([undefined, undefined]);
  });

  it('off, where it only observes elsewhere', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink?off');
    expect([answer.status, answer.header('x-observed'), answer.header('x-touch-response')]).toEqual([418, 'yes', 'on']);
  });
});

describe('beside others', () => {
  const before = { ...observer(), instance: 'before' };
  const at = stage({
    filters: [
      buffer(1 << 20),
      { ...before, config: { by: 'before' } },
      { name: 'body-generator' },
      { ...observer(), instance: 'between', config: { by: 'between' } },
      {
        name: 'list',
        filters: [{ name: 'observed', plugin_config: { by: 'list' } }, { name: 'touch' }],
        options: observer().options,
      },
    ],
    edges: true,
  });
  const by = (name: string, path: string): Promise<View> =>
    eventually(
      `what ${name} saw of ${path}`,
      () => at.fx.host.records.find((one) => one['by'] === name && one['path'] === path) ?? false,
    );

  it('each sees what goes by where it stands, once', async () => {
    logsOnFailure(at);
    await watched(at.fx);
    const body = Buffer.alloc(60_000, 'beside others ');
    const answer = await http1(at.port, {
      method: 'POST',
      path: '/echo?beside',
      body: [body.subarray(0, 20_000), 30, body.subarray(20_000)],
    });
    const changed = Buffer.concat([Buffer.from('{'), Buffer.from(mapRequest(body)), Buffer.from('}')]);
    const answered = Buffer.concat([Buffer.from('<'), Buffer.from(mapResponse(changed)), Buffer.from('>')]);
    expect([answer.status, answer.digest, answer.complete]).toEqual([200, digest(answered), true]);
    expect(await by('before', '/echo?beside')).toMatchObject({ request: digest(body), response: digest(answered) });
    expect(await by('between', '/echo?beside')).toMatchObject({ request: digest(changed), response: digest(changed) });
    expect(await by('list', '/echo?beside')).toMatchObject({ request: digest(changed), response: digest(changed) });
  });
});

describe('where Envoy answers itself, and upstream', () => {
  const at = stage({
    filters: [observer()],
    upstreamFilters: [{ ...observer(), instance: 'upstream' }],
    routes: [{ match: { path: '/direct' }, direct_response: { status: 429, body: { inline_string: 'no' } } }],
    hcm: accessLogger({ interval: '1s' }),
  });

  it("Envoy's own answer is seen", async () => {
    logsOnFailure(at);
    await watched(at.fx);
    expect((await get(at.port, '/direct')).status).toBe(429);
    expect(await view(at.fx, '/direct')).toMatchObject({ status: 429, response: digest('no'), logged: '429' });
  });

  it('a try of a request is seen, with its answer', async () => {
    const answer = await http1(at.port, {
      method: 'POST',
      path: '/echo?try',
      headers: [['x-act', 'upstream']],
      body: 'tried',
    });
    expect(answer.text).toBe('tried');
    const found = await eventually('both views', () => {
      const all = at.fx.host.records.filter((one) => one['by'] === 'observed' && one['path'] === '/echo?try');
      return all.length === 2 && all;
    });
    for (const one of found) expect(one).toMatchObject({ request: digest('tried'), response: digest('tried') });
  });

  it('an upgrade goes by', async () => {
    const headers = [
      ['connection', 'Upgrade'],
      ['upgrade', 'websocket'],
    ] as const;
    const answer = await http1(at.port, { path: '/hello?upgrade', headers: [...headers, ['x-act', 'upstream']] });
    expect(answer.status).toBe(101);
    expect(await view(at.fx, '/hello?upgrade')).toMatchObject({ logged: '101' });
  });
});
