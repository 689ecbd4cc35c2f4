/** What `dev` puts behind Envoy where no upstream is named: it says in JSON what has come. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

const MOST_SHOWN = 64 * 1024;

export interface Backend {
  readonly port: number;
  close(): void;
}

export async function startBackend(): Promise<Backend> {
  const server: Server = createServer((request, response) => {
    const { method, url, headers } = request;
    let body = '';
    request.setEncoding('utf8').on('data', (piece: string) => {
      if (body.length < MOST_SHOWN) body += piece;
    });
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify({ method, url, headers, body: body.slice(0, MOST_SHOWN) }, null, 2)}\n`);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
