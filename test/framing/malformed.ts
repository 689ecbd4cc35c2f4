/** Requests that Envoy refuses before, or while, a filter sees them. */
import { commonLines, pathOf } from './seen.js';
import type { Exchange, Malformed } from './plan.js';

const LARGE = 70_000;

export function malformedHead(kind: Malformed, exchange: Exchange, key: string): string {
  const path = pathOf(exchange, key);
  const common = commonLines(exchange, key)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  const lines = `host: test.local\r\n${common}`;
  switch (kind) {
    case 'request line':
      return `NO ${path} REQUEST LINE\r\n${lines}\r\n`;
    case 'both lengths':
      return `POST ${path} HTTP/1.1\r\n${lines}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`;
    case 'two lengths':
      return `POST ${path} HTTP/1.1\r\n${lines}content-length: 3\r\ncontent-length: 4\r\n\r\nabc`;
    case 'length no number':
      return `GET ${path} HTTP/1.1\r\n${lines}content-length: abc\r\n\r\n`;
    case 'large headers':
      return `GET ${path} HTTP/1.1\r\n${lines}x-large: ${'y'.repeat(LARGE)}\r\n\r\n`;
    case 'no header line':
      return `GET ${path} HTTP/1.1\r\n${lines}no header line\r\n\r\n`;
    case 'no host':
      return `GET ${path} HTTP/1.1\r\n${common}\r\n`;
    case 'unknown coding':
      return `POST ${path} HTTP/1.1\r\n${lines}transfer-encoding: gzip\r\n\r\n`;
    case 'relative path':
      return `GET no-slash HTTP/1.1\r\n${lines}\r\n`;
    case 'bad chunk':
      return `POST ${path} HTTP/1.1\r\n${lines}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n\r\n`;
  }
}
