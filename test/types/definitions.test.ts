/** What TypeScript makes of definitions: every order of the properties, both compilers. */
import { beforeAll, describe, expect, it } from 'vitest';
import { COMPILERS, type Compiler, type Diagnostic, typecheck } from './compile.js';
import { MISTAKES, orders } from './mistakes.js';

const HEADING = `import { defineFilter, perChunk, StatusType, type Filter, type Json, type StandardSchema } from 'envoy-ts-filter';
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(equal: Equal<A, B>): void;
void [perChunk, StatusType, same];
type Unused = [Filter, Json, StandardSchema<Json>];
`;

interface Case {
  readonly title: string;
  readonly before?: string;
  readonly properties: readonly string[];
  /** Orders in which TypeScript can know the types; all unless given. In the others it must refuse, not guess. */
  readonly known?: (order: readonly string[]) => boolean;
}

const above = (order: readonly string[], first: string, ...later: string[]): boolean => {
  const place = (start: string): number => order.findIndex((property) => property.startsWith(start));
  return later.every((one) => place(first) < place(one));
};

const ATTRIBUTES = `{ readonly 'request.path': string | undefined; readonly 'response.code': number | undefined }`;
const DECLARED = [`attributes: ['request.path', 'response.code'],`, `phases: ['decodeHeaders', 'transformResponse'],`];
/** As one property, where six would only mean more orders of the same. */
const TOGETHER = DECLARED.join('\n');
/** Uses of the config C, a route's config R, and what is declared. */
const use = (c: string, r: string): string[] => [
  `mergeConfig(parent, child) { same<typeof parent, ${c}>(true); same<typeof child, ${r}>(true); return parent; },`,
  `create(config, callbacks) {
  same<typeof config, ${c}>(true);
  same<typeof callbacks.attributes, ${ATTRIBUTES}>(true);
  return {
    decodeHeaders(headers, endStream) { same<typeof endStream, boolean>(true); headers.host = 'a'; },
    async *transformResponse(body, ctx) { same<typeof ctx.headers.status, number>(true); yield* body; },
  };
},`,
];

const RIGHT: readonly Case[] = [
  {
    title: 'config from a zod schema',
    before: `import { z } from 'zod';`,
    properties: [
      'schema: z.object({ table: z.string().default("x"), n: z.coerce.number() }),',
      ...use('{ table: string; n: number }', '{ table: string; n: number }'),
      'destroyConfig(config) { same<typeof config, { table: string; n: number }>(true); },',
      ...DECLARED,
    ],
  },
  {
    title: "config from a schema of one's own",
    before: `const table: StandardSchema<{ table: string }> = {
  '~standard': { version: 1, vendor: 'me', validate: (value) => ({ value }), types: undefined },
};`,
    properties: ['schema: table,', ...use('{ table: string }', '{ table: string }'), TOGETHER],
  },
  {
    title: 'config and route config from functions whose parameters have types',
    properties: [
      'parseConfig(raw: Json | undefined) { return { table: String(raw) }; },',
      'parseRouteConfig: (raw: Json | undefined) => ({ route: Number(raw) }),',
      ...use('{ table: string }', '{ route: number }'),
      TOGETHER,
    ],
  },
  {
    title: 'config and route config from asynchronous functions without parameters',
    properties: [
      'async parseConfig() { return { table: "x" }; },',
      'parseRouteConfig: () => Promise.resolve({ route: 1 }),',
      ...use('{ table: string }', '{ route: number }'),
      TOGETHER,
    ],
  },
  {
    title: "config from a function whose parameter's type is inferred",
    properties: [
      'parseConfig(raw, cx) { same<typeof raw, Json | undefined>(true); cx.log.info("x"); return { table: "x" }; },',
      ...use('{ table: string }', '{ table: string }'),
      'destroyConfig(config) { same<typeof config, { table: string }>(true); },',
      TOGETHER,
    ],
    known: (order) => above(order, 'parseConfig', 'create', 'mergeConfig', 'destroyConfig'),
  },
  {
    title: "route config from a function whose parameter's type is inferred",
    before: `import { z } from 'zod';`,
    properties: [
      'schema: z.object({ table: z.string() }),',
      'parseRouteConfig: async (raw, { signal }) => { signal.throwIfAborted(); return { route: raw === null }; },',
      ...use('{ table: string }', '{ route: boolean }'),
      TOGETHER,
    ],
    known: (order) => above(order, 'parseRouteConfig', 'mergeConfig'),
  },
  {
    title: 'raw JSON without either, no attributes, every phase',
    properties: [
      `name: 'a',`,
      'mergeConfig: (parent, child) => { same<typeof child, Json | undefined>(true); return parent; },',
      'destroyConfig: (config) => { same<typeof config, Json | undefined>(true); },',
      `create: (config, callbacks) => {
  same<typeof config, Json | undefined>(true);
  same<typeof callbacks.attributes, {}>(true);
  return {
    async decodeHeaders(headers) {
      headers.path += '?';
      if (headers.has('x')) return callbacks.sendLocalReply(403);
      return StatusType.StopAndBufferWatermark;
    },
    decodeData: (data, endStream) => (endStream ? data.append('x') : StatusType.StopNoBuffer),
    decodeTrailers: (trailers) => { trailers.set('a', 'b'); return StatusType.Running; },
    encodeHeaders: (headers) => { headers.status = 201; return StatusType.StopAndBuffer; },
    transformResponse: perChunk(function* (chunk, last) { yield chunk; if (last) yield 'end'; }),
    encodeTrailers() { return Promise.resolve(StatusType.Continue); },
    onLogDownstreamStart: (entry) => { same<typeof entry.request.path, string>(true); },
    onLogDownstreamPeriodic() {},
    onLog({ response }) { void response?.get('x'); },
    onStreamComplete() {},
    onDestroy(reason) { same<typeof reason, 'complete' | 'reset' | 'host_drain'>(true); },
  };
},`,
    ],
  },
  {
    title: 'one body style per direction, of any shape',
    properties: [
      `attributes: [],`,
      `phases: ['transformRequest', 'encodeData'],`,
      'create: () => ({ transformRequest: new TransformStream<Uint8Array, Uint8Array>(), async encodeData(data) { data.set(""); } }),',
    ],
  },
  {
    title: 'a class',
    before: `class F { #n = 0; decodeHeaders() { this.#n++; } transformResponse = perChunk((chunk) => { void this.#n; return chunk; }); }`,
    properties: [
      `phases: ['decodeHeaders', 'transformResponse'],`,
      'mergeConfig: (parent) => parent,',
      'create: () => new F(),',
    ],
  },
];

