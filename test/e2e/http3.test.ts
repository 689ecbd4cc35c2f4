/** HTTP/3 into the filter: a second Envoy is the client, with HTTP/1.1 or HTTP/2 in front of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cluster,
  http1,
  http2,
  makeCertificates,
  pattern,
  patternDigest,
  startEnvoy,
  type Config,
  type Fixture,
} from '../fixture/index.js';
import { mapRequest, mapResponse } from './filters/lib/maps.js';
import { logsOnFailure, stage } from './support.js';

const QUIC = 'type.googleapis.com/envoy.extensions.transport_sockets.quic.v3';
const dir = mkdtempSync(join(tmpdir(), 'tsf-certificates-'));
const { ca, server } = makeCertificates(dir);
rmSync(dir, { recursive: true });

/** What makes the listener of a fixture speak HTTP/3. */
const listening = {
  listener: {
    address: { socket_address: { protocol: 'UDP', address: '127.0.0.1', port_value: 0 } },
    udp_listener_config: { quic_options: {} },
  },
  filterChain: {
    transport_socket: {
      name: 'envoy.transport_sockets.quic',
      typed_config: {
        '@type': `${QUIC}.QuicDownstreamTransport`,
        downstream_tls_context: {
          common_tls_context: {
            tls_certificates: [
              { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
            ],
          },
        },
      },
    },
  },
  hcm: { codec_type: 'HTTP3', http3_protocol_options: {} },
};

function quicCluster(port: number): Config {
  const { load_assignment } = cluster('quic', port);
  return {
    ...cluster('quic', port),
    load_assignment,
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http3_protocol_options: {} },
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.quic',
      typed_config: {
        '@type': `${QUIC}.QuicUpstreamTransport`,
        upstream_tls_context: {
          sni: 'server.test.local',
          common_tls_context: { validation_context: { trusted_ca: { inline_string: ca.cert } } },
        },
      },
    },
  };
}

describe.each([
  ['http1', http1],
  ['http2', http2],
] as const)('HTTP/3 downstream, from a client of %s', (_protocol, exchange) => {
  const at = stage({
    ...listening,
    filters: [{ name: 'replies' }, { name: 'trailers' }, { name: 'touch' }],
    upstream: { protocol: 'http2' },
  });
  let front: Fixture | undefined;
  beforeAll(async () => {
    front = await startEnvoy({
      clusters: [quicCluster(at.port)],
      route: { route: { cluster: 'quic', timeout: '0s' } },
    });
  });
  afterAll(() => front?.stop());
  const port = () => front!.port;
  const up = (bytes: Buffer) => Buffer.from(mapRequest(bytes));
  const both = (bytes: Buffer) => Buffer.from(mapResponse(up(bytes)));
  /** A body after the response hooks of `trailers`, which replies pass too. */
  const down = (text: string) => `${Buffer.from(mapResponse(Buffer.from(text))).toString('latin1')}>`;

  it('GET', async () => {
    logsOnFailure(at);
    const answer = await exchange(port(), { path: '/hello' });
    expect([answer.status, answer.text]).toEqual([200, down('hola mundo :)')]);
    expect([answer.header('x-touch-response'), answer.header('x-passed')]).toEqual(['on', 'yes']);
    // what the client spoke to us
    expect(await at.fx.stat('http.main.downstream_rq_http3_total')).toBeGreaterThan(0);
  });

  it('POST: bodies are transformed both ways, of every size', async () => {
    logsOnFailure(at);
    for (const size of [1, 65_536, 2_000_000]) {
      const answer = await exchange(port(), { method: 'POST', path: '/echo', body: pattern(size, 30_000) });
      // the filter puts the number that it has of the trailers behind the body
      const end = Buffer.from(mapResponse(Buffer.from('|none'))).toString('latin1');
      expect([size, answer.status, answer.digest]).toEqual([size, 200, patternDigest(size, both, '', `${end}>`)]);
    }
  });

  it('trailers of both directions', async () => {
    logsOnFailure(at);
    const trailers: [string, string][] = [
      ['x-sum', '42'],
      ['x-removed', 'yes'],
    ];
    const answer = await exchange(port(), { method: 'POST', path: '/echo?trailers=1', body: ['some body'], trailers });
    const end = Buffer.from(mapResponse(Buffer.from('|42'))).toString('latin1');
    expect([answer.status, answer.text]).toEqual([200, `${both(Buffer.from('some body')).toString('latin1')}${end}>`]);
    expect([answer.trailer('x-sum'), answer.trailer('x-decoded'), answer.trailer('x-removed')]).toEqual([
      '42',
      'yes',
      undefined,
    ]);
    expect([answer.trailer('x-upstream-trailer'), answer.trailer('x-encoded')]).toEqual(['there', 'yes']);
  });

  it('a local reply, also in the middle of an upload', async () => {
    logsOnFailure(at);
    const answer = await exchange(port(), { path: '/deny?h3' });
    expect([answer.status, answer.text, answer.all('x-reason')]).toEqual([
      403,
      down('forbidden\n'),
      ['first', 'second'],
    ]);
    expect((await at.fx.logged('/deny?h3')).details).toContain('denied_by_test');
    const upload = await exchange(port(), { method: 'POST', path: '/deny', body: ['a', 50, 'b', 50, 'c'] });
    expect([upload.status, upload.text]).toEqual([403, down('forbidden\n')]);
  });

  it('a streamed reply', async () => {
    logsOnFailure(at);
    const answer = await exchange(port(), { path: '/stream?n=4' });
    expect([answer.status, answer.text, answer.broken]).toEqual([200, down('line 0\nline 1\nline 2\nline 3\n'), '']);
  });

  it('a filter that throws', async () => {
    logsOnFailure(at);
    const answer = await exchange(port(), { path: '/throw-later' });
    expect([answer.status, answer.text]).toEqual([500, down('error happened in filter\r\n')]);
  });
});
