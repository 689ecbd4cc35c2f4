/**
 * Writes frames of any size into whatever `FrameRoom` gives: the ring, or the heap while the ring is full. What is larger
 * than one frame may be is split here, so that nobody above knows of a limit.
 */
import {
  flagsOfPart,
  type ActKind,
  type BodyMode,
  type Direction,
  type HeaderType,
  type OpList,
  type QueryKind,
} from '../../base/wire.js';
import { headersSize, writeHeaders } from '../../base/header-block.js';
import { opSize, opsSize, opsThatFit, writeOps } from './blocks.js';
import { frames, places } from './frames-out.js';
import { CallPart, ReplyPart, type FrameKind } from './generated/index.js';
import type { Room } from './template.js';

/** Payload bytes that one frame carries at most (schema: Data.bytes). */
export const PART_BYTES = 64 * 1024;
/** A reply whose block is larger goes in parts. */
const WHOLE_REPLY_BYTES = 60 * 1024;
const TEXT_BYTES = 8 * 1024;

export interface FrameRoom {
  /** Where the last claim lies. */
  room: Room;
  /** Payload bytes of the largest record there is. */
  readonly maxRecord: number;
  /** Place for a record of `size` bytes in `room`; never fails for sizes up to maxRecord. */
  claim(kind: FrameKind, size: number): number;
  commit(): void;
}

export class Encoder {
  readonly #out: FrameRoom;
  readonly #part: number;

  constructor(out: FrameRoom) {
    this.#out = out;
    this.#part = Math.min(PART_BYTES, out.maxRecord - frames.localReply.size - 8);
  }

  /** False: one operation alone is larger than the ring can carry; nothing was written. */
  answer(stream: number, generation: number, type: HeaderType, mode: BodyMode, phases: number, ops: OpList): boolean {
    const from = opsSize(ops) <= this.#part ? 0 : this.#leadingOps(stream, generation, type, ops);
    if (from < 0) return false;
    const size = from === 0 ? opsSize(ops) : opsSize(ops.slice(from));
    const at = this.#open(frames.answer, stream, generation, size);
    const { room } = this.#out;
    room.bytes[at + places.answer.type] = type;
    room.bytes[at + places.answer.mode] = mode;
    room.view.setUint32(at + places.answer.phases, phases, true);
    writeOps(room, at + frames.answer.size, ops, from, ops.length);
    this.#out.commit();
    return true;
  }

  ops(stream: number, generation: number, type: HeaderType, ops: OpList): boolean {
    const from = opsSize(ops) <= this.#part ? 0 : this.#leadingOps(stream, generation, type, ops);
    if (from < 0) return false;
    this.#opsFrame(stream, generation, type, ops, from, ops.length);
    return true;
  }

  output(
    stream: number,
    generation: number,
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
  ): void {
    const length = bytes === undefined ? 0 : bytes.length;
    if (length <= this.#part) {
      this.#outputFrame(stream, generation, direction, flags, acknowledged, bytes, 0, length);
      return;
    }
    const early = flagsOfPart(flags);
    let at = 0;
    while (length - at > this.#part) {
      this.#outputFrame(stream, generation, direction, early, at === 0 ? acknowledged : 0, bytes, at, at + this.#part);
      at += this.#part;
    }
    this.#outputFrame(stream, generation, direction, flags, 0, bytes, at, length);
  }

