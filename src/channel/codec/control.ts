/** Socket messages (schema: "socket"). They are rare, so the plain Builder and plain objects do. */
import { Builder, ByteBuffer } from 'flatbuffers';
import type { MetricKind } from '../../base/wire.js';
import {
  Channel,
  ChannelDone,
  ChannelReady,
  ConfigVerdict,
  ControlKind,
  Drain,
  FilterConfig,
  ForgetConfig,
  Generation,
  Hello,
  Protocol,
  Refused,
  TakeOver,
  type TakeOverStep,
  Welcome,
} from './generated/index.js';

export interface HelloMessage {
  readonly major: number;
  readonly minor: number;
  readonly moduleVersion: string;
  readonly envoyVersion: string;
  readonly concurrency: number;
}

/** A metric that the operator declared; its place in the list is its number. */
export interface MetricMessage {
  readonly name: string;
  readonly kind: MetricKind;
  /** Names of the labels, in the order in which their values cross. */
  readonly labels: readonly string[];
}

/** One filter of a list. */
export interface ChainedFilterMessage {
  readonly name: string;
  /** JSON text, undefined when the configuration has none. */
  readonly config: string | undefined;
}

export interface FilterConfigMessage {
  readonly id: number;
  readonly name: string;
  readonly route: boolean;
  /** JSON text, undefined when the configuration has none. */
  readonly config: string | undefined;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly logLevel: number;
  readonly streamWindow: number;
  /** Capability bits. */
  readonly capabilities: number;
  readonly metrics: readonly MetricMessage[];
  /** Several filters that run as one list, instead of `name` and `config`; empty = no list. */
  readonly filters: readonly ChainedFilterMessage[];
  /** For whole bodies that the host gathers. */
  readonly maxBodyBytes: number;
}

export interface ChannelMessage {
  readonly id: number;
  readonly worker: number;
  readonly ringBytes: number;
  /** Which filters are to serve it; 0 = those of the connection's beginning. */
  readonly generation: number;
}

export interface VerdictMessage {
  readonly id: number;
  readonly accepted: boolean;
  /** Not accepted, and not the last word. */
  readonly unavailable?: true;
  readonly message: string;
  readonly phases: number;
  readonly attributes: readonly number[];
  /** Of the filters that judge; 0 = those of the connection's beginning. */
  readonly generation: number;
  readonly stateless: boolean;
}

/** What a module may say, or a host that wants this one's place. Kinds that this version does not know are undefined: a newer minor may have more. */
export type ModuleMessage =
  | { readonly kind: ControlKind.Hello; readonly hello: HelloMessage }
  | { readonly kind: ControlKind.FilterConfig; readonly config: FilterConfigMessage }
  | { readonly kind: ControlKind.Channel; readonly channel: ChannelMessage }
  | { readonly kind: ControlKind.ChannelDone; readonly id: number }
  | { readonly kind: ControlKind.ForgetConfig; readonly id: number }
  | { readonly kind: ControlKind.Refused; readonly reason: string }
  | { readonly kind: ControlKind.TakeOver; readonly step: TakeOverStep };

export const PROTOCOL_MAJOR: number = Protocol.Major;
export const PROTOCOL_MINOR: number = Protocol.Minor;

/** Drain.generation: no new streams at all. */
const ALL_GENERATIONS = 0xffffffff;

export class MalformedMessage extends Error {}

/** Lengths are read from the peer; an honest message names no more entries than it has bytes. */
function listOf<T>(count: number, bytes: number, at: (index: number) => T): T[] {
  if (count > bytes) throw new MalformedMessage('list is longer than its message');
  const list: T[] = [];
  for (let i = 0; i < count; i++) list.push(at(i));
  return list;
}

export function decodeControl(kind: number, payload: Uint8Array): ModuleMessage | undefined {
  try {
    return decode(kind, payload);
  } catch (error) {
    // Offsets that point nowhere surface as RangeError and the like from the runtime.
    if (error instanceof MalformedMessage) throw error;
    throw new MalformedMessage(error instanceof Error ? error.message : String(error));
  }
}

