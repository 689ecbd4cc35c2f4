/** The filter of docs/migrating-from-go.md runs, and is the one that stands there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  cluster,
  eventually,
  filterPath,
  http1,
  root,
  startUpstream,
  type Line,
  type Upstream,
} from '../../fixture/index.js';
import { withEnvoy } from '../support.js';
import { Recorder, values } from './support.js';

const orders = new Recorder();
let upstream: Upstream;
let accounts: Upstream;
const asked: string[] = [];

beforeAll(async () => {
  upstream = await startUpstream({ paths: { '/orders': orders.handler((_req, res) => void res.end('ordered')) } });
  accounts = await startUpstream({
    paths: {
      '/tenant': (req, res) => {
        asked.push(String(req.headers['authorization']));
        const known = req.headers['authorization'] === 'Bearer sesame';
        res.writeHead(known ? 200 : 404).end(known ? 'acme\n' : 'nobody\n');
      },
    },
  });
});
afterAll(async () => {
  await upstream.close();
  await accounts.close();
});

it('the filter of the page does what the page says', async () => {
  const metadata = { header: { key: 'x-from-metadata', value: '%DYNAMIC_METADATA(tenant:name)%' } };
  await withEnvoy(
    {
      filters: [{ name: 'go-tenant', config: { accounts: 'accounts' } }],
      upstream,
      clusters: [cluster('accounts', accounts.port)],
      route: { request_headers_to_add: [metadata] },
    },
    async (fx) => {
      const order = (headers: Line[], body: string) =>
        http1(fx.port, { method: 'POST', path: '/orders', headers, body });
      const KNOWN: Line = ['authorization', 'Bearer sesame'];

      const without = await order([], '{}');
      expect([without.status, without.text, without.header('www-authenticate')]).toEqual([401, 'no token\n', 'Bearer']);
      const unknown = await order([['authorization', 'Bearer guess']], '{}');
      expect([unknown.status, unknown.text]).toEqual([403, 'unknown token\n']);
      const broken = await order([KNOWN], '{');
      expect([broken.status, broken.text]).toEqual([400, 'not JSON\n']);
      expect(orders.seen).toEqual([]);

      const good = await order([KNOWN], '{"item":"tea"}');
      expect([good.status, good.text]).toEqual([200, 'ordered']);
      const seen = orders.one();
      expect(JSON.parse(seen.body)).toEqual({ item: 'tea', tenant: 'acme' });
      expect(values(seen.headers, 'content-length')).toEqual([String(seen.body.length)]);
      expect(values(seen.headers, 'x-tenant')).toEqual(['acme']);
      expect(values(seen.headers, 'authorization')).toEqual([]);
      expect(values(seen.headers, 'x-from-metadata')).toEqual(['acme']);
      expect(asked).toEqual(['Bearer guess', 'Bearer sesame', 'Bearer sesame']);
      const details = () => fx.accessLog().map((entry) => entry.details);
      await eventually('four lines in the access log', () => details().length === 4);
      expect(details()).toEqual(['no_token', 'unknown_token', 'not_json', 'via_upstream']);
    },
  );
});

it('the page shows this very filter', () => {
  const page = readFileSync(join(root, 'docs', 'migrating-from-go.md'), 'utf8');
  const blocks = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  expect(blocks).toContain(readFileSync(filterPath('go-tenant'), 'utf8'));
});
