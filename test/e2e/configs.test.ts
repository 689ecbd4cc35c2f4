/** Wrong configurations, on both sides: the message names the key or the file and the mend, and nothing else breaks. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Builder } from 'flatbuffers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as schema from '../../src/channel/codec/generated/index.js';
import {
  Child,
  eventually,
  Fixture,
  get,
  hostScript,
  nodeBinary,
  sleep,
  startEnvoy,
  startUpstream,
  within,
  type Config,
  type EnvoyOptions,
} from '../fixture/index.js';
import { withEnvoy } from './support.js';

const CONFIG_SOCKET = '/tmp/never-connected.sock';

/** `envoy --mode validate` on one of our filters with that configuration. */
async function validate(value: Config | string, name = 'touch'): Promise<{ code: number | null; output: string }> {
  const fx = new Fixture({ filters: [{ name, value }], host: false });
  try {
    return await fx.runToEnd('--mode', 'validate');
  } finally {
    fx.remove();
  }
}

describe('refused at load, without a host', () => {
  const wrong: [string, Config | string, RegExp][] = [
    ['an unknown key', { filter_mode: 'closed' }, /filter_mode/],
    ['a duration without a unit', { message_timeout: 'soon' }, /message_timeout/],
    ['a negative duration', { host_wait: '-1s' }, /host_wait/],
    ['a failure mode that does not exist', { failure_mode: 'maybe' }, /failure_mode.*(closed|open|replay)/],
    ['a ring of a wrong size', { ring_bytes: -5 }, /ring_bytes/],
    ['a number that is none', { max_body_bytes: 'a lot' }, /max_body_bytes/],
    ['rules for headers that are no list', { headers: { allow: 'x-a' } }, /headers\.allow/],
    ['an unknown rule for headers', { headers: { alow: ['x-a'] } }, /headers\.alow/],
    ['a socket path that no socket can have', { socket: `/tmp/${'s'.repeat(200)}` }, /socket/],
    ['a boolean that is none', { upgrades: 'yes' }, /upgrades/],
    ['another one', { observe_only: 1 }, /observe_only/],
    ['text that is no JSON', '{"socket": ', /JSON|json/],
    ['JSON that is no object', '[1]', /object/],
  ];
  const wrongLists: [string, Config, RegExp][] = [
    ['an unknown key in a list', { filters: [{ name: 'touch', plugin_confg: {} }] }, /filters.*plugin_confg/],
    ['an empty filter list', { filters: [] }, /filters/],
    ['a filter without a name', { filters: [{ plugin_config: {} }] }, /filters.*name/],
    ['a list beside plugin_config', { filters: [{ name: 'touch' }], plugin_config: {} }, /plugin_config.*filters/],
  ];
  it.each([...wrong, ...wrongLists])('%s', async (_what, value, message) => {
    const { code, output } = await validate(value);
    expect(code).toBe(1);
    const line = output.split('\n').find((text) => message.test(text));
    expect(line, output).toBeDefined();
    expect(line).toContain('ts_filter');
  });
});

describe('accepted by --mode validate, without a host', () => {
  const right: [string, Config | string][] = [
    ['nothing but a socket', { socket: CONFIG_SOCKET }],
    [
      'every key',
      {
        socket: CONFIG_SOCKET,
        failure_mode: 'replay',
        message_timeout: '1.5s',
        host_wait: '0s',
        host_stall_timeout: '2s',
        config_timeout: '500ms',
        max_body_bytes: 1048576,
        stream_window: 262144,
        max_pending_output: 33554432,
        max_pending_total: 268435456,
        max_header_bytes: 65536,
        ring_bytes: 1048576,
        headers: { allow: ['x-a'], deny: ['x-b'] },
        allowed_uids: [0],
        observe_only: false,
        upgrades: true,
        metrics: [{ name: 'a', type: 'counter', labels: ['b'] }],
        log_level: 'info',
        plugin_config: { any: [1, null, 'x'] },
      },
    ],
    ['a list of filters', { socket: CONFIG_SOCKET, filters: [{ name: 'a' }, { name: 'b', plugin_config: 1 }] }],
    ['a StringValue with JSON', JSON.stringify({ socket: CONFIG_SOCKET, message_timeout: '1s' })],
  ];
  it.each(right)('%s', async (_what, value) => {
    const { code, output } = await validate(value);
    expect(code, output).toBe(0);
  });
});

