// The demo's upstream: GET says hello, anything else comes back as it was sent.
import { createServer } from 'node:http';

createServer((request, response) => {
  if (request.method === 'GET' || request.method === 'HEAD') {
    response.setHeader('content-type', 'text/plain').end('hola mundo :)\n');
  } else {
    response.setHeader('content-type', request.headers['content-type'] ?? 'application/octet-stream');
    request.pipe(response);
  }
}).listen(Number(process.argv[2] ?? 8080), '127.0.0.1');

process.once('SIGTERM', () => process.exit(0));
