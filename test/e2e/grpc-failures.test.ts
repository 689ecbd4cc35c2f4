/** Every failure and every local reply, as a gRPC client reads it: the mapped status, and never OK. */
import { describe, expect, it } from 'vitest';
import {
  codeName,
  dynamicModulePerRoute,
  eventually,
  METHODS,
  patternAt,
  type CallOptionsOfTest,
  type Config,
  type FilterSpec,
  type Method,
  type Outcome,
} from '../fixture/index.js';
import { grpcStage, type GrpcStage } from './grpc-support.js';
import { logsOnFailure } from './support.js';

const MESSAGE = { text: 'hello', n: 2, payload: patternAt(0, 5_000) };
const call = (at: GrpcStage, method: Method, headers: Record<string, string>, more: CallOptionsOfTest = {}) =>
  at.client.call(method, { headers, messages: [MESSAGE], timeoutMs: 8_000, ...more });
const read = (outcome: Outcome): string => codeName(outcome.code);

const faults = (options: Config = {}): FilterSpec[] => [
  { name: 'grpc-faults', options: { host_wait: '0s', ...options } },
];

/** What a client may read of a stream that was reset: HTTP/2's error codes as gRPC maps them, or a cut message. */
const RESET = ['INTERNAL', 'UNAVAILABLE', 'CANCELLED', 'UNKNOWN', 'RESOURCE_EXHAUSTED'];

describe('local replies', () => {
  const at = grpcStage({ filters: faults(), counters: true });
  const mapped: [number, string][] = [
    [200, 'UNKNOWN'],
    [400, 'INTERNAL'],
    [401, 'UNAUTHENTICATED'],
    [403, 'PERMISSION_DENIED'],
    [404, 'UNIMPLEMENTED'],
    [418, 'UNKNOWN'],
    [429, 'UNAVAILABLE'],
    [500, 'UNKNOWN'],
    [502, 'UNAVAILABLE'],
    [503, 'UNAVAILABLE'],
    [504, 'UNAVAILABLE'],
  ];
  const EARLY = ['decodeHeaders', 'decodeData', 'encodeHeaders'];

  it.each(EARLY)('from %s, without grpcStatus: mapped from the HTTP status', async (place) => {
    logsOnFailure(at);
    for (const [code, name] of mapped) {
      const outcome = await call(at, 'Unary', { 'x-at': place, 'x-do': 'reply', 'x-code': String(code) });
      expect([code, read(outcome), outcome.details, outcome.messages]).toEqual([code, name, 'said by the filter', []]);
    }
  });

  it.each(EARLY)(
    'from %s, with grpcStatus and details: that status, and the details in the access log',
    async (place) => {
      logsOnFailure(at);
      for (const method of METHODS) {
        const details = `denied_${place}_${method}`;
        const outcome = await call(at, method, {
          'x-at': place,
          'x-do': 'reply',
          'x-code': '403',
          'x-grpc-status': '10',
          'x-details': details,
        });
        expect([read(outcome), outcome.details, outcome.messages]).toEqual(['ABORTED', 'said by the filter', []]);
        await eventually('the details are logged', () => at.fx.accessLog().some((entry) => entry.details === details));
      }
    },
  );

  it.each(EARLY)('from %s, after the filter has changed the content-type', async (place) => {
    logsOnFailure(at);
    const retype = { 'x-at': place, 'x-retype': 'application/json' };
    const replied = await call(at, 'Unary', { ...retype, 'x-do': 'reply', 'x-code': '403' });
    expect([read(replied), replied.messages]).toEqual(['PERMISSION_DENIED', []]);
    expect(read(await call(at, 'Unary', { ...retype, 'x-do': 'throw' }))).toBe('INTERNAL');
  });

  it('while the client still sends', async () => {
    logsOnFailure(at);
    for (const place of ['decodeHeaders', 'decodeData']) {
      const outcome = await call(at, 'Bidi', { 'x-at': place, 'x-do': 'reply', 'x-code': '403' }, { end: false });
      expect(read(outcome)).toBe('PERMISSION_DENIED');
    }
  });

  it('after the response has begun: a reset', async () => {
    logsOnFailure(at);
    const outcome = await call(at, 'ServerStream', { 'x-at': 'encodeTrailers', 'x-do': 'reply', 'x-code': '403' });
    expect(RESET).toContain(read(outcome));
  });
});

describe('a filter that throws', () => {
  const at = grpcStage({ filters: faults(), counters: true });
  it.each(METHODS)('%s: before the response has begun', async (method) => {
    logsOnFailure(at);
    for (const place of ['decodeHeaders', 'decodeData', 'encodeHeaders']) {
      const outcome = await call(at, method, { 'x-at': place, 'x-do': 'throw' });
      expect([read(outcome), outcome.details.trim(), outcome.messages]).toEqual([
        'INTERNAL',
        'error happened in filter',
        [],
      ]);
    }
  });

  it.each(METHODS)('%s: late', async (method) => {
    logsOnFailure(at);
    for (const place of ['encodeData', 'encodeTrailers'])
      expect(RESET).toContain(read(await call(at, method, { 'x-at': place, 'x-do': 'throw' })));
  });

  it('after messages of the response have reached the client', async () => {
    logsOnFailure(at);
    const outcome = await call(
      at,
      'ServerStream',
      { 'x-at': 'encodeTrailers', 'x-do': 'throw', 'x-pause': '50' },
      { messages: [{ ...MESSAGE, n: 6 }] },
    );
    expect(RESET).toContain(read(outcome));
    expect(outcome.messages.length).toBeGreaterThan(0);
  });

  it('on a response of trailers only', async () => {
    const outcome = await call(at, 'Unary', { 'x-at': 'encodeHeaders', 'x-do': 'throw', 'x-fail': '9' });
    expect(read(outcome)).toBe('INTERNAL');
  });

  it('and one that throws nothing is whole', async () => {
    for (const method of METHODS) expect(read(await call(at, method, {}))).toBe('OK');
  });
});

