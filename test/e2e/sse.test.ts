/** Server-sent events come one by one as they are sent, however the filter cuts them. */
import { describe, expect, it } from 'vitest';
import { http1, http2, type Response } from '../fixture/index.js';
import { logsOnFailure, stage } from './support.js';

const EVENTS = 20;
const LATE_MS = 50;

interface Arrival {
  id: number;
  late: number;
}

/** When each whole event was at the client, against the time that the upstream wrote into it. */
function watch() {
  let text = '';
  const arrivals: Arrival[] = [];
  return {
    arrivals,
    onPiece(piece: Buffer): void {
      text += piece.toString('utf8');
      const now = performance.timeOrigin + performance.now();
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        const data = /"i":(\d+),"at":([\d.]+)/.exec(event);
        if (data !== null) arrivals.push({ id: Number(data[1]), late: now - Number(data[2]) });
      }
    },
  };
}

describe.each(['http1', 'http2'] as const)('events over %s', (protocol) => {
  const exchange = protocol === 'http1' ? http1 : http2;
  const at = stage({ filters: [{ name: 'sse' }, { name: 'twice' }], upstream: { protocol } });
  const alone = stage({ filters: [{ name: 'sse' }], upstream: { protocol } });

  async function run(port: number, events = EVENTS): Promise<{ answer: Response; arrivals: Arrival[] }> {
    const { arrivals, onPiece } = watch();
    const answer = await exchange(port, { path: `/sse?n=${events}&ms=60&hold=200`, onPiece });
    return { answer, arrivals };
  }

  it.each([
    { name: 'through the demo filter', port: () => alone.port },
    { name: 'when a filter yields twice an event, 15 ms apart', port: () => at.port },
  ])(`each within ${LATE_MS} ms: $name`, async ({ port }) => {
    logsOnFailure(at);
    await run(port(), 2); // the first transform of a process is compiled
    const { answer, arrivals } = await run(port());
    expect([answer.status, answer.broken]).toEqual([200, '']);
    expect(arrivals.map(({ id }) => id)).toEqual(Array.from({ length: EVENTS }, (_, i) => i));
    const late = arrivals.filter((arrival) => arrival.late > LATE_MS);
    expect(late, JSON.stringify(arrivals)).toEqual([]);
  });
});