  /** False: too large for one frame; the caller sends it in parts. */
  localReply(
    stream: number,
    generation: number,
    status: number,
    grpcStatus: number,
    details: string,
    headers: readonly string[],
    body: Uint8Array,
  ): boolean {
    const detailsLength = Math.min(details.length, TEXT_BYTES);
    const headersLength = headersSize(headers);
    const size = detailsLength + headersLength + body.length;
    if (size > Math.min(WHOLE_REPLY_BYTES, this.#part)) return false;
    const at = this.#open(frames.localReply, stream, generation, size);
    const { room } = this.#out;
    room.view.setUint32(at + places.localReply.status, status, true);
    room.view.setInt32(at + places.localReply.grpcStatus, grpcStatus, true);
    room.view.setUint32(at + places.localReply.detailsLength, detailsLength, true);
    room.view.setUint32(at + places.localReply.headersLength, headersLength, true);
    const start = at + frames.localReply.size;
    room.bytes.write(details, start, detailsLength, 'latin1');
    room.bytes.set(body, writeHeaders(room, start + detailsLength, headers));
    this.#out.commit();
    return true;
  }

  /** False: the header block is larger than the ring can carry. */
  replyHeaders(stream: number, generation: number, part: ReplyPart, headers: readonly string[], end: boolean): boolean {
    const size = headersSize(headers);
    if (!this.#fits(frames.reply, size)) return false;
    const at = this.#replyOpen(stream, generation, part, end, size);
    writeHeaders(this.#out.room, at, headers);
    this.#out.commit();
    return true;
  }

  replyData(stream: number, generation: number, bytes: Uint8Array, end: boolean): void {
    this.#pieces(bytes, end, (last, size) => this.#replyOpen(stream, generation, ReplyPart.Data, last, size));
  }

  fail(stream: number, generation: number, type: HeaderType, text: string): void {
    const bytes = utf8(text);
    const at = this.#open(frames.fail, stream, generation, bytes.length);
    const { room } = this.#out;
    room.bytes[at + places.fail.type] = type;
    room.bytes.set(bytes, at + frames.fail.size);
    this.#out.commit();
  }

  /** False: the block is larger than the ring can carry. */
  query(stream: number, generation: number, id: number, kind: QueryKind, key: number, block: Uint8Array): boolean {
    if (!this.#fits(frames.query, block.length)) return false;
    const at = this.#open(frames.query, stream, generation, block.length);
    const { room } = this.#out;
    room.view.setUint32(at + places.query.query, id, true);
    room.bytes[at + places.query.kind] = kind;
    room.view.setUint32(at + places.query.key, key, true);
    copy(block, 0, block.length, room.bytes, at + frames.query.size);
    this.#out.commit();
    return true;
  }

  /** False: the block is larger than the ring can carry. */
  act(
    stream: number,
    generation: number,
    config: number,
    kind: ActKind,
    detail: number,
    id: number,
    number: number,
    block: Uint8Array,
  ): boolean {
    if (!this.#fits(frames.act, block.length)) return false;
    const at = this.#open(frames.act, stream, generation, block.length);
    const { room } = this.#out;
    room.view.setUint32(at + places.act.config, config, true);
    room.bytes[at + places.act.kind] = kind;
    room.bytes[at + places.act.detail] = detail;
    room.view.setUint32(at + places.act.id, id, true);
    room.view.setFloat64(at + places.act.number, number, true);
    copy(block, 0, block.length, room.bytes, at + frames.act.size);
    this.#out.commit();
    return true;
  }

  /** False: name and headers are larger than the ring can carry. */
  callStart(
    stream: number,
    generation: number,
    call: number,
    cluster: string,
    timeout: number,
    headers: readonly string[],
    end: boolean,
  ): boolean {
    const clusterLength = Buffer.byteLength(cluster, 'utf8');
    const size = clusterLength + headersSize(headers);
    if (!this.#fits(frames.call, size)) return false;
    const at = this.#callOpen(stream, generation, call, CallPart.Start, end, size);
    const { room } = this.#out;
    const prefix = at - frames.call.size;
    room.view.setUint32(prefix + places.call.timeout, timeout, true);
    room.view.setUint32(prefix + places.call.clusterLength, clusterLength, true);
    room.bytes.write(cluster, at, clusterLength, 'utf8');
    writeHeaders(room, at + clusterLength, headers);
    this.#out.commit();
    return true;
  }

  callData(stream: number, generation: number, call: number, bytes: Uint8Array, end: boolean): void {
    this.#pieces(bytes, end, (last, size) => this.#callOpen(stream, generation, call, CallPart.Data, last, size));
  }

  /** False: the header block is larger than the ring can carry. */
  callTrailers(stream: number, generation: number, call: number, headers: readonly string[]): boolean {
    const size = headersSize(headers);
    if (!this.#fits(frames.call, size)) return false;
    const at = this.#callOpen(stream, generation, call, CallPart.Trailers, true, size);
    writeHeaders(this.#out.room, at, headers);
    this.#out.commit();
    return true;
  }

  callCancel(stream: number, generation: number, call: number): void {
    this.#callOpen(stream, generation, call, CallPart.Cancel, true, 0);
    this.#out.commit();
  }

  log(stream: number, generation: number, level: number, text: string): void {
    const bytes = utf8(text);
    const at = this.#open(frames.log, stream, generation, bytes.length);
    const { room } = this.#out;
    room.bytes[at + places.log.level] = level;
    room.bytes.set(bytes, at + frames.log.size);
    this.#out.commit();
  }

  extend(stream: number, generation: number, milliseconds: number): void {
    const at = this.#open(frames.extend, stream, generation, 0);
    this.#out.room.view.setUint32(at + places.extend.milliseconds, milliseconds, true);
    this.#out.commit();
  }

  /** A body in as many frames as it takes; `open` answers where the bytes of one begin. */
  #pieces(bytes: Uint8Array, end: boolean, open: (last: boolean, size: number) => number): void {
    let from = 0;
    do {
      const to = Math.min(bytes.length, from + this.#part);
      const at = open(end && to === bytes.length, to - from);
      copy(bytes, from, to, this.#out.room.bytes, at);
      this.#out.commit();
      from = to;
    } while (from < bytes.length);
  }

  #fits(frame: (typeof frames)[keyof typeof frames], payload: number): boolean {
    return frame.frameSize(payload) <= this.#out.maxRecord;
  }

  #open(frame: (typeof frames)[keyof typeof frames], stream: number, generation: number, payload: number): number {
    const out = this.#out;
    const at = out.claim(frame.kind, frame.frameSize(payload));
    const { room } = out;
    frame.open(room, at, payload);
    room.view.setUint32(at + frame.stream, stream, true);
    room.view.setUint32(at + frame.generation, generation, true);
    return at;
  }

  #outputFrame(
    stream: number,
    generation: number,
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    from: number,
    to: number,
  ): void {
    const at = this.#open(frames.output, stream, generation, to - from);
    const { room } = this.#out;
    room.bytes[at + places.output.direction] = direction;
    room.bytes[at + places.output.flags] = flags;
    room.view.setUint32(at + places.output.acknowledged, acknowledged, true);
    if (bytes !== undefined) copy(bytes, from, to, room.bytes, at + frames.output.size);
    this.#out.commit();
  }

  #replyOpen(stream: number, generation: number, part: ReplyPart, end: boolean, payload: number): number {
    const at = this.#open(frames.reply, stream, generation, payload);
    const { room } = this.#out;
    room.bytes[at + places.reply.part] = part;
    room.bytes[at + places.reply.end] = end ? 1 : 0;
    return at + frames.reply.size;
  }

  #callOpen(stream: number, generation: number, call: number, part: CallPart, end: boolean, payload: number): number {
    const at = this.#open(frames.call, stream, generation, payload);
    const { room } = this.#out;
    room.view.setUint32(at + places.call.call, call, true);
    room.bytes[at + places.call.part] = part;
    room.bytes[at + places.call.end] = end ? 1 : 0;
    return at + frames.call.size;
  }

  #opsFrame(stream: number, generation: number, type: HeaderType, ops: OpList, from: number, to: number): void {
    let size = 0;
    for (let i = from; i < to; i += 3) size += opSize(ops, i);
    const at = this.#open(frames.ops, stream, generation, size);
    const { room } = this.#out;
    room.bytes[at + places.ops.type] = type;
    writeOps(room, at + frames.ops.size, ops, from, to);
    this.#out.commit();
  }

  /** Sends all but the last frame's worth of a long list as Ops frames; returns where the rest begins, -1 when one
   *  operation fits no frame. */
  #leadingOps(stream: number, generation: number, type: HeaderType, ops: OpList): number {
    const most = this.#out.maxRecord - frames.answer.size - 8;
    for (let i = 0; i < ops.length; i += 3) if (opSize(ops, i) > most) return -1;
    let from = 0;
    for (;;) {
      const to = opsThatFit(ops, from, this.#part);
      if (to >= ops.length) return from;
      this.#opsFrame(stream, generation, type, ops, from, to);
      from = to;
    }
  }
}

/** Small parts byte by byte: a subarray for TypedArray.set costs more than they do. */
function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start < 64) {
    for (let i = start; i < end; i++, at++) to[at] = from[i] as number;
  } else if (start === 0 && end === from.length) {
    to.set(from, at);
  } else {
    to.set(from.subarray(start, end), at);
  }
}

function utf8(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return bytes.length <= TEXT_BYTES ? bytes : bytes.subarray(0, TEXT_BYTES);
}
