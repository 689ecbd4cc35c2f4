import { createHash } from 'node:crypto';
import { Builder, ByteBuffer } from 'flatbuffers';
import { createChannel, Endpoint } from '#ring';
import { afterEach, expect, test, vi } from 'vitest';
import { Channel } from './channel.js';
import * as schema from './codec/generated/index.js';
import { defineFilter } from '../api/filter.js';
import { FilterRegistry } from '../registry/index.js';
import * as wire from '../base/wire.js';
import { RecordingLogger, RULES } from '../../test/support/recorder.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

type Event = { name: string; args: unknown[] };

/** A filter that writes down what it hears and does what the test says. */
class Recorder implements wire.StreamSource {
  readonly events: Event[] = [];
  onHear: ((event: Event, sink: wire.StreamSink) => void) | undefined;
  constructor(
    readonly start: wire.StreamStart,
    readonly sink: wire.StreamSink,
  ) {}
  #hear(name: string, ...args: unknown[]): void {
    const event = { name, args };
    this.events.push(event);
    this.onHear?.(event, this.sink);
  }
  onHeaders(type: wire.HeaderType, block: wire.HeaderBlock, traits: number): void {
    const { EndStream, Context } = wire.HeadersTrait;
    const [end, context] = [(traits & EndStream) !== 0, (traits & Context) !== 0];
    this.#hear('headers', type, Buffer.from(block.bytes).toString('latin1'), block.count, end, context);
  }
  onData(direction: wire.Direction, bytes: Uint8Array, follows: wire.Follows): void {
    this.#hear('data', direction, Buffer.from(bytes).toString('latin1'), follows);
  }
  onBodyTooLarge(direction: wire.Direction): void {
    this.#hear('tooLarge', direction);
  }
  onLogHeaders(type: wire.HeaderType, block: wire.HeaderBlock): void {
    this.#hear('log', type, block.count);
  }
  onLogRun(kind: wire.LogKind, attributes: Uint8Array): void {
    this.#hear('logRun', kind, Buffer.from(attributes).toString('latin1'));
  }
  onCallEvent(call: number, part: wire.CallEventPart, end: boolean, bytes: Uint8Array): void {
    this.#hear('call', call, part, end, Buffer.from(bytes).toString('latin1'), bytes.buffer.byteLength);
  }
  onEnd(reason: wire.EndReason): void {
    this.#hear('end', reason);
  }
  onQueryAnswer(id: number, found: boolean, bytes: Uint8Array): void {
    this.#hear('query', id, found, Buffer.from(bytes).toString());
  }
}

interface Sent {
  kind: schema.FrameKind;
  bytes: Buffer;
}

/** The module's end, and an event loop in small for the host's. */
class Fixture {
  readonly streams: Recorder[] = [];
  readonly malformed: string[] = [];
  readonly faults: unknown[] = [];
  rings = 0;
  readonly module: Endpoint;
  readonly channel: Channel;
  onStart: ((stream: Recorder) => void) | undefined;
  #wake: () => void = () => undefined;
  #flush: () => void = () => undefined;
  #polling = true;
  #rung = false;
  readonly dirty = new Int32Array(1);

