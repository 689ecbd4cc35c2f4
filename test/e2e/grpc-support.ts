/** Envoy between a gRPC client and a gRPC server, for a describe block. */
import { afterAll, beforeAll } from 'vitest';
import {
  GrpcClient,
  startEnvoy,
  startGrpcServer,
  type EnvoyOptions,
  type Fixture,
  type GrpcServer,
} from '../fixture/index.js';

export interface GrpcStage {
  readonly fx: Fixture;
  readonly port: number;
  readonly client: GrpcClient;
  readonly server: GrpcServer;
}

export function grpcStage(options: Omit<EnvoyOptions, 'upstream'>): GrpcStage {
  let up: GrpcStage | undefined;
  let server: GrpcServer | undefined;
  let fx: Fixture | undefined;
  beforeAll(async () => {
    server = await startGrpcServer();
    fx = await startEnvoy({ ...options, upstream: server });
    up = { fx, port: fx.port, client: new GrpcClient(fx.port), server };
  });
  afterAll(async () => {
    up?.client.close();
    try {
      await fx?.stop();
    } finally {
      await server?.close();
    }
  });
  const get = (): GrpcStage => {
    if (up === undefined) throw new Error('the stage is not up');
    return up;
  };
  return {
    get fx() {
      return get().fx;
    },
    get port() {
      return get().port;
    },
    get client() {
      return get().client;
    },
    get server() {
      return get().server;
    },
  };
}