function decode(kind: number, payload: Uint8Array): ModuleMessage | undefined {
  if (!(kind in ControlKind)) return undefined;
  if (payload.length < 8) throw new MalformedMessage('message is shorter than any table');
  const buffer = new ByteBuffer(payload);
  const root = buffer.readUint32(0);
  const vtable = root + 4 <= payload.length ? root - buffer.readInt32(root) : -1;
  if (vtable < 0 || vtable + 4 > payload.length || vtable + buffer.readUint16(vtable) > payload.length) {
    throw new MalformedMessage('table lies outside its message');
  }
  switch (kind) {
    case ControlKind.Hello: {
      const t = Hello.getRootAsHello(buffer);
      return {
        kind,
        hello: {
          major: t.major(),
          minor: t.minor(),
          concurrency: t.concurrency(),
          moduleVersion: t.moduleVersion() ?? '',
          envoyVersion: t.envoyVersion() ?? '',
        },
      };
    }
    case ControlKind.FilterConfig: {
      const t = FilterConfig.getRootAsFilterConfig(buffer);
      return {
        kind,
        config: {
          id: t.id(),
          name: t.name() ?? '',
          route: t.route(),
          config: t.config() ?? undefined,
          allow: listOf(t.allowLength(), payload.length, (i) => t.allow(i) ?? ''),
          deny: listOf(t.denyLength(), payload.length, (i) => t.deny(i) ?? ''),
          logLevel: t.logLevel(),
          streamWindow: t.streamWindow(),
          capabilities: t.capabilities(),
          metrics: listOf(t.metricsLength(), payload.length, (i) => metric(t, i, payload.length)),
          filters: listOf(t.filtersLength(), payload.length, (i) => {
            const one = t.filters(i);
            return { name: one?.name() ?? '', config: one?.config() ?? undefined };
          }),
          maxBodyBytes: Number(t.maxBodyBytes()),
        },
      };
    }
    case ControlKind.Channel: {
      const t = Channel.getRootAsChannel(buffer);
      return {
        kind,
        channel: { id: t.id(), worker: t.worker(), ringBytes: t.ringBytes(), generation: t.generation() },
      };
    }
    case ControlKind.Refused:
      return { kind, reason: Refused.getRootAsRefused(buffer).reason() ?? '' };
    case ControlKind.ChannelDone:
      return { kind, id: ChannelDone.getRootAsChannelDone(buffer).id() };
    case ControlKind.ForgetConfig:
      return { kind, id: ForgetConfig.getRootAsForgetConfig(buffer).id() };
    case ControlKind.TakeOver:
      return { kind, step: TakeOver.getRootAsTakeOver(buffer).step() };
    default:
      throw new MalformedMessage(`${ControlKind[kind] ?? kind} is a message of hosts`);
  }
}

function metric(config: FilterConfig, index: number, bytes: number): MetricMessage {
  const t = config.metrics(index);
  if (t === null) throw new MalformedMessage('a metric is missing');
  return {
    name: t.name() ?? '',
    kind: t.kind(),
    labels: listOf(t.labelsLength(), bytes, (i) => t.labels(i) ?? ''),
  };
}

function finish(builder: Builder, table: number): Uint8Array {
  builder.finish(table);
  return builder.asUint8Array();
}

export function encodeWelcome(hostVersion: string, pid: number): Uint8Array {
  const b = new Builder(128);
  const version = b.createString(hostVersion);
  return finish(b, Welcome.createWelcome(b, PROTOCOL_MAJOR, PROTOCOL_MINOR, version, pid));
}

export function encodeRefused(reason: string): Uint8Array {
  const b = new Builder(256);
  return finish(b, Refused.createRefused(b, b.createString(reason)));
}

export function encodeVerdict(verdict: VerdictMessage): Uint8Array {
  const b = new Builder(256);
  const { id, accepted, phases, generation, unavailable = false, stateless } = verdict;
  const message = b.createString(verdict.message);
  const attributes = ConfigVerdict.createAttributesVector(b, [...verdict.attributes]);
  return finish(
    b,
    ConfigVerdict.createConfigVerdict(b, id, accepted, message, phases, attributes, generation, unavailable, stateless),
  );
}

export function encodeChannelReady(id: number): Uint8Array {
  const b = new Builder(64);
  return finish(b, ChannelReady.createChannelReady(b, id));
}

/** `drained`: the time that its streams had for their end is up. */
export function encodeChannelDone(id: number, drained: boolean): Uint8Array {
  const b = new Builder(64);
  return finish(b, ChannelDone.createChannelDone(b, id, drained));
}

export function encodeGeneration(generation: number): Uint8Array {
  const b = new Builder(64);
  return finish(b, Generation.createGeneration(b, generation));
}

/** Without a generation: no new streams at all. */
export function encodeDrain(generation = ALL_GENERATIONS): Uint8Array {
  const b = new Builder(64);
  return finish(b, Drain.createDrain(b, generation));
}

export function encodeTakeOver(step: TakeOverStep): Uint8Array {
  const b = new Builder(64);
  return finish(b, TakeOver.createTakeOver(b, step));
}
