/** The Golang filter's small test plugins, and what a connection tells. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import {
  Connection,
  eventually,
  filterPath,
  get,
  http1,
  makeCertificates,
  startUpstream,
  type Config,
  type Line,
} from '../../fixture/index.js';
import { logsOnFailure, stage, withEnvoy } from '../support.js';
import { goCase } from './case.js';
import { Recorder, values } from './support.js';

const POST = { method: 'POST', body: ['hello', 'world'] };

describe('echo', () => {
  const at = stage({ filters: [{ name: 'go-echo', config: { echo_body: 'echo from go', match_path: '/echo' } }] });
  goCase('go/echo', async () => {
    const answer = await http1(at.port, { ...POST, path: '/echo' });
    expect([answer.status, answer.text, answer.complete]).toEqual([403, 'echo from go, path: /echo\r\n', true]);
    expect(at.upstream.seen.size).toBe(0);
  });
});

describe('passthrough', () => {
  const at = stage({ filters: [{ name: 'go-passthrough' }] });
  goCase('go/passthrough', async () => {
    const answer = await http1(at.port, { ...POST, path: '/echo' });
    expect([answer.status, answer.text, answer.complete]).toEqual([200, 'helloworld', true]);
  });
});

// Go lets the request pass and logs an error. Ours refuses what it cannot serve: when Envoy loads the config if the host is
// up by then, else stream by stream, where `failure_mode: open` lets it pass.
goCase('go/unknown-plugin', async () => {
  const upstream = await startUpstream();
  try {
    for (const failure_mode of ['closed', 'open']) {
      const filters = [{ name: 'go-nobody', options: { failure_mode, host_wait: '0s' } }];
      await withEnvoy({ filters, hostPaths: [filterPath('go-echo')], upstream, host: false }, async (fx) => {
        await fx.startHost();
        await eventually('Envoy logs it', () => /no filter is named "go-nobody"/.test(fx.envoy.output));
        const answer = await get(fx.port, '/hello');
        expect([answer.status, answer.text.trim()]).toEqual(
          failure_mode === 'open' ? [200, 'hola mundo :)'] : [500, 'ts_filter_config_rejected'],
        );
      });
    }
    expect(upstream.seen.get('/hello')).toBe(1);
  } finally {
    await upstream.close();
  }
});

describe('no upstream', () => {
  const at = stage({ filters: [{ name: 'go-async-continue' }], route: { route: { cluster: 'nobody' } } });
  goCase('go/continue-without-upstream', async () => {
    logsOnFailure(at);
    for (let i = 0; i < 3; i++) {
      const answer = await get(at.port, '/hello');
      expect([answer.status, answer.text]).toEqual([503, 'no healthy upstream']);
    }
    expect(at.fx.envoy.running).toBe(true);
  });
});

describe('drain', () => {
  const at = stage({ filters: [{ name: 'go-drain' }] });
  goCase('go/drain', async () => {
    logsOnFailure(at);
    const connection = await Connection.open(at.port);
    try {
      const kept = await connection.request({ path: '/hello' });
      expect([kept.status, kept.header('connection')]).toEqual([200, undefined]);
      const drained = await connection.request({ path: '/drain' });
      expect([drained.status, drained.header('connection')]).toEqual([200, 'close']);
    } finally {
      connection.close();
    }
  });
});

describe('TLS facts on a plaintext connection', () => {
  const upstream = new Recorder();
  const at = stage({
    filters: [{ name: 'go-ssl' }],
    upstream: { paths: { '/test': upstream.handler((_req, res) => void res.end()) } },
  });
  goCase('go/tls/plaintext', async () => {
    logsOnFailure(at);
    expect((await get(at.port, '/test')).status).toBe(200);
    const { headers } = upstream.one();
    expect(values(headers, 'x-ssl-tested')).toEqual(['no-ssl']);
    expect(headers.filter(([name]) => /^x-(cert|tls|cipher)/.test(name))).toEqual([]);
  });
});

describe('TLS facts of mTLS', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsf-certificates-'));
  const { ca, server, client } = makeCertificates(dir);
  afterAll(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const upstream = new Recorder();
  const told = {
    'cert.serial': '%DOWNSTREAM_PEER_SERIAL%',
    'cert.issuer': '%DOWNSTREAM_PEER_ISSUER%',
    'cert.valid-from': '%DOWNSTREAM_PEER_CERT_V_START(%s)%',
    'cert.expiration': '%DOWNSTREAM_PEER_CERT_V_END(%s)%',
    'tls.cipher': '%DOWNSTREAM_TLS_CIPHER%',
  };
  const at = stage({
    filters: [
      {
        name: 'envoy.filters.http.set_filter_state',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config',
          on_request_headers: Object.entries(told).map(([object_key, inline_string]) => ({
            object_key,
            factory_key: 'envoy.string',
            format_string: { text_format_source: { inline_string } },
          })),
        },
      },
      { name: 'go-ssl' },
    ],
    filterChain: {
      transport_socket: {
        name: 'envoy.transport_sockets.tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          require_client_certificate: true,
          common_tls_context: {
            tls_certificates: [
              { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
            ],
            validation_context: { trusted_ca: { inline_string: ca.cert } },
          },
        } satisfies Config,
      },
    },
    upstream: { paths: { '/test': upstream.handler((_req, res) => void res.end()) } },
  });

  async function facts(): Promise<readonly Line[]> {
    const connection = await Connection.openTls(at.port, {
      ca: ca.cert,
      cert: client.cert,
      key: client.key,
      servername: 'server.test.local',
    });
    try {
      expect((await connection.request({ path: '/test' })).status).toBe(200);
    } finally {
      connection.close();
    }
    return upstream.one().headers;
  }

  goCase('go/tls/mtls', async () => {
    logsOnFailure(at);
    const headers = await facts();
    const expected = {
      'x-ssl-tested': 'yes',
      'x-cert-mtls': 'true',
      'x-cert-digest': client.digest,
      'x-cert-subject': 'CN=client,O=ts-filter tests',
      'x-cert-subject-local': 'CN=server,O=ts-filter tests',
      'x-cert-dns-san': 'client.test.local',
      'x-cert-dns-san-local': 'server.test.local',
      'x-cert-uri-san': 'spiffe://test.local/client',
      'x-cert-uri-san-local': 'spiffe://test.local/server',
      'x-tls-version': 'TLSv1.3',
    };
    const names = Object.keys(expected);
    expect(Object.fromEntries(names.map((name) => [name, values(headers, name).join()]))).toEqual(expected);
  });

  /** Serial, issuer, validity, cipher: as Envoy's set_filter_state before ours puts them into filter state. */
  async function details(): Promise<void> {
    logsOnFailure(at);
    const headers = await facts();
    const seconds = (date: string): string => String(Date.parse(date) / 1000);
    const expected = {
      'x-cert-serial': client.x509.serialNumber.toLowerCase(),
      'x-cert-issuer': 'CN=ca,O=ts-filter tests',
      'x-cert-valid-from': seconds(client.x509.validFrom),
      'x-cert-expiration': seconds(client.x509.validTo),
      'x-cipher-suite': 'TLS_AES_256_GCM_SHA384',
    };
    const names = Object.keys(expected);
    expect(Object.fromEntries(names.map((name) => [name, values(headers, name).join()]))).toEqual(expected);
  }
  goCase('go/tls/mtls-certificate-details', details, details);
});
