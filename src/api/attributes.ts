/**
 * Envoy's attributes: names, types, and the numbers by which the module asks for them. The numbers are positions in
 * Envoy's own list (1.38 to 1.40 agree) and never change there, new ones are added at the end.
 */
import { u32 } from '../base/header-block.js';

/**
 * One entry per attribute that Envoy's module interface has a name for. Which of them have a value differs by version
 * and phase; those that are maps in Envoy (`request.headers`, metadata …) never have one here.
 *
 * @example
 * type Port = AttributeTypes['source.port']; // number
 * const port: Port = await callbacks.getProperty('source.port');
 */
export interface AttributeTypes {
  'request.path': string;
  'request.url_path': string;
  'request.host': string;
  'request.scheme': string;
  'request.method': string;
  'request.headers': string;
  'request.referer': string;
  'request.useragent': string;
  'request.time': string;
  'request.id': string;
  'request.protocol': string;
  'request.query': string;
  'request.duration': number;
  /** Bytes of the body so far. */
  'request.size': number;
  'request.total_size': number;
  'response.code': number;
  'response.code_details': string;
  'response.flags': number;
  'response.grpc_status': number;
  'response.headers': string;
  'response.trailers': string;
  'response.size': number;
  'response.total_size': number;
  'response.backend_latency': number;
  /** `address:port`, and another port for each connection of a client. Without it:
   *  `streamInfo().downstreamRemoteAddressWithoutPort()`. */
  'source.address': string;
  'source.port': number;
  /** `address:port`. */
  'destination.address': string;
  'destination.port': number;
  'connection.id': number;
  'connection.mtls': boolean;
  'connection.requested_server_name': string;
  'connection.tls_version': string;
  'connection.subject_local_certificate': string;
  'connection.subject_peer_certificate': string;
  'connection.dns_san_local_certificate': string;
  'connection.dns_san_peer_certificate': string;
  'connection.uri_san_local_certificate': string;
  'connection.uri_san_peer_certificate': string;
  'connection.sha256_peer_certificate_digest': string;
  'connection.transport_failure_reason': string;
  'connection.termination_details': string;
  /** `address:port`. */
  'upstream.address': string;
  'upstream.port': number;
  'upstream.tls_version': string;
  'upstream.subject_local_certificate': string;
  'upstream.subject_peer_certificate': string;
  'upstream.dns_san_local_certificate': string;
  'upstream.dns_san_peer_certificate': string;
  'upstream.uri_san_local_certificate': string;
  'upstream.uri_san_peer_certificate': string;
  'upstream.sha256_peer_certificate_digest': string;
  'upstream.local_address': string;
  'upstream.transport_failure_reason': string;
  'upstream.request_attempt_count': number;
  'upstream.cx_pool_ready_duration': number;
  'upstream.locality': string;
  'xds.node': string;
  'xds.cluster_name': string;
  'xds.cluster_metadata': string;
  'xds.listener_direction': number;
  'xds.listener_metadata': string;
  'xds.route_name': string;
  'xds.route_metadata': string;
  'xds.virtual_host_name': string;
  'xds.virtual_host_metadata': string;
  'xds.upstream_host_metadata': string;
  'xds.filter_chain_name': string;
  health_check: boolean;
}
/**
 * The name of an attribute.
 *
 * @example
 * const wanted: readonly Attribute[] = ['request.method', 'source.address'];
 * const facts = await Promise.all(wanted.map((name) => callbacks.getProperty(name)));
 */
export type Attribute = keyof AttributeTypes;

