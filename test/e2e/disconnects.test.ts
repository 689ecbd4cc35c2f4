/** Clients that leave while a filter waits, thousands of times: each filter hears of it once, and memory stays level. */
import { describe, expect, it } from 'vitest';
import {
  Connection,
  eventually,
  get,
  mebibytes,
  MiB,
  residentBytes,
  sleep,
  startUpstream,
  type Fixture,
} from '../fixture/index.js';
import { withEnvoy } from './support.js';

const CLIENTS = 10_000;
const BATCH = 100;
const PLACES = ['decodeHeaders', 'requestBody', 'requestInput', 'encodeHeaders', 'responseBody'];

const head = (place: string) =>
  place.startsWith('request')
    ? `POST /sink HTTP/1.1\r\nhost: a\r\nx-park: ${place}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`
    : `GET /bytes?n=100 HTTP/1.1\r\nhost: a\r\nx-park: ${place}\r\n\r\n`;

async function batch(fx: Fixture, done: number): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: BATCH }, async (_, i) => {
      const client = await Connection.open(fx.port);
      await client.write(head(PLACES[i % PLACES.length]!));
      return client;
    }),
  );
  const share = (done + BATCH) / PLACES.length;
  await eventually('all wait in their filters', async () => {
    const counts = await fx.counters();
    return (
      counts['park.created'] === done + BATCH &&
      PLACES.every((place) => place === 'requestInput' || counts[`park.at.${place}`] === share)
    );
  });
  clients.forEach((client, i) => (i % 2 === 0 ? client.reset() : client.close()));
  await eventually('all are gone', async () => (await fx.counters())['park.destroyed'] === done + BATCH);
}

describe(`${CLIENTS} clients leave while a filter waits`, () => {
  it('signal, onDestroy and finally come once each, and memory stays level', { timeout: 120_000 }, async () => {
    const upstream = await startUpstream();
    await withEnvoy({ filters: [{ name: 'park' }], upstream, counters: true }, async (fx) => {
      let early = { envoy: 0, host: 0 };
      for (let done = 0; done < CLIENTS; done += BATCH) {
        await batch(fx, done);
        if (done + BATCH === 2_000) early = { envoy: residentBytes(fx.envoy.pid), host: residentBytes(fx.host.pid) };
      }
      await sleep(200);
      const counts = await fx.counters();
      expect(counts).toMatchObject({
        'park.created': CLIENTS,
        'park.destroyed': CLIENTS,
        'park.destroyed.reset': CLIENTS,
        'park.aborted': CLIENTS,
        // the places that wait in a foreign await; requestInput waits for input
        'park.finally': (CLIENTS / PLACES.length) * 4,
        'park.requestFinally': (CLIENTS / PLACES.length) * 2,
        'park.responseFinally': CLIENTS / PLACES.length,
      });
      expect(counts['park.destroyed.complete']).toBeUndefined();
      const growth = {
        envoy: residentBytes(fx.envoy.pid) - early.envoy,
        host: residentBytes(fx.host.pid) - early.host,
      };
      console.log(`growth from 2000 to ${CLIENTS}: Envoy ${mebibytes(growth.envoy)}, host ${mebibytes(growth.host)}`);
      // a leak of 1 KiB a stream would show as 8 MiB
      expect(growth.envoy).toBeLessThan(8 * MiB);
      expect(growth.host).toBeLessThan(24 * MiB);
      expect(await fx.activeStreams()).toBe(0);
      expect((await get(fx.port, '/hello')).text).toBe('hola mundo :)');
    });
    await upstream.close();
  });
});
