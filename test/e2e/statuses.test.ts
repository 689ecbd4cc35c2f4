/** Every status from every hook that may not answer it, and calls at the wrong time: what the client and Envoy see. */
import { describe, expect, it } from 'vitest';
import { eventually, http1, type Line, type Response } from '../fixture/index.js';
import { panics } from './go/support.js';
import { logsOnFailure, stage } from './support.js';

const S = { Running: 0, LocalReply: 1, Continue: 2, StopAndBuffer: 3, StopAndBufferWatermark: 4, StopNoBuffer: 5 };
const AUTHOR_ERROR = 'error happened in filter\r\n';
const TRAILERS: Line[] = [['x-trailer', 'there']];

const at = stage({ filters: [{ name: 'statuses', options: { message_timeout: '0.4s' } }] });

const post = (query: string): Promise<Response> =>
  http1(at.port, {
    method: 'POST',
    path: `/echo?trailers=1&${query}`,
    body: ['first ', 5, 'second'],
    trailers: TRAILERS,
  });

describe.each(['', '&async'])('an answer%s', (style) => {
  it.each([
    ['decodeHeaders', S.StopNoBuffer],
    ['decodeHeaders', S.LocalReply],
    ['decodeHeaders', 7],
    ['decodeHeaders', -1],
    ['decodeHeaders', 1.5],
    ['decodeData', S.LocalReply],
    ['decodeData', 6],
    ['encodeHeaders', S.StopNoBuffer],
    ['encodeHeaders', S.LocalReply],
    ['encodeHeaders', 7],
  ])('%s: %d fails the stream with 500', async (hook, status) => {
    logsOnFailure(at);
    const answer = await post(`${hook}=${status}${style}`);
    expect([answer.status, answer.text, answer.complete]).toEqual([500, AUTHOR_ERROR, true]);
  });

  it.each([
    ['decodeTrailers', S.StopAndBuffer],
    ['decodeTrailers', S.StopNoBuffer],
    ['encodeData', 9],
    ['encodeTrailers', S.StopAndBufferWatermark],
    ['encodeTrailers', 7],
  ])('%s: %d fails it where it is: 500, or a reset once the response has begun', async (hook, status) => {
    logsOnFailure(at);
    const answer = await post(`${hook}=${status}${style}`);
    const outcome = answer.status === 500 ? answer.text : answer.complete ? 'complete' : 'cut';
    expect(['cut', AUTHOR_ERROR]).toContain(outcome);
  });

  it.each(['decodeHeaders', 'encodeHeaders'])(
    '%s: StopAndBuffer or StopAndBufferWatermark where no body comes fails it with 500',
    async (hook) => {
      logsOnFailure(at);
      for (const status of [S.StopAndBuffer, S.StopAndBufferWatermark]) {
        const answer = await http1(at.port, { path: `/status?code=204&${hook}=${status}${style}` });
        expect([answer.status, answer.text]).toEqual([500, AUTHOR_ERROR]);
      }
    },
  );

  it.each([
    ['decodeHeaders', S.Continue, 'first second'],
    ['decodeHeaders', S.StopAndBuffer, 'first second'],
    ['decodeHeaders', S.StopAndBufferWatermark, 'first second'],
    ['decodeData', S.StopAndBuffer, 'first second'],
    ['decodeData', S.StopAndBufferWatermark, 'first second'],
    ['decodeData', S.StopNoBuffer, ''],
    ['encodeHeaders', S.StopAndBuffer, 'first second'],
    ['encodeData', S.StopAndBufferWatermark, 'first second'],
    ['encodeData', S.StopNoBuffer, ''],
    ['encodeTrailers', S.Continue, 'first second'],
  ])('%s: %d goes on', async (hook, status, body) => {
    logsOnFailure(at);
    const answer = await post(`${hook}=${status}${style}`);
    expect([answer.status, answer.text, answer.broken]).toEqual([200, body, '']);
    expect(answer.trailers).toContainEqual(TRAILERS[0]);
  });
});

describe('Running without a continue()', () => {
  it.each(['decodeHeaders', 'encodeHeaders'])('from %s ends with 504 after message_timeout', async (hook) => {
    logsOnFailure(at);
    const path = `/echo?trailers=1&${hook}=${S.Running}`;
    const answer = await http1(at.port, { method: 'POST', path, body: 'a' });
    expect([answer.status, answer.complete]).toEqual([504, true]);
    expect((await at.fx.logged(path)).details).toContain('ts_filter_timeout');
  });

  it('from encodeTrailers ends with a reset, or with 504 while the headers still wait', async () => {
    logsOnFailure(at);
    const answer = await post(`encodeTrailers=${S.Running}`);
    expect([
      [200, false],
      [504, true],
    ]).toContainEqual([answer.status, answer.complete]);
  });
});

it('each mistake counts as one panic', async () => {
  const before = await panics(at.fx);
  await post(`decodeHeaders=${S.StopNoBuffer}`);
  await eventually('the panic is counted', async () => (await panics(at.fx)) > before);
  expect(await panics(at.fx)).toBe(before + 1);
});

const told = (what: string) =>
  eventually(`"${what}" in the log`, () => at.fx.host.records.find((one) => one['what'] === what));

it('continue() works once: the second throws TSF_NOT_RUNNING, and the stream goes on', async () => {
  logsOnFailure(at);
  const answer = await post('twice');
  expect([answer.status, answer.text, answer.broken]).toEqual([200, 'first second', '']);
  expect(await told('twice')).toMatchObject({
    threw: 'TSF_NOT_RUNNING',
    message: expect.stringContaining('continue()'),
  });
});

it('calls after the end throw TSF_STREAM_ENDED, which names the call and the phase', async () => {
  logsOnFailure(at);
  await post('late');
  for (const [what, call] of [
    ['late reply', 'sendLocalReply()'],
    ['late continue', 'continue()'],
    ['late data', 'addData()'],
  ] as const) {
    expect(await told(what)).toMatchObject({
      threw: 'TSF_STREAM_ENDED',
      message: `${call} in onDestroy: the stream has ended`,
      phase: 'onDestroy',
    });
  }
});
