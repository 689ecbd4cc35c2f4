/**
 * Modules of other releases: what they said once, byte for byte (protocol-*.json), is understood by the host of today, and they
 * understand what it says. `make record-peer` writes the record of the protocol as it is now.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ControlKind, FrameKind } from '../../src/channel/codec/generated/index.js';
import { PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../../src/channel/codec/index.js';
import { Child } from '../../src/testing/envoy/child.js';
import { FakeModule, type FakeChannel } from '../fixture/fake-module.js';
import { hostScript, nodeBinary, root } from '../fixture/paths.js';
import { eventually } from '../../src/testing/envoy/wait.js';

type Said = readonly (readonly [kind: number, hex: string])[];
const STEPS = ['request headers', 'request body', 'response headers', 'end'] as const;
interface Side {
  readonly socket: Said;
  readonly frames: Readonly<Record<(typeof STEPS)[number], Said>>;
}
interface PeerRecord {
  readonly module: Side;
  readonly host: Side;
}

const HERE = join(root, 'test', 'compat');
const CURRENT = `protocol-${PROTOCOL_MAJOR}.${PROTOCOL_MINOR}.json`;
/** Where the module of today has written what it says; then the rest of the record is made. */
const RECORDING = process.env['RECORD_PEER'];

const FILTER = `import { defineFilter } from 'envoy-ts-filter';
export default defineFilter({
  name: 'compat',
  create: ({ word }) => ({
    async decodeHeaders(headers) { headers.set('x-compat', headers.get('x-asked') === 'yes' ? word : 'nobody asked'); },
    async *transformRequest(body) { for await (const chunk of body) yield new TextEncoder().encode(new TextDecoder().decode(chunk).toUpperCase()); },
    encodeHeaders(headers) { headers.set('x-compat', 'back'); },
  }),
});
`;

/** Reads a table as a peer does that knows of no field behind those that it asks for. */
class Table {
  readonly #view: DataView;
  readonly #at: number;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = this.#view.getUint32(0, true);
  }

  #place(slot: number): number | undefined {
    const vtable = this.#at - this.#view.getInt32(this.#at, true);
    const at = 4 + 2 * slot;
    const offset = at < this.#view.getUint16(vtable, true) ? this.#view.getUint16(vtable + at, true) : 0;
    return offset === 0 ? undefined : this.#at + offset;
  }

  u8(slot: number): number {
    const place = this.#place(slot);
    return place === undefined ? 0 : this.#view.getUint8(place);
  }

  u32(slot: number): number {
    const place = this.#place(slot);
    return place === undefined ? 0 : this.#view.getUint32(place, true);
  }

  text(slot: number): string {
    const place = this.#place(slot);
    if (place === undefined) return '';
    const at = place + this.#view.getUint32(place, true);
    const length = this.#view.getUint32(at, true);
    return Buffer.from(this.#view.buffer, this.#view.byteOffset + at + 4, length).toString('latin1');
  }
}

const folder = mkdtempSync(join(tmpdir(), 'tsf-compat-'));
afterAll(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'compat.ts'), FILTER);
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const entry = ({ kind, payload }: { kind: number; payload: Uint8Array }) =>
  [kind, Buffer.from(payload).toString('hex')] as const;

/** What the host of today says to such a module. */
async function converse(module: Side): Promise<Side> {
  const socket = join(folder, 's');
  const host = new Child('ts-filter-host', nodeBinary, [hostScript, folder, '--socket', socket, '--no-supervise']);
  ends.push(() => host.kill());
  await host.waitForOutput(/"listening"/);
  const peer = new FakeModule(socket);
  ends.push(() => peer.close());
  let channel: FakeChannel | undefined;
  for (const [kind, hex] of module.socket) {
    if (kind === ControlKind.Channel) channel = peer.offerRecorded(bytes(hex));
    else peer.send(kind, bytes(hex));
    if (kind === ControlKind.Hello) await eventually('a Welcome', () => peer.received.includes(ControlKind.Welcome));
  }
  for (const kind of [ControlKind.ConfigVerdict, ControlKind.ChannelReady])
    await eventually(`message ${kind} of the host`, () => peer.received.includes(kind));
  const frames = {} as Record<(typeof STEPS)[number], Said>;
  for (const step of STEPS) {
    const before = channel!.frames.length;
    for (const [kind, hex] of module.frames[step]) channel!.frame(kind, bytes(hex));
    const isThrough = () => {
      const said = channel!.frames.slice(before);
      if (step === 'request body') return said.some((one) => one.kind === FrameKind.Output && isLast(one.payload));
      return step === 'end' || said.some((one) => one.kind === FrameKind.Answer);
    };
    await eventually(`the host's frames for ${step}`, isThrough);
    if (step === 'end') await peer.settle();
    frames[step] = channel!.frames.slice(before).map(entry);
  }
  expect(peer.closed, host.output).toBe(false);
  return { socket: peer.messages.map(entry), frames };
}

// As the schema of that time has it: Answer {stream generation type mode phases block}, Output {stream generation
// direction flags acknowledged bytes}, Welcome {major}, ConfigVerdict {id accepted}.
const isLast = (payload: Uint8Array): boolean => (new Table(payload).u8(3) & 2) !== 0;

function understood(said: Side): void {
  const ofKind = (from: Said, kind: number) =>
    from.filter(([one]) => one === kind).map(([, hex]) => new Table(bytes(hex)));
  expect(ofKind(said.socket, 2).map((welcome) => welcome.u32(0))).toEqual([PROTOCOL_MAJOR]);
  expect(ofKind(said.socket, 4).map((verdict) => [verdict.u32(0), verdict.u8(1)])).toEqual([[42, 1]]);
  const [request] = ofKind(said.frames['request headers'], 64);
  expect([request!.u32(0), request!.u32(1), request!.u8(2), request!.u8(3)]).toEqual([0, 1, 0, 1]);
  expect(request!.text(5)).toContain('x-compathola');
  const outputs = ofKind(said.frames['request body'], 65);
  expect(outputs.map((output) => output.text(5)).join('')).toBe('HELLO');
  expect(outputs.reduce((sum, output) => sum + output.u32(4), 0)).toBe(5);
  const [response] = ofKind(said.frames['response headers'], 64);
  expect([response!.u8(2), response!.text(5).includes('x-compatback')]).toEqual([2, true]);
}

const names = readdirSync(HERE).filter((name) => {
  const [, major, minor] = /^protocol-(\d+)\.(\d+)\.json$/.exec(name) ?? [];
  return Number(major) === PROTOCOL_MAJOR && Math.abs(Number(minor) - PROTOCOL_MINOR) <= 1;
});

if (RECORDING === undefined) {
  it('there is a record of this protocol', () => expect(names, 'make record-peer, and commit it').toContain(CURRENT));

  describe.each(names)('the module of %s', (name) => {
    it('is greeted, served and understands', async () => {
      const record = JSON.parse(readFileSync(join(HERE, name), 'utf8')) as PeerRecord;
      understood(await converse(record.module));
    });
  });
} else {
  it(`${CURRENT} is recorded`, async () => {
    const module = JSON.parse(readFileSync(RECORDING, 'utf8')) as Side;
    const record = { module, host: await converse(module) };
    understood(record.host);
    writeFileSync(join(HERE, CURRENT), `${JSON.stringify(record, null, 1)}\n`);
  });
}
