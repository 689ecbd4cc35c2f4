/** Local replies, limits and authors' errors in the Golang filter's way. */
import { describe, expect } from 'vitest';
import { eventually, type Config, type Request } from '../../fixture/index.js';
import { logsOnFailure, stage, type Stage } from '../support.js';
import { goCase, goCaseBoth, type Protocol } from './case.js';
import { exchange, panics, Recorder } from './support.js';

const hello = (_req: unknown, res: { writeHead(status: number, headers: Config): { end(text: string): unknown } }) =>
  void res.writeHead(200, { 'x-test-header-0': 'foo' }).end('bye');

describe('local replies', () => {
  const upstream = new Recorder();
  const at = stage({ filters: [{ name: 'go-basic' }], upstream: { paths: { '/test': upstream.handler(hello) } } });

  for (const phase of ['decodeHeaders', 'decodeData'] as const) {
    for (const style of ['', '/async'] as const) {
      goCaseBoth(`go/local-reply/${phase}${style}`, async (protocol) => {
        logsOnFailure(at);
        const path = `/test?local-reply=${phase}${style === '' ? '' : '&async&sleep'}`;
        const answer = await exchange(protocol, at.port, { method: 'POST', path, body: ['hello'] });
        expect([answer.status, answer.complete]).toEqual([403, true]);
        // its own encodeData made capitals of it
        expect(answer.text).toBe(`forbidden from go in ${phase}\r\n`.toUpperCase());
        expect(answer.all('x-two-values')).toEqual(['taz', 'foobar']);
        expect(answer.all('test-phase')).toEqual([phase]);
        expect(answer.all('content-type')).toEqual(['text/html']);
        // and its own encodeHeaders ran
        expect(answer.all('rsp-status')).toEqual(['403']);
        expect(answer.all('newly-added-header')).toEqual(['foo', 'bar']);
        expect(upstream.seen).toEqual([]);
      });
    }
  }
});

describe('a later filter replies', () => {
  const at = stage({
    filters: [
      { name: 'go-basic' },
      {
        name: 'envoy.filters.http.lua',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua',
          default_source_code: {
            inline_string: `
              function envoy_on_request(handle)
                local headers = handle:headers()
                handle:respond({[":status"] = "403"}, "forbidden from lua, original header: " ..
                  (headers:get("x-test-header-0") or "none") .. ", go's header: " ..
                  (headers:get("test-x-set-header-0") or "none"))
              end`,
          },
        },
      },
    ],
  });
  const reply = "forbidden from lua, original header: foo, go's header: foo";
  const ask = async (protocol: Protocol) => {
    logsOnFailure(at);
    const headers = [['x-test-header-0', 'foo']] as const;
    const answer = await exchange(protocol, at.port, { method: 'POST', path: '/test', headers, body: ['hello'] });
    expect(at.upstream.seen.size).toBe(0);
    return [answer.status, answer.text];
  };
  goCaseBoth(
    'go/local-reply/later-filter',
    async (protocol) => {
      expect(await ask(protocol)).toEqual([403, reply.toUpperCase()]);
    },
    // the reply passes our encode hooks by, and the log says so
    async (protocol) => {
      expect(await ask(protocol)).toEqual([403, reply]);
      await eventually('Envoy logs it', () => /ts_filter: .*pass the encode hooks by/.test(at.fx.envoy.output));
    },
  );
});

describe('a body over the limit', () => {
  const at = stage({ filters: [{ name: 'go-basic', options: { max_body_bytes: 150 } }] });
  goCase('go/limits/413', async () => {
    logsOnFailure(at);
    const answer = await exchange('http1', at.port, {
      method: 'POST',
      path: '/test?data-buffer=decodeHeaders',
      body: ['-'.repeat(100), 20, '-'.repeat(200)],
    });
    // the reply passes encodeData, which makes capitals
    expect([answer.status, answer.text, answer.complete]).toEqual([413, 'PAYLOAD TOO LARGE', true]);
    expect(at.upstream.seen.size).toBe(0);
  });
});

/** The stream fails with the Golang filter's words, and is counted once. */
async function panicsOnce(at: Stage, request: Partial<Request>, protocol: Protocol = 'http1'): Promise<void> {
  logsOnFailure(at);
  const before = await panics(at.fx);
  const answer = await exchange(protocol, at.port, { path: '/test', ...request });
  expect([answer.status, answer.text, answer.complete]).toEqual([500, 'error happened in filter\r\n', true]);
  await eventually('the panic is counted', async () => (await panics(at.fx)) > before);
  expect(await panics(at.fx)).toBe(before + 1);
}

describe('panics', () => {
  const upstream = new Recorder();
  const at = stage({ filters: [{ name: 'go-basic' }], upstream: { paths: { '/test': upstream.handler(hello) } } });
  const post = (query: string) => ({ method: 'POST', path: `/test?${query}`, body: ['hello'] });

  for (const phase of ['decodeHeaders', 'decodeData'] as const) {
    goCase(`go/panic/${phase}`, () => panicsOnce(at, post(`panic=${phase}`)));
    goCase(`go/panic/${phase}/async`, () => panicsOnce(at, post(`panic=${phase}&async&sleep`)));
  }
  // Go holds the response headers until encodeData has answered; here StopAndBuffer says so.
  goCase('go/panic/encodeData/async', () => panicsOnce(at, post('panic=encodeData&async&sleep')));
  goCase('go/panic/bad-api', () => panicsOnce(at, post('bad-api')));
});

describe('headers without a body that wait for one', () => {
  const at = stage({ filters: [{ name: 'go-action' }] });
  for (const direction of ['decode', 'encode'] as const) {
    for (const status of ['StopAndBuffer', 'StopAndBufferWatermark'] as const) {
      for (const style of ['', '/async'] as const) {
        goCase(`go/headers-only/${direction}-${status}${style}`, () =>
          panicsOnce(at, {
            path: `/status?code=204&${direction}Headers=${status}${style === '' ? '' : '&async'}`,
          }),
        );
      }
    }
  }
});
