/** StreamInfo: names for what Envoy's attributes tell. Asked when called, for most change during a stream. */
import type { Attribute, AttributeTypes } from './attributes.js';
import { FilterError } from './errors.js';
import type { ConnectionInfo, StreamInfo } from './types-callbacks.js';
import type { Json } from './types-data.js';

/** undefined = Envoy has no value. */
export type Ask = <K extends Attribute>(name: K) => Promise<AttributeTypes[K] | undefined>;

export function notYet(call: string): FilterError {
  return new FilterError('TSF_NOT_YET', `${call}: this version of the module cannot do that yet`);
}

export class StreamInfoImpl implements StreamInfo {
  readonly workerId: number;
  readonly #ask: Ask;

  constructor(workerId: number, ask: Ask) {
    this.workerId = workerId;
    this.#ask = ask;
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
  upstreamLocalAddress(): Promise<string | undefined> {
    return this.#text('upstream.local_address');
  }
  upstreamRemoteAddress(): Promise<string | undefined> {
    return this.#text('upstream.address');
  }
  upstreamClusterName(): Promise<string | undefined> {
    return this.#text('xds.cluster_name');
  }
  // Envoy's module interface answers this attribute with the virtual cluster's name.
  virtualClusterName(): Promise<string | undefined> {
    return this.#text('xds.virtual_host_name');
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
      get: (): Promise<{ [key: string]: Json }> => Promise.reject(notYet('streamInfo().dynamicMetadata.get()')),
      set: (): void => {
        throw notYet('streamInfo().dynamicMetadata.set()');
      },
    };
  }

  get filterState(): StreamInfo['filterState'] {
    return {
      getString: (): Promise<string | undefined> => Promise.reject(notYet('streamInfo().filterState.getString()')),
      setString: (): void => {
        throw notYet('streamInfo().filterState.setString()');
      },
    };
  }

  drainConnectionUponCompletion(): void {
    throw notYet('streamInfo().drainConnectionUponCompletion()');
  }

  /** Envoy has no empty names: '' is its way to say that there is none. */
  async #text<K extends Attribute>(name: K): Promise<AttributeTypes[K] | undefined> {
    const value = await this.#ask(name);
    return value === '' ? undefined : value;
  }
}