  constructor(
    capacity = 64 * 1024,
    window = 1024,
    createStream: (start: wire.StreamStart, sink: wire.StreamSink) => wire.StreamSource = (start, sink) => {
      const stream = new Recorder(start, sink);
      this.streams.push(stream);
      this.onStart?.(stream);
      return stream;
    },
  ) {
    const { a, b } = createChannel(capacity);
    this.module = new Endpoint(a.own, a.peer, { ring: () => (this.#rung = true) });
    const endpoint = new Endpoint(b.own, b.peer, { ring: () => this.rings++ });
    this.channel = new Channel({
      endpoint,
      poller: (onWake, onFlush) => {
        this.#wake = onWake;
        this.#flush = onFlush;
        return { dirty: this.dirty, close: () => (this.#polling = false) };
      },
      createStream,
      streamWindow: () => window,
      onMalformed: (reason) => this.malformed.push(reason),
      onFault: (error) => this.faults.push(error),
    });
  }

  /** What the addon's poller does at the first turn, at a ring, and before the loop waits with a dirty word. */
  async run(turns = 4): Promise<void> {
    for (let i = 0; i < turns; i++) {
      if (this.#polling && (this.#rung || !this.#started)) {
        this.#started = true;
        this.#rung = false;
        this.#wake();
        await turn();
        this.dirty[0] = 0;
        this.#flush();
      }
      await turn();
      if (this.#polling && this.dirty[0] === 1) {
        this.dirty[0] = 0;
        this.#flush();
      }
    }
  }
  #started = false;

  send(kind: schema.FrameKind, build: (b: Builder, v: number) => number, block = ''): void {
    const b = new Builder(256);
    const bytes = Buffer.from(block, 'latin1');
    b.startVector(1, bytes.length, 8);
    for (let i = bytes.length - 1; i >= 0; i--) b.addInt8(bytes[i]!);
    b.finish(build(b, b.endVector()));
    this.sendRaw(kind, b.asUint8Array());
  }

  sendRaw(kind: number, frame: Uint8Array): void {
    const at = this.module.claim(kind, frame.length);
    if (at < 0) throw new Error('no room');
    this.module.ownBytes.set(frame, at);
    this.module.commit();
    this.module.publish();
  }

  headers(slot: number, generation: number, flags: number, block = '', type = 0, attributes = 0): void {
    this.send(
      schema.FrameKind.Headers,
      (b, v) => schema.Headers.createHeaders(b, slot, generation, type, flags, 3, 4, 1, attributes, 1, 9, v),
      block,
    );
  }

  data(slot: number, generation: number, flags: number, bytes: string): void {
    this.send(schema.FrameKind.Data, (b, v) => schema.Data.createData(b, slot, generation, 0, flags, v), bytes);
  }

  /** Frames that the host has published. */
  received(limit?: number): Sent[] {
    const frames: Sent[] = [];
    this.module.drain((kind, offset, length) => {
      frames.push({ kind, bytes: Buffer.from(this.module.peerBytes.slice(offset, offset + length)) });
    }, limit);
    return frames;
  }
}

const { HeadersFlag, DataFlag, FrameKind } = schema;
let fixture: Fixture;
const make = (capacity?: number, window?: number): Fixture => (fixture = new Fixture(capacity, window));
afterEach(() => fixture.channel.close(1));

test('a stream hears its frames in order, and only its own generation', async () => {
  const f = make();
  f.headers(5, 1, HeadersFlag.Start | HeadersFlag.Grpc, 'ATTRblock', 0, 4);
  f.data(5, 1, 0, 'one');
  f.data(5, 2, 0, 'of another life');
  f.data(5, 1, DataFlag.Last | DataFlag.Trailers, 'two');
  f.send(FrameKind.End, (b) => schema.End.createEnd(b, 5, 1, 0));
  f.data(5, 1, 0, 'after the end');
  await f.run();
  expect(f.streams).toHaveLength(1);
  const { start, events } = f.streams[0]!;
  expect({ ...start, attributes: Buffer.from(start.attributes).toString() }).toEqual({
    configId: 3,
    routeConfigId: 4,
    attempt: 1,
    workerId: 9,
    grpc: true,
    upstream: false,
    head: false,
    observed: false,
    attributes: 'ATTR',
  });
  expect(events).toEqual([
    { name: 'headers', args: [0, 'block', 1, false, false] },
    { name: 'data', args: [0, 'one', 'more'] },
    { name: 'data', args: [0, 'two', 'trailers'] },
    { name: 'end', args: [0] },
  ]);
});

test('a header map that came in several frames is handed over once', async () => {
  const f = make();
  f.headers(0, 1, HeadersFlag.Start | HeadersFlag.More, 'AAfirst', 0, 2);
  f.headers(0, 1, HeadersFlag.More, 'second');
  expect(f.streams).toHaveLength(0);
  f.headers(0, 1, HeadersFlag.EndStream, 'third');
  await f.run();
  expect(f.streams[0]!.events).toEqual([{ name: 'headers', args: [0, 'firstsecondthird', 3, true, false] }]);
});

test('what an async filter answers at once goes out in the wake-up that brought the question, with one ring', async () => {
  const f = make();
  f.onStart = (stream) => {
    stream.onHear = (event, sink) =>
      void (async () => {
        await Promise.resolve();
        await Promise.resolve();
        if (event.name === 'headers') sink.answer(0, wire.BodyMode.Pass, 7, [wire.HeaderOp.Set, 'x-a', 'b']);
      })();
  };
  f.module.sleep();
  for (let slot = 0; slot < 10; slot++) f.headers(slot, 1, HeadersFlag.Start);
  await f.run(1);
  expect(f.rings).toBe(1);
  const answers = f.received().map(({ bytes }) => schema.Answer.getRootAsAnswer(new ByteBuffer(bytes)));
  expect(answers.map((a) => a.stream())).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(answers[0]!.phases()).toBe(7);
});

test('an answer that comes later goes out before the loop waits again', async () => {
  const f = make();
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  expect(f.received()).toEqual([]);
  f.streams[0]!.sink.answer(0, wire.BodyMode.Pass, 7, []);
  expect(f.received()).toEqual([]);
  await f.run(1);
  expect(f.received()).toHaveLength(1);
});

test('a full ring is back-pressure: everything arrives, in order, once there is room', async () => {
  const f = make(64 * 1024, 2_000_000);
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  const { sink } = f.streams[0]!;
  expect(sink.backpressure()).toBeUndefined();
  const sent = Buffer.alloc(1_000_000, 'abcdefghijk');
  for (let at = 0; at < sent.length; at += 10_000) sink.output(0, 0, 1, sent.subarray(at, at + 10_000), false);
  const room = vi.fn();
  const waiting = sink.backpressure();
  expect(waiting).toBeInstanceOf(Promise);
  void waiting?.then(room);
  const parts: Buffer[] = [];
  for (let i = 0; i < 200 && Buffer.concat(parts).length < sent.length; i++) {
    expect(room).not.toHaveBeenCalled();
    await f.run(2);
    f.module.wake();
    for (const { bytes } of f.received()) {
      parts.push(Buffer.from(schema.Output.getRootAsOutput(new ByteBuffer(bytes)).bytesArray() ?? []));
    }
    f.module.sleep();
  }
  expect(Buffer.concat(parts).equals(sent)).toBe(true);
  await f.run();
  expect(room).toHaveBeenCalledOnce();
  expect(sink.backpressure()).toBeUndefined();
});

test('a large reply goes in parts, no faster than Envoy takes them', async () => {
  const window = 20_000;
  const f = make(256 * 1024, window);
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  const body = Buffer.alloc(100_000, 'xyz');
  f.streams[0]!.sink.localReply(200, -1, 'details', ['x-a', 'b'], body);
  const replies: schema.Reply[] = [];
  let unacknowledged = 0;
  for (let i = 0; i < 20; i++) {
    await f.run();
    for (const { kind, bytes } of f.received()) {
      expect(kind).toBe(FrameKind.Reply);
      const reply = schema.Reply.getRootAsReply(new ByteBuffer(bytes));
      replies.push(reply);
      if (reply.part() === schema.ReplyPart.Data) unacknowledged += reply.blockLength();
    }
    expect(unacknowledged).toBeLessThanOrEqual(window);
    if (unacknowledged > 0)
      f.send(FrameKind.Credit, (b) => schema.Credit.createCredit(b, 1, 1, schema.CreditOf.Reply, unacknowledged));
    unacknowledged = 0;
  }
  expect(
    Buffer.from(replies[0]!.blockArray() ?? [])
      .toString('latin1')
      .slice(8),
  ).toMatch(/^:status200/);
  expect(Buffer.concat(replies.slice(1).map((r) => r.blockArray() ?? new Uint8Array())).equals(body)).toBe(true);
  expect(replies.map((r) => r.end())).toEqual([...replies.slice(1).map(() => false), true]);
  expect(f.streams[0]!.events.filter((e) => e.name === 'credit')).toEqual([]);
});

test('output of one direction is never further ahead of its credit than one and a half windows, and comes whole and in order', async () => {
  const window = 70_000;
  const f = make(256 * 1024, window);
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  const { sink } = f.streams[0]!;
  const body = Buffer.alloc(1_000_000, 'abcdefghijk');
  const { Digested, Last, Cut } = wire.OutputFlag;
  sink.output(0, Digested, 5, body, false);
  sink.output(0, Last, 1, undefined, true);
  sink.answer(wire.HeaderType.RequestTrailers, wire.BodyMode.Pass, 0, []);
  const room = vi.fn();
  void sink.backpressure(0)?.then(room);
  expect(sink.backpressure(1)).toBeUndefined();
  sink.output(1, Last, 0, Buffer.from('the other way'), true);
  const outputs: schema.Output[] = [];
  const kinds: schema.FrameKind[] = [];
  let ahead = 0;
  for (let i = 0; i < 100 && kinds.at(-1) !== FrameKind.Answer; i++) {
    await f.run();
    for (const { kind, bytes } of f.received()) {
      const output = schema.Output.getRootAsOutput(new ByteBuffer(bytes));
      if (kind === FrameKind.Output && output.direction() === 1) continue;
      kinds.push(kind);
      if (kind !== FrameKind.Output) continue;
      outputs.push(output);
      expect(output.bytesLength()).toBeLessThanOrEqual(64 * 1024);
      ahead += output.bytesLength();
    }
    expect(ahead).toBeLessThanOrEqual(window * 1.5);
    const part = Math.ceil(ahead / 2);
    ahead -= part;
    const { Request } = schema.CreditOf;
    if (part > 0) f.send(FrameKind.Credit, (b) => schema.Credit.createCredit(b, 1, 1, Request, part));
  }
  expect(kinds.at(-1)).toBe(FrameKind.Answer);
  expect(Buffer.concat(outputs.map((o) => o.bytesArray() ?? new Uint8Array())).equals(body)).toBe(true);
  expect(outputs.map((o) => o.flags()).filter((flags) => flags !== Cut)).toEqual([Digested, Last]);
  expect(outputs.at(-2)!.flags()).toBe(Digested);
  expect(outputs.map((o) => o.acknowledged()).filter((acknowledged) => acknowledged > 0)).toEqual([5, 1]);
  await f.run();
  expect(room).toHaveBeenCalledOnce();
});

test('frames that take their time leave the event loop its turns', async () => {
  const f = make(1024 * 1024);
  let handled = 0;
  f.onStart = () => {
    handled++;
    const until = performance.now() + 1;
    while (performance.now() < until);
  };
  const frames = 200;
  for (let slot = 1; slot <= frames; slot++) f.headers(slot, 1, HeadersFlag.Start);
  const seen: number[] = [];
  const timer = setInterval(() => seen.push(handled), 1);
  await f.run(frames);
  clearInterval(timer);
  expect(handled).toBe(frames);
  expect(seen.find((count) => count > 0)).toBeLessThan(100);
});

test('a filter may yield 60 MB at once', async () => {
  const size = 60_000_000;
  const all = Buffer.alloc(size, 'some bytes that repeat. ');
  const big = defineFilter({
    name: 'big',
    create: () => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          yield chunk.length === 3 ? all : chunk;
          all.fill(0); // it is the author's again
        }
      },
    }),
  });
  const registry = new FilterRegistry([big], { logger: new RecordingLogger() });
  await registry.parse(3, 'big', false, undefined, RULES);
  await registry.parse(4, 'big', true, undefined, RULES);
  const f = new Fixture(1024 * 1024, RULES.streamWindow, (start, sink) => registry.createStream(start, sink));
  fixture = f;
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  f.data(1, 1, 0, 'abc');
  const hash = createHash('sha256');
  let received = 0;
  let digested = false;
  for (let i = 0; i < 2000 && received < size; i++) {
    await f.run(1);
    f.module.wake();
    let bytes = 0;
    for (const frame of f.received()) {
      if (frame.kind !== FrameKind.Output) continue;
      const output = schema.Output.getRootAsOutput(new ByteBuffer(frame.bytes));
      hash.update(output.bytesArray() ?? new Uint8Array());
      bytes += output.bytesLength();
      digested = (output.flags() & wire.OutputFlag.Digested) !== 0;
    }
    expect(bytes).toBeLessThanOrEqual(RULES.streamWindow * 1.5);
    received += bytes;
    const { Request } = schema.CreditOf;
    if (bytes > 0) f.send(FrameKind.Credit, (b) => schema.Credit.createCredit(b, 1, 1, Request, bytes));
    f.module.sleep();
  }
  await f.run();
  expect(received).toBe(size);
  expect(hash.digest('hex')).toBe(
    createHash('sha256').update(Buffer.alloc(size, 'some bytes that repeat. ')).digest('hex'),
  );
  for (const { kind, bytes } of f.received()) {
    if (kind === FrameKind.Output) digested = (schema.Output.getRootAsOutput(new ByteBuffer(bytes)).flags() & 1) !== 0;
  }
  expect(digested).toBe(true);
});

test('output that waits is dropped for a reply, and whoever waits with it goes on when the stream ends', async () => {
  const f = make(256 * 1024, 10);
  f.headers(1, 1, HeadersFlag.Start);
  f.headers(2, 1, HeadersFlag.Start);
  await f.run();
  f.streams[0]!.sink.output(0, 0, 0, Buffer.alloc(20), true);
  f.streams[0]!.sink.localReply(403, -1, '', [], Buffer.alloc(0));
  f.send(FrameKind.Credit, (b) => schema.Credit.createCredit(b, 1, 1, schema.CreditOf.Request, 10));
  f.streams[1]!.sink.output(1, 0, 0, Buffer.alloc(20), true);
  const room = vi.fn();
  void f.streams[1]!.sink.backpressure(1)?.then(room);
  await f.run();
  expect(room).not.toHaveBeenCalled();
  f.send(FrameKind.End, (b) => schema.End.createEnd(b, 2, 1, 0));
  await f.run();
  expect(room).toHaveBeenCalledOnce();
  expect(f.received().map(({ kind }) => kind)).toEqual([FrameKind.Output, FrameKind.LocalReply, FrameKind.Output]);
});

test('a source that throws fails its own stream and no other', async () => {
  const f = make();
  f.onStart = (stream) => {
    stream.onHear = (event) => {
      if (event.name === 'headers' && f.streams.length === 1) throw new Error('broken');
    };
  };
  f.headers(1, 1, HeadersFlag.Start);
  f.headers(2, 1, HeadersFlag.Start);
  await f.run();
  expect(f.faults).toHaveLength(1);
  const [fail] = f.received();
  expect(fail?.kind).toBe(FrameKind.Fail);
  expect(f.streams[1]!.events).toHaveLength(1);
});

test('events of calls and runs of log hooks are handed over, the bytes in memory of their own', async () => {
  const f = make();
  f.headers(1, 1, HeadersFlag.Start);
  const event = (part: schema.CallEventPart, end: boolean, bytes: string): void =>
    f.send(FrameKind.CallEvent, (b, v) => schema.CallEvent.createCallEvent(b, 1, 1, 7, part, end, v), bytes);
  event(schema.CallEventPart.Headers, false, 'block');
  event(schema.CallEventPart.Data, true, 'bytes!');
  f.send(FrameKind.LogRun, (b, v) => schema.LogRun.createLogRun(b, 1, 1, schema.LogKind.Periodic, v), 'ATTR');
  f.send(FrameKind.CallEvent, (b, v) => schema.CallEvent.createCallEvent(b, 1, 2, 7, 0, true, v), 'another life');
  await f.run();
  expect(f.streams[0]!.events.slice(1)).toEqual([
    { name: 'call', args: [7, wire.CallEventPart.Headers, false, 'block', 5] },
    { name: 'call', args: [7, wire.CallEventPart.Data, true, 'bytes!', 6] },
    { name: 'logRun', args: [wire.LogKind.Periodic, 'ATTR'] },
  ]);
});

test.each([FrameKind.CallEvent, FrameKind.LogRun])('a malformed frame of kind %i stops the channel', async (kind) => {
  const f = make();
  f.headers(1, 1, HeadersFlag.Start);
  f.sendRaw(kind, Buffer.alloc(16, 0xff));
  await f.run();
  expect(f.malformed).toEqual(['root lies outside its frame']);
});

test('acts, queries and calls go out in the order in which they were said', async () => {
  const f = make();
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  const { sink } = f.streams[0]!;
  const bytes = Buffer.from('bytes');
  sink.ops(0, [wire.HeaderOp.Set, 'x-a', 'b']);
  sink.act(wire.ActKind.Drain, 0, 0, 0, bytes);
  sink.query(5, wire.QueryKind.Metadata, 0, bytes);
  sink.callStart(9, 'c', 100, [':path', '/'], false);
  sink.callData(9, bytes, true);
  sink.callCancel(9);
  await f.run();
  const { Ops, Act, Query, Call } = FrameKind;
  expect(f.received().map(({ kind }) => kind)).toEqual([Ops, Act, Query, Call, Call, Call]);
});

test('a value that no frame can carry fails its stream; a call with such headers fails alone', async () => {
  const f = make();
  for (const slot of [1, 2, 3]) f.headers(slot, 1, HeadersFlag.Start);
  await f.run();
  const [acting, asking, calling] = f.streams;
  const large = Buffer.alloc(20_000);
  acting!.sink.act(wire.ActKind.SetFilterState, 0, 0, 0, large);
  asking!.sink.query(1, wire.QueryKind.Metadata, 0, large);
  calling!.sink.callStart(4, 'c', 0, [':path', '/'.repeat(20_000)], true);
  calling!.sink.callTrailers(5, ['x-a', 'b'.repeat(20_000)]);
  await f.run();
  const frames = f.received();
  expect(frames.map(({ kind }) => kind)).toEqual([FrameKind.Fail, FrameKind.Fail, FrameKind.Call]);
  expect(frames[0]!.bytes.toString()).toContain('TSF_VALUE_TOO_LARGE');
  const failed = calling!.events.filter(({ name }) => name === 'call').map(({ args }) => args.slice(0, 3));
  expect(failed).toEqual([4, 5].map((call) => [call, wire.CallEventPart.Failed, true]));
});

test('a malformed frame stops the channel and says why; sinks fall silent', async () => {
  const f = make();
  f.headers(1, 1, HeadersFlag.Start);
  f.sendRaw(FrameKind.Data, Buffer.alloc(16, 0xff));
  await f.run();
  expect(f.malformed).toEqual(['root lies outside its frame']);
  f.channel.close(1);
  expect(f.streams[0]!.events.at(-1)).toEqual({ name: 'end', args: [1] });
  f.streams[0]!.sink.answer(0, 0, 0, []);
  expect(f.received()).toEqual([]);
});

test('frames of kinds that this version does not know are passed over', async () => {
  const f = make();
  f.sendRaw(63, Buffer.alloc(16, 0xff));
  f.headers(1, 1, HeadersFlag.Start);
  await f.run();
  expect(f.malformed).toEqual([]);
  expect(f.streams).toHaveLength(1);
});

test('more frames than one turn handles are all handled', async () => {
  const f = make(1024 * 1024);
  f.headers(1, 1, HeadersFlag.Start);
  for (let i = 0; i < 3000; i++) f.data(1, 1, 0, `${i}`);
  await f.run(8);
  expect(f.streams[0]!.events.slice(1).map((e) => e.args[1])).toEqual(Array.from({ length: 3000 }, (_, i) => `${i}`));
});

test('finish: what is in the ring is heard, the answer to it goes, and then it is closed', async () => {
  const f = make();
  f.onStart = (stream) => {
    setImmediate(() => stream.sink.answer(0, wire.BodyMode.Pass, 7, []));
  };
  f.headers(0, 1, HeadersFlag.Start, 'block');
  f.data(0, 1, DataFlag.Last, 'all');
  const done = new Promise<void>((resolve) => f.channel.finish(resolve));
  expect(f.streams[0]!.events.map((event) => event.name)).toEqual(['headers', 'data']);
  await done;
  expect(f.received().map(({ kind }) => kind)).toEqual([FrameKind.Answer]);
  expect(f.streams[0]!.events.at(-1)).toEqual({ name: 'end', args: [1] });
  f.data(0, 1, 0, 'nobody hears it');
  await f.run();
  expect(f.streams[0]!.events).toHaveLength(3);
});