interface Expected {
  readonly file: string;
  readonly title: string;
  /** Per order: its first and last line, and the lines that must be refused; undefined = any, at least one. */
  readonly spans: { readonly from: number; readonly to: number; readonly wrong: number[] | undefined }[];
}

const files = new Map<string, string>();
const expected: Expected[] = [];

function add(file: string, one: Case, at?: 'call'): void {
  const spans: Expected['spans'] = [];
  const lines = [...HEADING.split('\n'), ...(one.before ?? '').split('\n')];
  // `name` says nothing about types; it stands first unless a case moves it.
  const named = one.properties.some((property) => property.startsWith('name:'));
  for (const order of orders(one.properties)) {
    const from = lines.length + 1;
    lines.push('defineFilter({');
    if (!named) lines.push(`name: 'a',`);
    for (const property of order) lines.push(...property.split('\n'));
    lines.push('});');
    const to = lines.length;
    let wrong: number[] | undefined = [];
    if (at === 'call') wrong = [from];
    else if (one.known?.(order) === false) wrong = undefined;
    else for (let n = from; n <= to; n++) if (lines[n - 1]!.endsWith('// wrong')) wrong.push(n);
    spans.push({ from, to, wrong });
  }
  files.set(file, lines.join('\n'));
  expected.push({ file, title: one.title, spans });
}

RIGHT.forEach((one, i) => add(`right-${i}.ts`, one));
MISTAKES.forEach((one, i) => add(`wrong-${i}.ts`, one, one.at));

let found: Map<Compiler, Diagnostic[]>;
beforeAll(async () => {
  found = await typecheck(files);
}, 240_000);

describe.each(COMPILERS)('%s', (compiler) => {
  it.each(expected.map((one) => [one.title, one] as const))('%s', (_title, { file, spans }) => {
    const diagnostics = found.get(compiler)!.filter((one) => one.file === file);
    const source = files.get(file)!.split('\n');
    const seen = new Map<number, string[]>();
    for (const { line, text } of diagnostics) seen.set(line, [...(seen.get(line) ?? []), text]);
    const show = (lines: readonly number[]): string[] =>
      lines.map((n) => `${n}: ${source[n - 1]!.slice(0, 80)}  ${(seen.get(n) ?? []).join(' ')}`);
    const [outside] = spans;
    expect(show([...seen.keys()].filter((line) => line < outside!.from)), 'before the definitions').toEqual([]);
    for (const { from, to, wrong } of spans) {
      const refused = [...seen.keys()].filter((line) => line >= from && line <= to);
      if (wrong === undefined) expect(refused, source.slice(from - 1, to).join('\n')).not.toEqual([]);
      else expect(show(refused), source.slice(from - 1, to).join('\n')).toEqual(show(wrong));
    }
  });
});
