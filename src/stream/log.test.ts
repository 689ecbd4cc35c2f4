import { describe, expect, it } from 'vitest';
import { attributeId } from '../api/attributes.js';
import { FilterError } from '../api/errors.js';
import { defineFilter } from '../api/filter.js';
import { packHeaders } from '../base/header-block.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import type { LogEntry, StreamFilter } from '../api/types.js';
import { EndReason, HeaderType, LogKind } from '../base/wire.js';
import { Bench, settled, type TestStream } from '../../test/support/recorder.js';

const ATTRIBUTES = ['request.size', 'response.code', 'xds.route_name'] as const;
type Names = (typeof ATTRIBUTES)[number];

/** An attribute block: numbers and texts, undefined = absent. */
function block(...values: (number | string | undefined)[]): Uint8Array {
  const parts = values.map((value) => {
    const length = Buffer.alloc(4);
    if (value === undefined) {
      length.writeUInt32LE(0xffffffff);
      return length;
    }
    const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.alloc(8);
    if (typeof value === 'number') bytes.writeUInt32LE(value);
    length.writeUInt32LE(bytes.length);
    return Buffer.concat([length, bytes]);
  });
  return Buffer.concat(parts);
}

const REQUEST: [string, string][] = [
  [':method', 'GET'],
  [':path', '/logged'],
  ['x-request-id', 'an-id'],
];

let bench: Bench;
async function open(create: (callbacks: FilterCallbacks<Names>) => StreamFilter): Promise<TestStream> {
  const filter = defineFilter({ name: 'logs', attributes: ATTRIBUTES, create: (_config, cb) => create(cb) as object });
  bench = await Bench.of(filter, { attributes: block(1, undefined, 'at first') });
  return bench.open();
}

function event(stream: TestStream, kind: LogKind, attributes: Uint8Array, ...maps: [HeaderType, [string, string][]][]) {
  for (const [type, lines] of maps) stream.source.onLogHeaders(type, packHeaders(lines.flat()));
  stream.source.onLogRun(kind, attributes);
}
const start = (stream: TestStream, ...values: (number | string | undefined)[]) =>
  event(stream, LogKind.Start, block(...values), [HeaderType.Request, REQUEST]);

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((e: unknown) => (FilterError.is(e) ? `${e.code} ${e.message}` : e));

