/** StreamInfo: names for what Envoy's attributes tell. Asked when called, for most change during a stream. */
import type { Attribute, AttributeTypes } from '../api/attributes.js';
import { FilterError } from '../api/errors.js';
import { metadataValue, pairBlock } from './metadata.js';
import type { Envoy } from './envoy.js';
import { type Life, WRITE_EARLIER } from './life.js';
import type { ConnectionInfo, StreamInfo } from '../api/types-callbacks.js';
import type { Json } from '../api/types-data.js';
import { ActKind, Capability, MetadataType, QueryKind, type StreamStart } from '../base/wire.js';

const NO_BYTES = new Uint8Array(0);
/** Asked for like an attribute, but none of Envoy's; cpp/core/mount.h has the same number. */
const VIRTUAL_CLUSTER = 1000;

/** What StreamInfo needs of its stream. */
export interface InfoPort {
  readonly life: Life;
  readonly envoy: Envoy;
  readonly start: Pick<StreamStart, 'workerId'>;
  /** Bits of Capability. */
  readonly config: { readonly capabilities: number };
}

export class StreamInfoImpl implements StreamInfo {
  readonly #stream: InfoPort;

  constructor(stream: InfoPort) {
    this.#stream = stream;
  }

  get workerId(): number {
    return this.#stream.start.workerId;
  }

  routeName(): Promise<string | undefined> {
    return this.#text('xds.route_name');
  }
  filterChainName(): Promise<string | undefined> {
    return this.#text('xds.filter_chain_name');
  }
  protocol(): Promise<string | undefined> {
    return this.#text('request.protocol');
  }
  responseCode(): Promise<number | undefined> {
    return this.#ask('response.code');
  }
  responseCodeDetails(): Promise<string | undefined> {
    return this.#text('response.code_details');
  }
  attemptCount(): Promise<number | undefined> {
    return this.#ask('upstream.request_attempt_count');
  }
  downstreamLocalAddress(): Promise<string | undefined> {
    return this.#text('destination.address');
  }
  downstreamRemoteAddress(): Promise<string | undefined> {
    return this.#text('source.address');
  }
  async downstreamRemoteAddressWithoutPort(): Promise<string | undefined> {
    const address = await this.downstreamRemoteAddress();
    // Envoy writes [::1]:80 and 127.0.0.1:80; a unix socket's path has no port.
    return address === undefined
      ? undefined
      : (/^(?:\[([^\]]*)\]|([\d.]+)):\d+$/.exec(address)?.slice(1).find(Boolean) ?? address);
  }
  upstreamLocalAddress(): Promise<string | undefined> {
    return this.#text('upstream.local_address');
  }
  upstreamRemoteAddress(): Promise<string | undefined> {
    return this.#text('upstream.address');
  }
  upstreamClusterName(): Promise<string | undefined> {
    return this.#text('xds.cluster_name');
  }
  virtualClusterName(): Promise<string | undefined> {
    this.#check('virtualClusterName()');
    return this.#stream.envoy.query(QueryKind.Attribute, VIRTUAL_CLUSTER, NO_BYTES, utf8);
  }

  async downstreamSslConnection(): Promise<ConnectionInfo | undefined> {
    const tlsVersion = await this.#text('connection.tls_version');
    if (tlsVersion === undefined) return undefined;
    const [mtls, serverName, subjectPeer, subjectLocal, uriPeer, uriLocal, dnsPeer, dnsLocal, digest] =
      await Promise.all([
        this.#ask('connection.mtls'),
        this.#text('connection.requested_server_name'),
        this.#text('connection.subject_peer_certificate'),
        this.#text('connection.subject_local_certificate'),
        this.#text('connection.uri_san_peer_certificate'),
        this.#text('connection.uri_san_local_certificate'),
        this.#text('connection.dns_san_peer_certificate'),
        this.#text('connection.dns_san_local_certificate'),
        this.#text('connection.sha256_peer_certificate_digest'),
      ]);
    return {
      mtls: mtls === true,
      tlsVersion,
      serverName,
      subjectPeerCertificate: subjectPeer,
      subjectLocalCertificate: subjectLocal,
      uriSanPeerCertificate: uriPeer,
      uriSanLocalCertificate: uriLocal,
      dnsSanPeerCertificate: dnsPeer,
      dnsSanLocalCertificate: dnsLocal,
      sha256PeerCertificateDigest: digest,
    };
  }

  get dynamicMetadata(): StreamInfo['dynamicMetadata'] {
    return {
      get: async (ns) => {
        this.#check('dynamicMetadata.get()', ns);
        const found = await this.#stream.envoy.query(QueryKind.Metadata, 0, Buffer.from(ns), (bytes) => {
          return JSON.parse(utf8(bytes)) as { [key: string]: Json };
        });
        return found ?? {};
      },
      set: (ns, key, value) => {
        this.#checkWrite('dynamicMetadata.set()', ns, key);
        const { config, envoy } = this.#stream;
        const nested = (config.capabilities & Capability.NestedMetadata) !== 0;
        const { type, number, bytes } = metadataValue(key, value, nested);
        if (type === MetadataType.Struct && !nested) {
          throw unsupported(
            'dynamicMetadata.set()',
            'null, objects and lists that are empty or of several types need Envoy 1.40; numbers, strings, booleans and lists of one of them do not',
          );
        }
        envoy.act(ActKind.SetMetadata, type, 0, number, pairBlock(ns, key, bytes));
      },
    };
  }

  get filterState(): StreamInfo['filterState'] {
    return {
      getString: async (key) => {
        this.#check('filterState.getString()', key);
        return this.#stream.envoy.query(QueryKind.FilterState, 0, Buffer.from(key), utf8);
      },
      setString: (key, value) => {
        this.#checkWrite('filterState.setString()', key, value);
        this.#stream.envoy.act(ActKind.SetFilterState, 0, 0, 0, pairBlock(key, value));
      },
    };
  }

  drainConnectionUponCompletion(): void {
    this.#check('drainConnectionUponCompletion()');
    this.#stream.life.assertDownstream('drainConnectionUponCompletion()');
    this.#stream.envoy.act(ActKind.Drain, 0, 0, 0, NO_BYTES);
  }

  async #ask<K extends Attribute>(name: K): Promise<AttributeTypes[K] | undefined> {
    return this.#stream.envoy.attribute(name, 'streamInfo()');
  }

  #checkWrite(call: string, ...names: string[]): void {
    this.#stream.life.assertAlive(call, WRITE_EARLIER);
    this.#check(call, ...names);
  }

  #check(call: string, ...names: string[]): void {
    this.#stream.life.assertAlive(call);
    for (const name of names) {
      if (typeof name !== 'string')
        throw new FilterError('TSF_ARGUMENT_INVALID', `${call}: names and texts are strings`, this.#stream.life.phase);
    }
  }

  /** Envoy has no empty names: '' is its way to say that there is none. */
  async #text<K extends Attribute>(name: K): Promise<AttributeTypes[K] | undefined> {
    const value = await this.#ask(name);
    return value === '' ? undefined : value;
  }
}

/** For what this Envoy is too old for. */
export function unsupported(call: string, needs: string): FilterError {
  return new FilterError('TSF_UNSUPPORTED', `${call}: ${needs}`);
}

export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
