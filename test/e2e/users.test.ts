/** Envoy and host as two users, over a folder like a pod's emptyDir (docs/kubernetes.md): the pair that works, and what others are told. */
import { mkdirSync, chownSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asUser, Child, envoyVersion, eventually, get, nodeBinary, type Fixture } from '../fixture/index.js';
import { scene } from './support.js';

const ENVOY = 101;
const HOST = 1000;
const PAIR = ['--allowed-uids', String(ENVOY), '--socket-mode', '0666'];
const users = { envoy: ENVOY, host: HOST };

/** A host that is to end by itself: what it says. */
async function refused(fx: Fixture, args: readonly string[]): Promise<string> {
  const [command, all] = asUser(HOST, nodeBinary, [...fx.hostArgs(), ...args]);
  const host = new Child('ts-filter-host', command, all, { NO_COLOR: '1' });
  try {
    expect((await host.exit).code).not.toBe(0);
    return host.output;
  } finally {
    await host.kill();
  }
}
/** One line, its code and mend, and nothing of our insides. */
function expectOneLine(text: string, line: RegExp): void {
  expect(text).toMatch(line);
  expect(text.trim().split('\n')).toHaveLength(1);
  expect(text).not.toMatch(/\.[jt]s:\d|node:internal|TSF_LOAD_FAILED/);
}
const says = (child: Child, what: RegExp): Promise<true> =>
  eventually(String(what), () => what.test(child.output) || undefined).then(() => true);

const isRoot = process.getuid?.() === 0;

// Nothing of it depends on Envoy's version.
describe.runIf(isRoot && envoyVersion === '1.40')('two users', () => {
  const filters = (options: object) => [{ name: 'touch', options: { host_wait: '0s', ...options } }];
  const scenery = (options: object, run: (fx: Fixture) => Promise<void>): Promise<void> =>
    scene(filters(options), run, { users, host: false, counters: false });

  it('the documented pair of options works; a client of a third user is refused', () =>
    scenery({ allowed_uids: [HOST] }, async (fx) => {
      const host = await fx.startHost([...fx.hostArgs(), ...PAIR]);
      await eventually('the filter serves', async () => (await get(fx.port, '/hello')).status === 200);
      expect((await get(fx.port, '/hello')).header('x-touch-response')).toBe('on');
      // Another user connects to the socket: the file lets it, the host does not.
      const client = `
        const socket = require('node:net').connect(${JSON.stringify(fx.socket)});
        socket.on('data', (bytes) => process.stdout.write(bytes.toString('latin1').replace(/[^ -~]/g, '')));
        socket.on('close', () => process.exit(0));
      `;
      const [command, args] = asUser(4242, nodeBinary, ['-e', client]);
      const stranger = new Child('stranger', command, args);
      await stranger.exit;
      await eventually('its line in the log', () =>
        stranger.output.includes('TSF_PEER_REFUSED: uid 4242 may not connect'),
      );
      await says(host, /uid 4242 may not connect to this host; start ts-filter-host with --allowed-uids 101,4242/);
      expect((await get(fx.port, '/hello')).status).toBe(200);
    }));

  it('without allowed_uids both sides say so', () =>
    scenery({}, async (fx) => {
      const host = await fx.startHost([...fx.hostArgs(), ...PAIR]);
      await says(fx.envoy, /TSF_PEER_REFUSED: the host runs as uid 1000, .*add it to filter_config\.allowed_uids/);
      await says(host, /Envoy \(uid 101\) refuses this host: TSF_PEER_REFUSED: .*filter_config\.allowed_uids/);
      expect((await get(fx.port, '/hello')).status).toBe(503);
      // Once, and not twice a second.
      expect(host.output.match(/refuses this host/g)).toHaveLength(1);
      expect(host.output).not.toContain('module disconnected');
    }));

  it('every other pair is refused by one line that names the mend', () =>
    scenery({ allowed_uids: [HOST] }, async (fx) => {
      expectOneLine(
        await refused(fx, []),
        /TSF_SOCKET_DIR: .* may be written by other users; .*--allowed-uids 101 --socket-mode 0666/,
      );
      expectOneLine(
        await refused(fx, ['--allowed-uids', '101']),
        /TSF_USAGE|uid 101 cannot connect to such a socket; add --socket-mode 0666/,
      );
      // What squats on the path is neither replaced nor followed.
      writeFileSync(fx.socket, 'mine');
      expectOneLine(await refused(fx, PAIR), /TSF_SOCKET_PATH: .*host\.sock is no socket; remove it/);
      await says(fx.envoy, /no host at .*host\.sock: it is no socket/);
      rmSync(fx.socket);
      symlinkSync('/etc/passwd', fx.socket);
      expectOneLine(await refused(fx, PAIR), /TSF_SOCKET_PATH: .*host\.sock is a link, which is not followed/);
      await says(fx.envoy, /no host at .*host\.sock: it is a link, which is not followed/);
      rmSync(fx.socket);
      expectOneLine(
        await refused(fx, ['--socket', '/etc/passwd']),
        /TSF_SOCKET_DIR: \/etc cannot be written by uid 1000/,
      );
      // A lock that another user has laid there says nothing, and no link is written through.
      writeFileSync(join(fx.dir, 'precious'), 'precious');
      symlinkSync(join(fx.dir, 'precious'), `${fx.socket}.lock`);
      const host = await fx.startHost([...fx.hostArgs(), ...PAIR]);
      await eventually('the filter serves', async () => (await get(fx.port, '/hello')).status === 200);
      await host.stop(8_000);
    }));

  it('a host that names nobody, in a folder of its own', () =>
    scenery({ allowed_uids: [HOST], socket: '/tmp/tsf-users-own/host.sock' }, async (fx) => {
      const own = '/tmp/tsf-users-own';
      rmSync(own, { recursive: true, force: true });
      mkdirSync(own, { mode: 0o755 });
      chownSync(own, HOST, HOST);
      const start = (args: readonly string[]): Child => {
        const [command, all] = asUser(HOST, nodeBinary, [
          ...fx.hostArgs(),
          '--socket',
          join(own, 'host.sock'),
          ...args,
        ]);
        return new Child('ts-filter-host', command, all, { NO_COLOR: '1' });
      };
      const shut = start([]);
      await says(
        fx.envoy,
        /the socket of uid 1000 has mode 0600, and Envoy runs as uid 101; start ts-filter-host with --allowed-uids 101 --socket-mode 0666/,
      );
      await shut.kill();
      const open = start(['--socket-mode', '0666']);
      await says(
        open,
        /TSF_PEER_REFUSED: uid 101 may not connect to this host; start ts-filter-host with --allowed-uids 101/,
      );
      await says(fx.envoy, /it refused this module: TSF_PEER_REFUSED: uid 101 .*--allowed-uids 101 --socket-mode 0666/);
      await open.kill();
      rmSync(own, { recursive: true, force: true });
    }));
});
