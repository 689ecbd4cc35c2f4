import { ByteBuffer, type Builder } from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import * as wire from '../../base/wire.js';
import { headersSize, writeHeaders } from '../../base/header-block.js';
import { Encoder, PART_BYTES, type FrameRoom } from './encoder.js';
import { FrameReader, MalformedFrame } from './frames-in.js';
import { specs } from './frames-out.js';
import * as schema from './generated/index.js';
import { aligned, buildFrame, type Room, type Table, type TemplateSpec } from './template.js';

interface Frame {
  kind: schema.FrameKind;
  bytes: Buffer;
}

/** Collects frames; every claim is filled with rubbish first, as a ring's memory is. */
class Collector implements FrameRoom {
  room: Room = { bytes: Buffer.alloc(0), view: new DataView(new ArrayBuffer(0)) };
  readonly frames: Frame[] = [];
  #kind: schema.FrameKind = schema.FrameKind.Padding;

  constructor(readonly maxRecord = 256 * 1024 - 8) {}

  claim(kind: schema.FrameKind, size: number): number {
    if (size > this.maxRecord) throw new Error(`record of ${size} bytes`);
    const bytes = Buffer.alloc(size, 0xee);
    this.room = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
    this.#kind = kind;
    return 0;
  }

  commit(): void {
    this.frames.push({ kind: this.#kind, bytes: this.room.bytes });
  }
}

const u32 = (): number => Math.floor(Math.random() * 2 ** 32);
const u8 = (): number => Math.floor(Math.random() * 256);
const blob = (length: number): Buffer => Buffer.from(Array.from({ length }, u8));
const text = (length: number): string => String.fromCharCode(...Array.from({ length }, u8));

function builderFrame<T extends Table>(
  spec: TemplateSpec<T>,
  build: (b: Builder, v: number) => number,
  payload: Uint8Array,
): Buffer {
  return Buffer.from(buildFrame({ ...spec, build }, payload));
}

const headerBlock = (headers: string[]): Buffer => {
  const bytes = Buffer.alloc(headersSize(headers));
  writeHeaders({ bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }, 0, headers);
  return bytes;
};

const opBlock = (ops: wire.OpList): Buffer => {
  const parts: Buffer[] = [];
  for (let i = 0; i < ops.length; i += 3) {
    const name = Buffer.from(ops[i + 1] as string, 'latin1');
    const value = Buffer.from(ops[i + 2] as string, 'latin1');
    const head = Buffer.alloc(12);
    head.writeUInt32LE(ops[i] as number, 0);
    head.writeUInt32LE(name.length, 4);
    head.writeUInt32LE(value.length, 8);
    parts.push(head, name, value);
  }
  return Buffer.concat(parts);
};

describe('a frame from a template is what the Builder makes, byte for byte', () => {
  const rounds = Array.from({ length: 50 }, (_, i) => i);
  const both = (write: (encoder: Encoder) => void, kind: schema.FrameKind, expected: Buffer): void => {
    const out = new Collector();
    write(new Encoder(out));
    expect(out.frames).toHaveLength(1);
    expect(out.frames[0]?.kind).toBe(kind);
    expect(out.frames[0]?.bytes.equals(expected)).toBe(true);
  };

  test('Answer and Ops', () => {
    for (const round of rounds) {
      const [s, g, phases] = [u32(), u32(), round === 0 ? wire.PHASES_UNCHANGED : u32()];
      const ops: wire.OpList = Array.from({ length: round % 5 }, () => [
        wire.HeaderOp.Add as wire.HeaderOp | string,
        text(round),
        text(round * 3),
      ]).flat();
      both(
        (e) => e.answer(s, g, 2, 3, phases, ops),
        schema.FrameKind.Answer,
        builderFrame(specs.answer, (b, v) => schema.Answer.createAnswer(b, s, g, 2, 3, phases, v), opBlock(ops)),
      );
      both(
        (e) => e.ops(s, g, 1, ops),
        schema.FrameKind.Ops,
        builderFrame(specs.ops, (b, v) => schema.Ops.createOps(b, s, g, 1, v), opBlock(ops)),
      );
    }
  });

  test('Output and Reply', () => {
    for (const round of rounds) {
      const [s, g, flags, acknowledged, bytes] = [u32(), u32(), u8(), u32(), blob(round * 7)];
      both(
        (e) => e.output(s, g, 1, flags, acknowledged, bytes),
        schema.FrameKind.Output,
        builderFrame(specs.output, (b, v) => schema.Output.createOutput(b, s, g, 1, flags, acknowledged, v), bytes),
      );
      both(
        (e) => e.replyData(s, g, bytes, round % 2 === 0),
        schema.FrameKind.Reply,
        builderFrame(specs.reply, (b, v) => schema.Reply.createReply(b, s, g, 1, round % 2 === 0, v), bytes),
      );
      const headers = [':status', '200', text(round), text(round * 2)];
      both(
        (e) => e.replyHeaders(s, g, schema.ReplyPart.Headers, headers, true),
        schema.FrameKind.Reply,
        builderFrame(specs.reply, (b, v) => schema.Reply.createReply(b, s, g, 0, true, v), headerBlock(headers)),
      );
    }
  });

  test('LocalReply', () => {
    for (const round of rounds) {
      const [s, g, status, grpc] = [u32(), u32(), u32(), round - 1];
      const [details, headers, body] = [text(round), ['a', text(round), text(3), ''], blob(round * 11)];
      both(
        (e) => e.localReply(s, g, status, grpc, details, headers, body),
        schema.FrameKind.LocalReply,
        builderFrame(
          specs.localReply,
          (b, v) => schema.LocalReply.createLocalReply(b, s, g, status, grpc, details.length, headersSize(headers), v),
          Buffer.concat([Buffer.from(details, 'latin1'), headerBlock(headers), body]),
        ),
      );
    }
  });

  test('Fail, Query, Log and Extend', () => {
    for (const round of rounds) {
      const [s, g, a, b2] = [u32(), u32(), u32(), u32()];
      const words = 'größer '.repeat(round);
      both(
        (e) => e.fail(s, g, 3, words),
        schema.FrameKind.Fail,
        builderFrame(specs.fail, (b, v) => schema.Fail.createFail(b, s, g, 3, v), Buffer.from(words)),
      );
      both(
        (e) => e.log(s, g, 4, words),
        schema.FrameKind.Log,
        builderFrame(specs.log, (b, v) => schema.Log.createLog(b, s, g, 4, v), Buffer.from(words)),
      );
      both(
        (e) => e.query(s, g, a, (round % 5) as wire.QueryKind, b2, Buffer.from(words)),
        schema.FrameKind.Query,
        builderFrame(specs.query, (b, v) => schema.Query.createQuery(b, s, g, a, round % 5, b2, v), Buffer.from(words)),
      );
      both(
        (e) => e.extend(s, g, a),
        schema.FrameKind.Extend,
        builderFrame(specs.extend, (b) => schema.Extend.createExtend(b, s, g, a), Buffer.alloc(0)),
      );
    }
  });

  test('Act', () => {
    for (const round of rounds) {
      const [s, g, config, detail, id, block] = [u32(), u32(), u32(), u8(), u32(), blob(round * 5)];
      const kind = (round % 6) as wire.ActKind;
      const number = [0, -0, 1, -1.5, 2 ** 53 - 1, Number.MAX_VALUE, Infinity, Math.random()][round % 8]!;
      both(
        (e) => e.act(s, g, config, kind, detail, id, number, block),
        schema.FrameKind.Act,
        builderFrame(specs.act, (b, v) => schema.Act.createAct(b, s, g, config, kind, detail, id, number, v), block),
      );
    }
  });

  test('Call', () => {
    for (const round of rounds) {
      const [s, g, call, timeout, bytes] = [u32(), u32(), u32(), u32(), blob(round * 11)];
      const cluster = 'größe'.repeat(round % 4);
      const headers = [':method', 'GET', ':path', text(round * 2), ':authority', 'a'];
      const end = round % 2 === 0;
      both(
        (e) => e.callStart(s, g, call, cluster, timeout, headers, end),
        schema.FrameKind.Call,
        builderFrame(
          specs.call,
          (b, v) =>
            schema.Call.createCall(b, s, g, call, schema.CallPart.Start, end, timeout, Buffer.byteLength(cluster), v),
          Buffer.concat([Buffer.from(cluster), headerBlock(headers)]),
        ),
      );
      both(
        (e) => e.callData(s, g, call, bytes, end),
        schema.FrameKind.Call,
        builderFrame(
          specs.call,
          (b, v) => schema.Call.createCall(b, s, g, call, schema.CallPart.Data, end, 0, 0, v),
          bytes,
        ),
      );
      both(
        (e) => e.callTrailers(s, g, call, headers),
        schema.FrameKind.Call,
        builderFrame(
          specs.call,
          (b, v) => schema.Call.createCall(b, s, g, call, schema.CallPart.Trailers, true, 0, 0, v),
          headerBlock(headers),
        ),
      );
      both(
        (e) => e.callCancel(s, g, call),
        schema.FrameKind.Call,
        builderFrame(
          specs.call,
          (b, v) => schema.Call.createCall(b, s, g, call, schema.CallPart.Cancel, true, 0, 0, v),
          Buffer.alloc(0),
        ),
      );
    }
  });
});

describe('what is larger than a frame is split', () => {
  const outputs = (out: Collector) =>
    out.frames.map(({ bytes }) => {
      const t = schema.Output.getRootAsOutput(new ByteBuffer(bytes));
      return { flags: t.flags(), acknowledged: t.acknowledged(), bytes: Buffer.from(t.bytesArray() ?? []) };
    });

  test('an output says what happens next on its last part only, and acknowledges on its first', () => {
    const out = new Collector();
    const bytes = blob(PART_BYTES * 2 + 5);
    const { Digested, Last, Added, Cut } = wire.OutputFlag;
    new Encoder(out).output(1, 2, 0, Digested | Last | Added, 77, bytes);
    const parts = outputs(out);
    expect(parts.map((p) => p.flags)).toEqual([Added | Cut, Added | Cut, Digested | Last | Added]);
    expect(parts.map((p) => p.acknowledged)).toEqual([77, 0, 0]);
    expect(Buffer.concat(parts.map((p) => p.bytes)).equals(bytes)).toBe(true);
  });

  test('data of a call says its end on its last part only', () => {
    const out = new Collector(16 * 1024 - 8);
    const bytes = blob(60_000);
    new Encoder(out).callData(1, 2, 3, bytes, true);
    const parts = out.frames.map((frame) => schema.Call.getRootAsCall(new ByteBuffer(frame.bytes)));
    expect(parts.length).toBeGreaterThan(3);
    expect(parts.map((p) => p.end())).toEqual([...parts.slice(1).map(() => false), true]);
    expect(Buffer.concat(parts.map((p) => p.blockArray() ?? new Uint8Array())).equals(bytes)).toBe(true);
  });

  test('a block that fits no frame is refused before anything is written', () => {
    const out = new Collector(16 * 1024 - 8);
    const encoder = new Encoder(out);
    const headers = [':path', '/'.repeat(20_000)];
    expect(encoder.query(1, 2, 3, 1, 0, blob(17_000))).toBe(false);
    expect(encoder.act(1, 2, 3, 0, 0, 0, 0, blob(17_000))).toBe(false);
    expect(encoder.callStart(1, 2, 3, 'c', 0, headers, true)).toBe(false);
    expect(encoder.callTrailers(1, 2, 3, headers)).toBe(false);
    expect(out.frames).toEqual([]);
  });

  test('a small ring makes smaller parts', () => {
    const out = new Collector(16 * 1024 - 8);
    const bytes = blob(60_000);
    new Encoder(out).output(1, 2, 0, 1, 0, bytes);
    expect(Buffer.concat(outputs(out).map((p) => p.bytes)).equals(bytes)).toBe(true);
  });

  test('operations go ahead of their answer, in order', () => {
    const out = new Collector();
    const ops: wire.OpList = [];
    for (let i = 0; i < 100; i++) ops.push(wire.HeaderOp.Set, `x-${i}`, 'v'.repeat(3000));
    expect(new Encoder(out).answer(1, 2, 0, 1, 5, ops)).toBe(true);
    expect(out.frames.length).toBeGreaterThan(4);
    expect(new Set(out.frames.slice(0, -1).map((f) => f.kind))).toEqual(new Set([schema.FrameKind.Ops]));
    expect(out.frames.at(-1)?.kind).toBe(schema.FrameKind.Answer);
    const blocks = out.frames.map(({ kind, bytes }) => {
      const buffer = new ByteBuffer(bytes);
      const t = kind === schema.FrameKind.Ops ? schema.Ops.getRootAsOps(buffer) : schema.Answer.getRootAsAnswer(buffer);
      return Buffer.from(t.blockArray() ?? []);
    });
    expect(Buffer.concat(blocks).equals(opBlock(ops))).toBe(true);
  });

  test('one operation that fits no frame is refused before anything is written', () => {
    const out = new Collector(16 * 1024 - 8);
    const ops: wire.OpList = [wire.HeaderOp.Set, 'a', 'b', wire.HeaderOp.Set, 'big', 'v'.repeat(20_000)];
    expect(new Encoder(out).answer(1, 2, 0, 1, 5, ops)).toBe(false);
    expect(out.frames).toEqual([]);
  });
});

describe('reading', () => {
  const headersFrame = (block: Buffer): Buffer =>
    builderFrame(
      { table: schema.Headers, vector: true, build: () => 0 },
      (b, v) => schema.Headers.createHeaders(b, 7, 8, 2, 3, 4, 5, 1, 0, 1, 9, v),
      block,
    );
  const at = (frame: Buffer, offset = 64): { memory: Buffer; reader: FrameReader } => {
    const memory = Buffer.alloc(offset + frame.length + 64, 0xaa);
    frame.copy(memory, offset);
    return { memory, reader: new FrameReader(memory) };
  };

  test('numbers and the block come out, in memory of their own', () => {
    const block = headerBlock(['name', 'value']);
    const frame = headersFrame(block);
    const { memory, reader } = at(frame);
    reader.open(reader.headers, 64, frame.length);
    const t = reader.headers;
    expect([
      t.stream(),
      t.generation(),
      t.type(),
      t.flags(),
      t.config(),
      t.routeConfig(),
      t.count(),
      t.worker(),
    ]).toEqual([7, 8, 2, 3, 4, 5, 1, 9]);
    const copy = reader.headersBlock();
    memory.fill(0);
    expect(copy.equals(block)).toBe(true);
  });

  test('body bytes are a plain Uint8Array that owns all of its memory', () => {
    const bytes = blob(5000);
    const frame = builderFrame(
      { table: schema.Data, vector: true, build: () => 0 },
      (b, v) => schema.Data.createData(b, 1, 2, 1, 1, v),
      bytes,
    );
    const { reader } = at(frame);
    reader.open(reader.data, 64, frame.length);
    const copy = reader.dataBytes();
    expect(Object.getPrototypeOf(copy)).toBe(Uint8Array.prototype);
    expect(copy.buffer.byteLength).toBe(5000);
    expect(Buffer.from(copy).equals(bytes)).toBe(true);
  });

  test('a frame whose offsets lead out of its record is refused, whatever byte is spoilt', () => {
    const good = headersFrame(headerBlock(['name', 'value']));
    for (let i = 0; i < 2000; i++) {
      const frame = Buffer.from(good);
      for (let n = 0; n <= i % 4; n++) frame[Math.floor(Math.random() * frame.length)] = u8();
      const { reader } = at(frame);
      try {
        reader.open(reader.headers, 64, frame.length);
        expect(reader.headersBlock().length).toBeLessThanOrEqual(frame.length);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedFrame);
      }
    }
  });
});

test('wire.ts says the same numbers as the schema', () => {
  const pairs: [Record<string, number>, Record<string, unknown>][] = [
    [wire.HeaderType, schema.HeaderType],
    [wire.Direction, schema.Direction],
    [wire.BodyMode, schema.BodyMode],
    [wire.OutputFlag, schema.OutputFlag],
    [wire.CreditOf, schema.CreditOf],
    [wire.EndReason, schema.EndReason],
    [wire.HeaderOp, schema.HeaderOp],
    [wire.QueryKind, schema.QueryKind],
    [wire.ActKind, schema.ActKind],
    [wire.MetadataType, schema.MetadataType],
    [wire.MetricOp, schema.MetricOp],
    [wire.MetricKind, schema.MetricKind],
    [wire.Capability, schema.Capability],
    [wire.CallEventPart, schema.CallEventPart],
    [wire.LogKind, schema.LogKind],
  ];
  for (const [mine, generated] of pairs) {
    for (const [name, value] of Object.entries(mine)) expect(generated[name], name).toBe(value);
    expect(Object.keys(mine)).toHaveLength(Object.keys(generated).length / 2);
  }
  const phases = wire.PhaseBit as Record<string, number>;
  const schemaName = (name: string): string => {
    const renamed: Record<string, string> = {
      onLogDownstreamStart: 'LogStart',
      onLogDownstreamPeriodic: 'LogPeriodic',
    };
    return renamed[name] ?? name.replace(/^on/, '').replace(/^./, (c) => c.toUpperCase());
  };
  for (const [name, bit] of Object.entries(phases)) {
    expect((schema.Phase as unknown as Record<string, number>)[schemaName(name)], name).toBe(bit);
  }
  expect(Object.keys(phases)).toHaveLength(Object.keys(schema.Phase).length / 2);
});

test('a payload is padded to a multiple of eight', () => {
  expect([0, 1, 7, 8, 9].map(aligned)).toEqual([0, 8, 8, 8, 16]);
});
