/** The Golang filter's `basic` plugin: one filter with every kind of call, in every style of answering. */
import { expect } from 'vitest';
import { logsOnFailure, stage } from '../support.js';
import { sleep } from '../../fixture/index.js';
import { goCaseBoth, type Protocol } from './case.js';
import { exchange, Recorder, twoChunks, values } from './support.js';

/**
 * What not every Envoy tells its modules. Where one does not, the call answers undefined, and the route can tell instead:
 * `response_headers_to_add` with Envoy's formatters is applied before the filters see the response.
 */
const facts = [
  ['filter-chain-name', 'rsp-filter-chain-name', 'test-filter-chain', '%FILTER_CHAIN_NAME%'],
  ['response-code-details', 'rsp-response-code-details', 'via_upstream', '%RESPONSE_CODE_DETAILS%'],
  ['upstream-cluster', 'rsp-upstream-cluster', 'upstream', '%UPSTREAM_CLUSTER%'],
  ['attempt-count', 'rsp-attempt-count', '1', '%UPSTREAM_REQUEST_ATTEMPT_COUNT%'],
  ['virtual-cluster', 'rsp-virtual-cluster-name', 'test_vcluster', '%VIRTUAL_CLUSTER_NAME%'],
] as const;

const upstream = new Recorder();
const at = stage({
  filters: [{ name: 'go-basic', options: { log_level: 'error' } }],
  counters: true,
  filterChain: { name: 'test-filter-chain' },
  route: { name: 'test-route-name' },
  routes: [
    {
      match: { prefix: '/told' },
      route: { cluster: 'upstream', prefix_rewrite: '/test' },
      response_headers_to_add: facts.map(([, name, , format]) => ({ header: { key: `told-${name}`, value: format } })),
    },
  ],
  virtualHost: {
    virtual_clusters: [{ name: 'test_vcluster', headers: [{ name: 'existed-header', present_match: true }] }],
  },
  upstream: {
    paths: {
      '/test': upstream.handler(async (_req, res) => {
        res.writeHead(200, [
          ['x-test-header-0', 'foo'],
          ['x-test-header-1', 'bar'],
          ['existed-header', 'foo'],
        ] as never);
        res.write('good');
        await sleep(20);
        res.end('bye');
      }),
    },
  },
});

/** One upload, and what must come of it at both ends. */
async function check(protocol: Protocol, path: string, upload: AsyncIterable<string> | string[], body: string) {
  const answer = await exchange(protocol, at.port, {
    method: 'POST',
    path,
    headers: [
      ...(protocol === 'http1' ? ([['host', 'test.com']] as const) : []),
      ['x-test-header-0', 'foo'],
      ['x-test-header-1', 'bar'],
      ['existed-header', 'foo'],
    ],
    body: upload,
    trailers: [
      ['kept-trailer', 'foo'],
      ['x-test-trailer-0', 'foo'],
      ['existed-trailer', 'foo'],
      ['x-test-trailer-1', 'foo'],
    ],
  });
  const { headers, trailers, ...rest } = upstream.one();
  const sent = (name: string) => values(headers, name);
  expect(sent('go-state-test-header-key')).toEqual(['go_state_test_value']);
  expect(sent('x-test-header-0')).toEqual(['foo']);
  expect(sent('x-test-header-1')).toEqual([]);
  expect(sent('test-x-set-header-0')).toEqual(['foo']);
  expect(sent('existed-header')).toEqual(['foo', 'bar']);
  expect(sent('newly-added-header')).toEqual(['foo', 'bar']);
  expect(sent('req-route-name')).toEqual(['test-route-name']);
  expect(sent('req-downstream-local-address')).toEqual([`127.0.0.1:${at.port}`]);
  expect(sent('req-downstream-remote-address')).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+$/)]);
  expect(rest).toEqual({ method: 'POST', path, body });
  expect(values(trailers, 'kept-trailer')).toEqual(['foo']);
  expect(values(trailers, 'x-test-trailer-0')).toEqual(['bar']);
  expect(values(trailers, 'x-test-trailer-1')).toEqual([]);
  expect(values(trailers, 'existed-trailer')).toEqual(['foo', 'bar']);
  expect(values(trailers, 'x-test-trailer-2')).toEqual(['bar']);

  expect([answer.status, answer.text, answer.complete]).toEqual([200, 'GOODBYE', true]);
  const got = (name: string) => answer.all(name);
  expect(got('x-test-header-0')).toEqual(['foo']);
  expect(got('x-test-header-1')).toEqual([]);
  expect(got('test-x-set-header-0')).toEqual(['foo']);
  expect(got('existed-header')).toEqual(['foo', 'bar']);
  expect(got('newly-added-header')).toEqual(['foo', 'bar']);
  const expected: Record<string, unknown> = {
    'test-req-body-length': '10',
    'rsp-route-name': 'test-route-name',
    'rsp-protocol': protocol === 'http1' ? 'HTTP/1.1' : 'HTTP/2',
    'rsp-response-code': '200',
    'rsp-upstream-host': `127.0.0.1:${at.upstream.port}`,
    'rsp-status': '200',
    'test-scheme': 'http',
    'test-method': 'POST',
    'test-path': path,
    'test-host': protocol === 'http1' ? 'test.com' : 'test.local',
    'test-log-level': 'error',
  };
  expect(Object.fromEntries(Object.keys(expected).map((name) => [name, got(name).join()]))).toEqual(expected);
}

const WHOLE = 'prepend_HELLOWORLD_append';
/** A data hook sees each chunk by itself, unless the headers hook asked for the whole body. */
const PIECES = 'prepend_HELLO_appendprepend_WORLD_append';

const variants = [
  ['plain', '', PIECES],
  ['async', '?async', PIECES],
  ['sleep', '?sleep', PIECES],
  ['data-sleep', '?data-sleep', PIECES],
  ['async+sleep', '?async&sleep', PIECES],
  ['async+data-sleep', '?async&data-sleep', PIECES],
  ['whole-body-decodeHeaders', '?data-buffer=decodeHeaders', WHOLE],
  // What the data hook has seen it does not see again: the rest comes whole, and all goes on together.
  ['whole-body-decodeData', '?data-buffer=decodeData', PIECES],
  ['async+whole-body-decodeHeaders', '?async&data-buffer=decodeHeaders', WHOLE],
  ['async+whole-body-decodeData', '?async&data-buffer=decodeData', PIECES],
] as const;

for (const [name, query, pieces] of variants) {
  goCaseBoth(`go/basic/${name}`, async (protocol) => {
    logsOnFailure(at);
    // Two chunks in one frame of Envoy's, or one with the end after it.
    await check(protocol, `/test${query}`, ['helloworld'], WHOLE);
    const upload = pieces === WHOLE ? ['hello', 'world'] : twoChunks(at.fx, 'go-basic.decodeData', 'hello', 'world');
    await check(protocol, `/test${query}`, upload as string[], pieces);
  });
}

for (const [name, header, value] of facts) {
  const ask = async (protocol: Protocol, path: string) =>
    exchange(protocol, at.port, { path, headers: [['existed-header', 'foo']] });
  goCaseBoth(
    `go/basic/${name}`,
    async (protocol) => {
      expect((await ask(protocol, '/test')).all(header)).toEqual([value]);
      upstream.one();
    },
    async (protocol) => {
      expect((await ask(protocol, '/test')).all(header)).toEqual([]);
      expect((await ask(protocol, '/told')).all(`told-${header}`)).toEqual([`filter saw ${value}`]);
      upstream.seen.length = 0;
    },
  );
}