type Kind<T> = T extends string ? 'string' : T extends number ? 'int' : 'bool';
/** Listed in Envoy's order: the position is the id. */
const KINDS: { readonly [K in Attribute]: Kind<AttributeTypes[K]> } = {
  'request.path': 'string',
  'request.url_path': 'string',
  'request.host': 'string',
  'request.scheme': 'string',
  'request.method': 'string',
  'request.headers': 'string',
  'request.referer': 'string',
  'request.useragent': 'string',
  'request.time': 'string',
  'request.id': 'string',
  'request.protocol': 'string',
  'request.query': 'string',
  'request.duration': 'int',
  'request.size': 'int',
  'request.total_size': 'int',
  'response.code': 'int',
  'response.code_details': 'string',
  'response.flags': 'int',
  'response.grpc_status': 'int',
  'response.headers': 'string',
  'response.trailers': 'string',
  'response.size': 'int',
  'response.total_size': 'int',
  'response.backend_latency': 'int',
  'source.address': 'string',
  'source.port': 'int',
  'destination.address': 'string',
  'destination.port': 'int',
  'connection.id': 'int',
  'connection.mtls': 'bool',
  'connection.requested_server_name': 'string',
  'connection.tls_version': 'string',
  'connection.subject_local_certificate': 'string',
  'connection.subject_peer_certificate': 'string',
  'connection.dns_san_local_certificate': 'string',
  'connection.dns_san_peer_certificate': 'string',
  'connection.uri_san_local_certificate': 'string',
  'connection.uri_san_peer_certificate': 'string',
  'connection.sha256_peer_certificate_digest': 'string',
  'connection.transport_failure_reason': 'string',
  'connection.termination_details': 'string',
  'upstream.address': 'string',
  'upstream.port': 'int',
  'upstream.tls_version': 'string',
  'upstream.subject_local_certificate': 'string',
  'upstream.subject_peer_certificate': 'string',
  'upstream.dns_san_local_certificate': 'string',
  'upstream.dns_san_peer_certificate': 'string',
  'upstream.uri_san_local_certificate': 'string',
  'upstream.uri_san_peer_certificate': 'string',
  'upstream.sha256_peer_certificate_digest': 'string',
  'upstream.local_address': 'string',
  'upstream.transport_failure_reason': 'string',
  'upstream.request_attempt_count': 'int',
  'upstream.cx_pool_ready_duration': 'int',
  'upstream.locality': 'string',
  'xds.node': 'string',
  'xds.cluster_name': 'string',
  'xds.cluster_metadata': 'string',
  'xds.listener_direction': 'int',
  'xds.listener_metadata': 'string',
  'xds.route_name': 'string',
  'xds.route_metadata': 'string',
  'xds.virtual_host_name': 'string',
  'xds.virtual_host_metadata': 'string',
  'xds.upstream_host_metadata': 'string',
  'xds.filter_chain_name': 'string',
  health_check: 'bool',
};
const IDS: ReadonlyMap<string, number> = new Map(Object.keys(KINDS).map((name, id) => [name, id]));

/** Maps and messages in Envoy: modules cannot have them as a value. */
const STRUCTURED: ReadonlySet<string> = new Set([
  'request.headers',
  'response.headers',
  'response.trailers',
  'upstream.locality',
  'xds.node',
  'xds.cluster_metadata',
  'xds.listener_metadata',
  'xds.route_metadata',
  'xds.virtual_host_metadata',
  'xds.upstream_host_metadata',
]);

/** True for a map or a message, which never has a value here. */
export function isStructured(name: string): boolean {
  return STRUCTURED.has(name);
}

/** Envoy's id, undefined when there is no attribute of that name. */
export function attributeId(name: string): number | undefined {
  return IDS.get(name);
}

/** All names, in Envoy's order. */
export function attributeNames(): string[] {
  return [...IDS.keys()];
}

/** In the place of a length. */
const ABSENT = 0xffffffff;

// Headers are latin1 wherever a filter meets them; what operators name in configs is UTF-8.
const FROM_HEADERS = /^request\.(path|url_path|host|scheme|method|referer|useragent|id|query)$/;

/** A value as it crossed: strings raw, integers 8 bytes little endian, booleans one byte. */
export function decodeAttribute(name: Attribute, bytes: Uint8Array): string | number | boolean | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (KINDS[name]) {
    case 'string':
      return buffer.toString(FROM_HEADERS.test(name) ? 'latin1' : 'utf8');
    case 'int':
      // Two halves: exact up to 2^53, and no BigInt is made.
      return bytes.length < 8 ? undefined : buffer.readUInt32LE(0) + buffer.readUInt32LE(4) * 0x1_0000_0000;
    case 'bool':
      return bytes.length < 1 ? undefined : bytes[0] !== 0;
  }
}

/** As decodeAttribute reads it. */
export function encodeAttribute(name: Attribute, value: string | number | boolean): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value, FROM_HEADERS.test(name) ? 'latin1' : 'utf8');
  if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0]);
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value % 0x1_0000_0000, 0);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), 4);
  return bytes;
}

/** The block that decodeAttributes reads. */
export function encodeAttributes(values: readonly (Uint8Array | undefined)[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(value === undefined ? ABSENT : value.length);
      return value === undefined ? [length] : [length, value];
    }),
  );
}

/** Where the entry at `at` of an attribute block ends, no further than the block: {u32 length, bytes}, and no bytes where the
 *  length says absent. */
export function attributeEnd(block: Uint8Array, at: number): number {
  const length = u32(block, at);
  return length === ABSENT ? at + 4 : Math.min(at + 4 + length, block.length);
}

/** The attribute block of a stream's first frame, in the order of `names`; absent ones are undefined. */
export function decodeAttributes(names: readonly Attribute[], block: Uint8Array): { [name: string]: unknown } {
  const values: { [name: string]: unknown } = {};
  let at = 0;
  for (const name of names) {
    values[name] = undefined;
    if (at + 4 > block.length) continue;
    const end = attributeEnd(block, at);
    const isWhole = u32(block, at) === end - at - 4;
    if (isWhole) values[name] = decodeAttribute(name, block.subarray(at + 4, end));
    at = end;
  }
  return values;
}
