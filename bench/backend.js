// The upstream of the streaming cases: GET /large is a body of lower-case letters, GET /check a small one. GET /echo is what
// a filter fetches in place of a call.
import { createServer } from 'node:http';

const LARGE = 64 * 1024 * 1024;
const PIECE = Buffer.alloc(256 * 1024, 'abcdefghijklmnopqrstuvwxyz .,:0123456789\n');

const server = createServer((request, response) => {
  if (request.url === '/echo') return response.end('1');
  if (request.url === '/check') return response.end('Check 1 check');
  response.writeHead(200, { 'content-length': LARGE });
  let left = LARGE;
  const write = () => {
    while (left > 0) {
      left -= PIECE.length;
      if (!response.write(PIECE)) return;
    }
    response.end();
  };
  response.on('drain', write).on('error', () => {});
  write();
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
