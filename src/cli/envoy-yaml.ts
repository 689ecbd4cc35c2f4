/** An envoy.yaml (or JSON) as `check --config` looks at it: values with their paths and places, and our entries among them. */
import { readFileSync } from 'node:fs';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml';
import { HostError } from '../base/host-errors.js';

/** A value of the file. */
export class Spot {
  readonly #document: Document;
  readonly #lines: LineCounter;
  /** An alias stands for what it names, at its own place. */
  readonly #node: unknown;
  readonly #offset: number;

  constructor(
    document: Document,
    lines: LineCounter,
    node: unknown,
    readonly path: string,
    offset = 0,
  ) {
    this.#document = document;
    this.#lines = lines;
    this.#node = isAlias(node) ? node.resolve(document) : node;
    this.#offset = (node as { range?: readonly number[] | null } | null)?.range?.[0] ?? offset;
  }

  /** `line:column`. */
  get place(): string {
    const { line, col } = this.#lines.linePos(this.#offset);
    return `${line}:${col}`;
  }

  get(key: string): Spot | undefined {
    if (!isMap(this.#node)) return undefined;
    const node = this.#node.get(key, true) ?? this.#merged(key);
    return node === undefined || node === null
      ? undefined
      : this.#child(node, this.path === '' ? key : `${this.path}.${key}`);
  }

  at(...keys: readonly string[]): Spot | undefined {
    return keys.reduce<Spot | undefined>((spot, key) => spot?.get(key), this);
  }

  get items(): readonly Spot[] {
    return isSeq(this.#node) ? this.#node.items.map((item, i) => this.#child(item, `${this.path}[${i}]`)) : [];
  }

  get entries(): readonly (readonly [string, Spot])[] {
    if (!isMap(this.#node)) return [];
    return this.#node.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : String(key);
      return [name, this.#child(value, this.path === '' ? name : `${this.path}.${name}`)];
    });
  }

  get text(): string | undefined {
    return isScalar(this.#node) && typeof this.#node.value === 'string' ? this.#node.value : undefined;
  }

  get value(): unknown {
    const node = this.#node as { toJS?(document: Document): unknown } | null;
    return node?.toJS?.(this.#document);
  }

  /** It, and all below it. */
  *all(): Generator<Spot> {
    yield this;
    for (const one of [...this.items, ...this.entries.map(([, spot]) => spot)]) yield* one.all();
  }

  #child(node: unknown, path: string): Spot {
    return new Spot(this.#document, this.#lines, node, path, this.#offset);
  }

  /** Of a map that is merged in (`<<: *base`). */
  #merged(key: string): unknown {
    if (!isMap(this.#node)) return undefined;
    const base = this.#node.get('<<', true);
    const map = isAlias(base) ? base.resolve(this.#document) : base;
    return isMap(map) ? map.get(key, true) : undefined;
  }
}

export function readConfig(path: string): Spot {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new HostError('TSF_USAGE', `--config ${path}: ${(error as Error).message}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: true, prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined) throw new HostError('TSF_USAGE', `--config ${path}: ${error.message.split('\n')[0]}`);
  return new Spot(document, lines, document.contents, '');
}

export interface Finding {
  readonly spot: Spot;
  /** What is wrong, and what to do. */
  readonly text: string;
}

export const EDGE = 'ts_filter_edge';
const isType = (spot: Spot, name: string): boolean => spot.get('@type')?.text?.endsWith(`.${name}`) === true;

/** An HTTP filter of a chain. */
export interface Entry {
  readonly name: string;
  readonly spot: Spot;
  readonly typed: Spot | undefined;
  readonly kind: 'filter' | 'edge' | 'router' | 'foreign';
}

export interface Chain {
  readonly manager: Spot;
  readonly entries: readonly Entry[];
  /** In the router. */
  readonly upstream: readonly Entry[];
}

export const isOurs = (typed: Spot): boolean =>
  isType(typed, 'DynamicModuleFilter') &&
  typed.at('dynamic_module_config', 'name')?.text?.includes('ts_filter') !== false;

function entryOf(spot: Spot): Entry {
  const typed = spot.get('typed_config');
  const name = spot.get('name')?.text ?? '';
  if (typed === undefined) return { name, spot, typed, kind: 'foreign' };
  if (isType(typed, 'Router')) return { name, spot, typed, kind: 'router' };
  if (!isOurs(typed)) return { name, spot, typed, kind: 'foreign' };
  return { name, spot, typed, kind: typed.get('filter_name')?.text === EDGE ? 'edge' : 'filter' };
}

/** The chain of each connection manager. */
export function chainsOf(config: Spot): Chain[] {
  return [...config.all()]
    .filter((spot) => isType(spot, 'HttpConnectionManager'))
    .map((manager) => {
      const entries = (manager.get('http_filters')?.items ?? []).map(entryOf);
      const router = entries.find(({ kind }) => kind === 'router');
      const upstream = (router?.typed?.get('upstream_http_filters')?.items ?? []).map(entryOf);
      return { manager, entries, upstream };
    });
}

/** Every entry of ours, wherever it stands; and what routes have for it. */
export const modulesOf = (config: Spot): Spot[] => [...config.all()].filter(isOurs);
export const routesOf = (config: Spot): Spot[] =>
  [...config.all()].filter((spot) => isType(spot, 'DynamicModuleFilterPerRoute'));

export interface Settings {
  readonly value: Readonly<Record<string, unknown>>;
  /** Where a key of it stands. */
  spotOf(key: string): Spot;
}

/** The keys of a `filter_config`: a Struct, or JSON in a StringValue. undefined: there is none that can be read. */
export function settingsOf(typed: Spot): Settings | undefined {
  const given = typed.get('filter_config');
  const inside = given?.get('value');
  if (given === undefined || inside === undefined) return { value: {}, spotOf: () => given ?? typed };
  if (inside.text === undefined) {
    const value = (inside.value ?? {}) as Readonly<Record<string, unknown>>;
    return { value, spotOf: (key) => inside.get(key) ?? inside };
  }
  try {
    return { value: JSON.parse(inside.text) as Readonly<Record<string, unknown>>, spotOf: () => inside };
  } catch {
    return undefined;
  }
}