describe.each(['closed', 'open'])('failure_mode %s', (mode) => {
  const open = mode === 'open';
  describe('message_timeout', () => {
    const at = grpcStage({ filters: faults({ failure_mode: mode, message_timeout: '0.25s' }), counters: true });
    const places: { where: string; headers: Record<string, string>; begun?: boolean }[] = [
      { where: 'request headers', headers: { 'x-at': 'decodeHeaders' } },
      { where: 'a whole request body', headers: { 'x-at': 'decodeData', 'x-whole': 'request' } },
      { where: 'response headers', headers: { 'x-at': 'encodeHeaders' } },
      { where: 'a whole response body', headers: { 'x-at': 'encodeData', 'x-whole': 'response' } },
      { where: 'trailers', headers: { 'x-at': 'encodeTrailers' }, begun: true },
    ];
    it.each(places)('$where', async ({ headers, begun = false }) => {
      logsOnFailure(at);
      for (const method of METHODS) {
        const outcome = await call(at, method, { ...headers, 'x-do': 'park' });
        // trailers go untouched too: the body before them is complete
        if (open) expect([method, read(outcome)]).toEqual([method, 'OK']);
        else expect([...(begun ? RESET : []), 'DEADLINE_EXCEEDED']).toContain(read(outcome));
      }
    });
  });

  describe('a config that the filter refuses', () => {
    const at = grpcStage({
      filters: [{ name: 'rules' }],
      virtualHost: {
        typed_per_filter_config: {
          rules: dynamicModulePerRoute('rules', { plugin_config: { refuse: 'not for gRPC' }, failure_mode: mode }),
        },
      },
    });
    it.each(METHODS)('%s', async (method) => {
      logsOnFailure(at);
      const outcome = await call(at, method, {});
      expect([read(outcome), outcome.details]).toEqual(open ? ['OK', 'OK'] : ['INTERNAL', 'ts_filter_config_rejected']);
    });
  });

  describe('a whole body over max_body_bytes', () => {
    const at = grpcStage({ filters: faults({ failure_mode: mode, max_body_bytes: 1000 }) });
    it.each(['request', 'response'])('%s', async (direction) => {
      logsOnFailure(at);
      for (const method of METHODS) {
        const outcome = await call(at, method, { 'x-whole': direction }, { messages: [MESSAGE, MESSAGE] });
        // the answer to a client stream is short, and fits
        const fits = direction === 'response' && method === 'ClientStream';
        expect([method, read(outcome)]).toEqual([method, fits ? 'OK' : 'RESOURCE_EXHAUSTED']);
      }
    });
  });

  describe('output over max_pending_output', () => {
    const at = grpcStage({ filters: faults({ failure_mode: mode, max_pending_output: '1MiB' }) });
    it.each(METHODS)('%s', async (method) => {
      logsOnFailure(at);
      expect(RESET).toContain(read(await call(at, method, { 'x-do': 'flood' })));
    });
  });

  describe('no host', () => {
    const at = grpcStage({ filters: faults({ failure_mode: mode }), host: false });
    it.each(METHODS)('%s', async (method) => {
      logsOnFailure(at);
      const outcome = await call(at, method, {});
      expect([read(outcome), outcome.details]).toEqual(open ? ['OK', 'OK'] : ['UNAVAILABLE', 'ts_filter_no_host']);
    });
  });
});

describe.each(['closed', 'open'])('the host is killed, failure_mode %s', (mode) => {
  const open = mode === 'open';
  const at = grpcStage({ filters: faults({ failure_mode: mode, host_wait: '10s' }), counters: true });
  const places: { where: string; headers: Record<string, string>; begun?: boolean; spoilt?: boolean }[] = [
    { where: 'request headers unanswered', headers: { 'x-at': 'decodeHeaders' } },
    { where: 'a whole request body held', headers: { 'x-at': 'decodeData', 'x-whole': 'request' } },
    { where: 'a streamed request body held', headers: { 'x-at': 'decodeData' }, spoilt: true },
    { where: 'response headers unanswered', headers: { 'x-at': 'encodeHeaders' } },
    { where: 'a whole response body held', headers: { 'x-at': 'encodeData', 'x-whole': 'response' } },
    { where: 'a streamed response body held', headers: { 'x-at': 'encodeData' }, begun: true, spoilt: true },
    // in open mode the trailers go untouched
    { where: 'trailers unanswered', headers: { 'x-at': 'encodeTrailers' }, begun: true },
  ];
  it.each(places)('$where', async ({ headers, begun = false, spoilt = false }) => {
    logsOnFailure(at);
    const running = METHODS.map((method) => call(at, method, { ...headers, 'x-do': 'park' }));
    await eventually('parked', async () => (await at.fx.counters())['grpc-faults.parked'] === METHODS.length);
    await at.fx.host.kill();
    for (const outcome of await Promise.all(running)) {
      if (open && !spoilt) expect(read(outcome)).toBe('OK');
      else expect(begun ? RESET : ['UNAVAILABLE']).toContain(read(outcome));
    }
    await at.fx.startHost();
    for (const method of METHODS) expect(read(await call(at, method, {}))).toBe('OK');
  });
});
