/** The servers that the pausing filters wait for. Every answer takes a few milliseconds. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { generateKeyPairSync, sign } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { loadPackageDefinition, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { root } from '../fixture/paths.js';
import { sleep } from '../../src/testing/envoy/wait.js';

const GRPC_MS = 8;
const JWKS_MS = 15;

export interface Peers {
  readonly httpPort: number;
  readonly grpcPort: number;
  /** The value of `authorization` that jwt_authn lets pass. */
  readonly authorization: string;
  close(): Promise<void>;
}

/** A key set and a token signed with its key. */
function makeToken() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const text = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${text({ alg: 'ES256', typ: 'JWT', kid: 'torture' })}.${text({ iss: 'torture', exp: 4_102_444_800 })}`;
  const signature = sign('sha256', Buffer.from(head), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'torture', alg: 'ES256', use: 'sig' };
  return { jwks: JSON.stringify({ keys: [jwk] }), authorization: `Bearer ${head}.${signature.toString('base64url')}` };
}

async function startHttp(jwks: string) {
  const answer = async (req: IncomingMessage, res: ServerResponse) => {
    for await (const _piece of req);
    const path = req.url ?? '';
    const wait = /^\/wait\/(\d+)/.exec(path)?.[1];
    await sleep(wait === undefined ? Math.random() * JWKS_MS : Number(wait));
    res.writeHead(200, { 'content-type': 'application/json' }).end(path === '/jwks' ? jwks : '');
  };
  const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
    req.on('error', () => undefined);
    answer(req, res).catch(() => res.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

interface Body {
  body?: Buffer;
  end_of_stream?: boolean;
}
type Phase =
  'request_headers' | 'response_headers' | 'request_body' | 'response_body' | 'request_trailers' | 'response_trailers';
type ProcessingRequest = { request: Phase } & Partial<Record<Phase, Body>>;

/** Lets everything pass as it is, in its order, each message after a while. */
function process(call: ServerDuplexStream<ProcessingRequest, object>): void {
  const duplex = call.metadata.get('x-mode')[0] === 'FULL_DUPLEX_STREAMED';
  let last = Promise.resolve();
  const answer = (message: ProcessingRequest): object => {
    const phase = message.request;
    if (!phase.endsWith('_body') || !duplex) return { [phase]: phase.endsWith('trailers') ? {} : { response: {} } };
    const { body = Buffer.alloc(0), end_of_stream = false } = message[phase] ?? {};
    return { [phase]: { response: { body_mutation: { streamed_response: { body, end_of_stream } } } } };
  };
  call.on('data', (message: ProcessingRequest) => {
    last = last.then(async () => {
      await sleep(Math.random() * GRPC_MS);
      if (!call.cancelled) call.write(answer(message));
    });
  });
  call.on('end', () => void last.then(() => call.end()));
  call.on('error', () => undefined);
}

async function startGrpc() {
  const proto = loadSync(join(root, 'bench', 'peers', 'ext_proc', 'ext_proc.proto'), {
    keepCase: true,
    oneofs: true,
  });
  type Api = { envoy: { service: { ext_proc: { v3: { ExternalProcessor: { service: never } } } } } };
  const api = loadPackageDefinition(proto) as unknown as Api;
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(api.envoy.service.ext_proc.v3.ExternalProcessor.service, { Process: process });
  const bytes = (value: Buffer) => value;
  const shouldRateLimit = {
    path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  server.addService({ shouldRateLimit }, {
    shouldRateLimit: (_call: unknown, callback: (error: null, answer: Buffer) => void) => {
      // RateLimitResponse { overall_code: OK }
      setTimeout(() => callback(null, Buffer.from([0x08, 0x01])), Math.random() * GRPC_MS);
    },
  } as never);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, port };
}

export async function startPeers(): Promise<Peers> {
  const { jwks, authorization } = makeToken();
  const http = await startHttp(jwks);
  const grpc = await startGrpc();
  return {
    httpPort: (http.address() as AddressInfo).port,
    grpcPort: grpc.port,
    authorization,
    close: async () => {
      grpc.server.forceShutdown();
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    },
  };
}