describe('log hooks', () => {
  it('may make the filter, which then gets the headers', async () => {
    const seen: unknown[] = [];
    let made = 0;
    const stream = await open((callbacks) => {
      made++;
      return {
        onLogDownstreamStart: ({ request, response, attributes }) =>
          void seen.push(
            request.path,
            response,
            attributes['request.size'],
            callbacks.requestId,
            callbacks.request.path,
          ),
        decodeHeaders: (headers) => void seen.push(headers.path, callbacks.request.path),
      };
    });
    start(stream, 2, undefined, undefined);
    expect(stream.take()).toEqual([]);
    stream.request();
    stream.end();
    expect(seen).toEqual(['/logged', undefined, 2, 'an-id', '/logged', '/a?b=1', '/a?b=1']);
    expect(made).toBe(1);
  });

  it('see each event as it was', async () => {
    const seen: unknown[] = [];
    const tell = ({ response, responseTrailers, attributes }: LogEntry) =>
      void seen.push([response?.get(':status'), responseTrailers?.get('t'), attributes['response.code']]);
    const stream = await open(() => ({ onLogDownstreamPeriodic: tell, onLog: tell }));
    stream.request();
    event(stream, LogKind.Periodic, block(1, 206), [HeaderType.Response, [[':status', '206']]], [3, [['t', 'old']]]);
    event(stream, LogKind.Periodic, block(1, 207), [HeaderType.Response, [[':status', '207']]]);
    event(stream, LogKind.End, block(1, 208), [HeaderType.Response, [[':status', '208']]], [3, [['t', 'new']]]);
    stream.end();
    expect(seen).toEqual([
      ['206', 'old', 206],
      ['207', undefined, 207],
      ['208', 'new', 208],
    ]);
  });

  it('run in the order log, complete, destroy, each once', async () => {
    const seen: string[] = [];
    const stream = await open(() => ({
      onLog: () => void seen.push('log'),
      onStreamComplete: () => void seen.push('complete'),
      onDestroy: () => void seen.push('destroy'),
    }));
    stream.request();
    event(stream, LogKind.End, block());
    event(stream, LogKind.End, block());
    expect(seen).toEqual(['log']);
    stream.end();
    expect(seen).toEqual(['log', 'complete', 'destroy']);
  });

  it('run at the end with what is there when the event was lost', async () => {
    const seen: unknown[] = [];
    const stream = await open(() => ({
      encodeHeaders: (headers) => void headers.set('x-mine', '1'),
      onLog: ({ request, response, attributes }) =>
        void seen.push(request.path, response?.get('x-mine'), attributes['xds.route_name']),
    }));
    start(stream, undefined, undefined, 'at the start');
    stream.request().response();
    stream.end();
    expect(seen).toEqual(['/a?b=1', '1', 'at the start']);
  });

  it('of filters that have nothing else run without any headers hook', async () => {
    const seen: unknown[] = [];
    const stream = await open(() => ({
      onLog: ({ request, attributes }) => void seen.push(request.path, attributes['response.code']),
      onDestroy: (reason) => void seen.push(reason),
    }));
    event(stream, LogKind.End, block(1, 200), [HeaderType.Request, REQUEST]);
    stream.end(EndReason.Downstream);
    expect(seen).toEqual(['/logged', 200, 'reset']);
  });

  it('ask Envoy while the stream lives, and are answered from the event when it is over', async () => {
    let callbacks: FilterCallbacks<Names> | undefined;
    let inLog: Promise<unknown>[] = [];
    const stream = await open((cb) => {
      callbacks = cb;
      return {
        onLogDownstreamPeriodic: () => void cb.getProperty('response.code').catch(() => undefined),
        onLog: () => {
          inLog = [
            cb.getProperty('response.code'),
            cb.getProperty('xds.route_name'),
            cb.getProperty('connection.id'),
            cb.streamInfo().responseCode(),
            cb.streamInfo().protocol(),
          ].map(codeOf);
        },
      };
    });
    stream.request();
    stream.take();
    event(stream, LogKind.Periodic, block());
    expect(stream.take()).toEqual([`query 1 Attribute ${String(attributeId('response.code'))}`]);
    event(stream, LogKind.End, block(1, 206));
    const over = (call: string, name: string, where = ' in onLog') =>
      `TSF_STREAM_ENDED ${call}${where}: the stream has ended; declare "${name}" in \`attributes\` to have it in onLog`;
    expect(await Promise.all(inLog)).toEqual([
      206,
      'TSF_PROPERTY_NOT_FOUND getProperty("xds.route_name"): Envoy has no value',
      over('getProperty("connection.id")', 'connection.id'),
      206,
      over('streamInfo()', 'request.protocol'),
    ]);
    stream.end();
    expect(await callbacks!.getProperty('response.code')).toBe(206);
    expect(await codeOf(callbacks!.getProperty('connection.id'))).toBe(
      over('getProperty("connection.id")', 'connection.id', ''),
    );
    expect(stream.take()).toEqual([]);
  });

  it('cannot reply before the headers have come', async () => {
    let code: unknown;
    const stream = await open((callbacks) => ({
      onLogDownstreamStart() {
        try {
          callbacks.sendLocalReply(403);
        } catch (e) {
          code = FilterError.is(e) && e.code;
        }
      },
    }));
    start(stream);
    expect(code).toBe('TSF_WRONG_PHASE');
    expect(stream.take()).toEqual([]);
  });

  it('that throw or reject are logged, and the stream goes on', async () => {
    const stream = await open(() => ({
      onLogDownstreamStart: () => {
        throw new Error('one');
      },
      onLogDownstreamPeriodic: (() => Promise.reject(new Error('two'))) as () => void,
      onLog: (() => Promise.reject(new Error('three'))) as () => void,
      encodeHeaders() {},
    }));
    start(stream);
    stream.request(undefined, true);
    event(stream, LogKind.Periodic, block());
    await settled();
    expect(stream.take().some((line) => line.startsWith('fail'))).toBe(false);
    event(stream, LogKind.End, block());
    stream.end();
    await settled();
    expect(bench.logger.lines).toEqual([
      'error onLogDownstreamStart: Error: one',
      'error onLogDownstreamPeriodic: Error: two',
      'error onLog after its stream had ended: Error: three',
    ]);
  });

  it('do not fail the stream when the filter cannot be made for them; the headers do', async () => {
    const stream = await open(() => {
      throw new Error('no');
    });
    start(stream);
    event(stream, LogKind.Periodic, block());
    expect(stream.take()).toEqual([]);
    stream.request();
    expect(stream.take().map((line) => line.split(' ')[0])).toEqual(['fail']);
  });

  it('do not run on a stream that has failed, but for the last one', async () => {
    const seen: string[] = [];
    const stream = await open(() => ({
      decodeHeaders: () => {
        throw new Error('no');
      },
      onLogDownstreamPeriodic: () => void seen.push('periodic'),
      onLog: () => void seen.push('log'),
    }));
    stream.request();
    event(stream, LogKind.Periodic, block());
    event(stream, LogKind.End, block());
    stream.end();
    expect(seen).toEqual(['log']);
  });
});