/** Envoy with that filter, the host up before it: Envoy's end. */
async function refusedByHost(options: EnvoyOptions): Promise<{ code: number | null; output: string }> {
  const fx = new Fixture({ hostPaths: [], ...options });
  try {
    await fx.startHost();
    return await fx.runToEnd();
  } finally {
    for (const host of fx.hosts) await host.kill();
    fx.remove();
  }
}

describe('refused at load by the host', () => {
  it('a filter that the host does not have: the message names it', async () => {
    const { code, output } = await refusedByHost({
      filters: [{ name: 'nosuchfilter' }],
      hostPaths: filterPaths('touch'),
    });
    expect(code).toBe(1);
    expect(output).toMatch(/nosuchfilter/);
  });

  it('a config that TypeScript refuses: the message names the key and the mend', async () => {
    const { code, output } = await refusedByHost({
      filters: [{ name: 'redirect', config: { ret_code: 42, uri: '/x' } }],
      hostPaths: filterPaths('redirect'),
    });
    expect(code).toBe(1);
    expect(output).toMatch(/ret_code/);
    expect(output).toMatch(/whole number from 300 to 399/);
  });
});

describe('a list of filters refused at load by the host', () => {
  const redirect = { name: 'redirect', plugin_config: { ret_code: 42, uri: '/x' } };
  it.each([
    ['redirect', 'filter_config.filters[1] "redirect": plugin_config: ret_code'],
    ['nosuchfilter', 'filter_config.filters[1].name: no filter is named "nosuchfilter"'],
  ])('%s: the message names its place', async (name, message) => {
    const { code, output } = await refusedByHost({
      filters: [{ name: 'chain', filters: [{ name: 'touch' }, { ...redirect, name }] }],
      hostPaths: filterPaths('touch', 'redirect'),
    });
    expect(code).toBe(1);
    expect(output).toContain(message);
  });
});

function filterPaths(...names: string[]): string[] {
  return names.map(
    (name) =>
      new URL(
        `../../${name === 'redirect' ? 'filters/redirect/index.ts' : `test/e2e/filters/${name}.ts`}`,
        import.meta.url,
      ).pathname,
  );
}

describe('judged when a host comes later', () => {
  it.each([
    { mode: 'closed', status: 500 },
    { mode: 'open', status: 200 },
  ])('a refused config, $mode: $status', async ({ mode, status }) => {
    const upstream = await startUpstream();
    await withEnvoy(
      {
        filters: [
          {
            name: 'rules',
            config: { refuse: 'because the test says so' },
            options: { host_wait: '0s', failure_mode: mode },
          },
        ],
        upstream,
        host: false,
      },
      async (fx) => {
        await fx.startHost();
        await eventually('judged', () => /because the test says so/.test(fx.envoy.output));
        let n = 0;
        await eventually(`status ${status}`, async () => (await get(fx.port, `/hello?${n++}`)).status === status);
        if (status === 500) expect((await fx.logged(`/hello?${n - 1}`)).details).toContain('ts_filter_config_rejected');
        expect(fx.host.running).toBe(true);
      },
    );
    await upstream.close();
  });

  it('one refused config does not touch the other filters of that host', async () => {
    const upstream = await startUpstream();
    const at = await startEnvoy({
      filters: [
        { name: 'touch', options: { host_wait: '0s' } },
        { name: 'rules', config: { refuse: 'no' }, options: { failure_mode: 'open', host_wait: '0s' } },
      ],
      upstream,
      host: false,
    });
    await at.startHost();
    await eventually('touched', async () => (await get(at.port, '/hello')).header('x-touch-response') === 'on');
    await at.stop();
    await upstream.close();
  });
});

const OUR_MAJOR = new RegExp(`\\b${schema.Protocol.Major}\\b`);

/** A control message with two numbers, as `Hello` and `Welcome` begin. */
function versionMessage(kind: number, major: number): Buffer {
  const builder = new Builder(64);
  builder.startObject(2);
  builder.addFieldInt32(0, major, 0);
  builder.addFieldInt32(1, 7, 0);
  builder.finish(builder.endObject());
  const payload = builder.asUint8Array();
  const head = Buffer.alloc(8);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt32LE(kind, 4);
  return Buffer.concat([head, payload]);
}

