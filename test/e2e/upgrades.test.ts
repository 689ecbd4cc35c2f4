/** Upgraded streams under hooks that hold headers: each side may wait for the other's, so that the time is bounded. */
import { describe, expect, it } from 'vitest';
import { Connection, within } from '../fixture/index.js';
import { logsOnFailure, stage } from './support.js';

const STOP_AND_BUFFER = 3;
const STOP_AND_BUFFER_WATERMARK = 4;
const TIMEOUT_MS = 600;

describe('StopAndBuffer with upgrades: true', () => {
  const at = stage({
    filters: [{ name: 'statuses', options: { upgrades: true, message_timeout: `${TIMEOUT_MS}ms` } }],
    edges: true,
  });
  const handshake = async (query: string, early = '') => {
    const connection = await Connection.open(at.port);
    await connection.write(
      `GET /chat?${query} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: a\r\n\r\n${early}`,
    );
    return connection;
  };

  describe.each([STOP_AND_BUFFER, STOP_AND_BUFFER_WATERMARK])('status %i', (status) => {
    it.each(['decodeHeaders', 'encodeHeaders'])('from %s is a 504 after message_timeout', async (hook) => {
      logsOnFailure(at);
      for (const more of ['', '&async']) {
        const path = `/chat?${hook}=${status}${more}`;
        const started = performance.now();
        const connection = await handshake(`${hook}=${status}${more}`);
        try {
          const answer = await within(5_000, 'an answer', connection.readResponse({ path }));
          expect([answer.status, answer.text]).toEqual([504, 'ts_filter_timeout']);
          expect(performance.now() - started).toBeGreaterThan(TIMEOUT_MS - 50);
          expect((await at.fx.logged(path)).details).toBe('ts_filter_timeout');
        } finally {
          connection.close();
        }
      }
    });
  });

  it('what does not hold the headers is not timed', async () => {
    logsOnFailure(at);
    const connection = await handshake('free');
    try {
      expect((await connection.readHead()).status).toBe(101);
      await new Promise((resolve) => setTimeout(resolve, 2 * TIMEOUT_MS));
      await connection.write('ping');
      const echo = await within(5_000, 'the echo', connection.readExactly(4));
      expect(echo.toString()).toBe('ping');
    } finally {
      connection.close();
    }
  });
});