describe('another protocol version', () => {
  it('of the module: the host refuses it and names both versions', async () => {
    const upstream = await startUpstream();
    await withEnvoy({ filters: [{ name: 'touch' }], upstream }, async (fx) => {
      const socket = connect(fx.socket);
      await once(socket, 'connect');
      socket.on('error', () => undefined).resume();
      socket.write(versionMessage(1, 99));
      await within(5_000, 'the host closes the connection', once(socket, 'close'));
      await eventually('both versions are named', () =>
        fx.host.output.split('\n').some((line) => /\b99\b/.test(line) && OUR_MAJOR.test(line)),
      );
      expect((await get(fx.port, '/hello')).header('x-touch-response')).toBe('on');
    });
    await upstream.close();
  });

  it('of the host: Envoy refuses it, names both versions, and goes on without', async () => {
    const upstream = await startUpstream();
    await withEnvoy(
      { filters: [{ name: 'touch', options: { host_wait: '0s' } }], upstream, host: false },
      async (fx) => {
        const server = createServer((socket) => {
          socket.on('error', () => undefined).resume();
          socket.write(versionMessage(2, 99));
        });
        server.listen(fx.socket);
        await once(server, 'listening');
        chmodSync(fx.socket, 0o600);
        await eventually(
          'both versions are named',
          () => fx.envoy.output.split('\n').some((line) => /\b99\b/.test(line) && OUR_MAJOR.test(line)),
          15_000,
        );
        expect((await get(fx.port, '/hello')).status).toBe(503);
        server.close();
        await sleep(50);
        rmSync(fx.socket, { force: true });
        await fx.startHost();
        await eventually('the right host serves', async () => (await get(fx.port, '/hello')).status === 200);
      },
    );
    await upstream.close();
  });
});

describe('a peer that may not be the host', () => {
  it('is refused by its uid, and the log names it', async () => {
    const upstream = await startUpstream();
    await withEnvoy(
      { filters: [{ name: 'touch', options: { host_wait: '0s', allowed_uids: [54321] } }], upstream, host: true },
      async (fx) => {
        await eventually('the uid is named', () =>
          new RegExp(`\\buid\\b.*\\b${process.getuid!()}\\b`).test(fx.envoy.output),
        );
        expect((await get(fx.port, '/hello')).status).toBe(503);
      },
    );
    await upstream.close();
  });
});

describe('ts-filter-host refuses', () => {
  let dir = '';
  let socket = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsf-e2e-host-'));
    socket = join(dir, 'a.sock');
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const file = (name: string, text: string) => {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  };
  const good = filterPaths('touch')[0]!;
  const cases: [string, () => string[], RegExp[]][] = [
    ['an option that does not exist', () => [good, '--socket', socket, '--wrokers', '1'], [/--wrokers/]],
    ['a number of workers that is none', () => [good, '--socket', socket, '--workers', 'many'], [/--workers/]],
    ['a filter file that does not exist', () => [join(dir, 'missing.ts'), '--socket', socket], [/missing\.ts/]],
    [
      'a filter with a syntax error',
      () => [file('broken.ts', 'export default {{{'), '--socket', socket],
      [/broken\.ts/, /:1/],
    ],
    [
      'a file without a filter',
      () => [file('empty.ts', 'export const a = 1;'), '--socket', socket],
      [/empty\.ts/, /default/],
    ],
    [
      'two filters of one name',
      () => [good, file('same.ts', "export { default } from '" + good + "';"), '--socket', socket],
      [/touch/],
    ],
    [
      'a socket in a folder that does not exist',
      () => [good, '--socket', join(dir, 'no', 'such', 'a.sock')],
      [/no\/such/],
    ],
  ];
  it.each(cases)('%s', async (_what, args, messages) => {
    const child = new Child('ts-filter-host', nodeBinary, [hostScript, ...args()]);
    try {
      const { code } = await within(10_000, 'the host ends', child.exit);
      expect(code).toBeGreaterThan(0);
      for (const message of messages) expect(child.output).toMatch(message);
    } finally {
      await child.kill();
    }
  });
});
