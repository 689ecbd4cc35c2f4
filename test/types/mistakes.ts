/**
 * Mistakes in definitions, in JavaScript that is TypeScript too: the compilers must refuse each at the marked line, in every
 * order of the properties, and `ts-filter-host check` must find the same text in a .js filter.
 */
export interface Mistake {
  readonly title: string;
  /** Statements before the definition. */
  readonly before?: string;
  /** The properties besides `name`. */
  readonly properties: readonly string[];
  /** Where TypeScript shows it: the lines that end in `// wrong`, unless it can only show the call. It shows some on
   *  every hook of the filter, others on the whole of `create`. */
  readonly at?: 'call';
  /** What the host says when it loads the file, after the place: the key and the mend. */
  readonly load?: RegExp;
  /** What `check` says after the place, where it says more than TypeScript. */
  readonly mend?: RegExp;
}

/** For statuses and shapes: beside these, a right property of each other kind. */
const BESIDE = [`attributes: ['request.path'],`, `mergeConfig: (parent, child) => child ?? parent,`];

export const MISTAKES: readonly Mistake[] = [
  {
    title: 'a misspelt hook',
    properties: [...BESIDE, `create: () => ({ // wrong\n  decodeHeader() {},\n}),`],
    mend: /has decodeHeader, which is no hook; did you mean "decodeHeaders"\?/,
  },
  {
    title: 'a misspelt hook beside right ones',
    properties: [
      ...BESIDE,
      `create(config, callbacks) { // wrong\n  callbacks.log.info('new');\n  return { decodeHeaders() {}, onLogg() {} };\n},`,
    ],
    mend: /has onLogg, which is no hook; did you mean "onLog"\?/,
  },
  {
    title: 'a misspelt transform',
    properties: [
      ...BESIDE,
      `create: () => ({ // wrong\n  async *transformResponze(/** @type {any} */ body = []) { yield* body; },\n}),`,
    ],
    mend: /has transformResponze, which is no hook; did you mean "transformResponse"\?/,
  },
  {
    title: 'a misspelt hook in one of two filters',
    properties: [
      `create: (config, callbacks) => (callbacks.attempt > 1 ? { decodeHeaders() {} } : { encodeHeader() {} }), // wrong`,
    ],
    mend: /has encodeHeader, which is no hook; did you mean "encodeHeaders"\?/,
  },
  {
    title: 'a class with a misspelt method',
    before: 'class F {\n  decodeHeader() {}\n}',
    properties: [...BESIDE, 'create: () => new F(), // wrong'],
    mend: /has decodeHeader, which is no hook; did you mean "decodeHeaders"\?/,
  },
  {
    title: 'a class whose base has a misspelt method',
    before: 'class Base {\n  onDestory() {}\n}\nclass F extends Base {\n  decodeHeaders() {}\n}',
    properties: ['create: () => new F(), // wrong'],
    mend: /has onDestory, which is no hook; did you mean "onDestroy"\?/,
  },
  {
    title: 'a function elsewhere that makes a misspelt hook',
    before: 'const make = () => {\n  const filter = { encodeDate() {}, onLog() {} };\n  return filter;\n};',
    properties: ['create: () => make(), // wrong'],
    mend: /has encodeDate, which is no hook; did you mean "encodeData"\?/,
  },
  {
    title: 'both body styles for the request',
    properties: [
      ...BESIDE,
      `create: () => ({ // wrong\n  decodeData() {},\n  transformRequest: perChunk((chunk) => chunk),\n}),`,
    ],
    mend: /has decodeData and transformRequest: one or the other/,
  },
  {
    title: 'both body styles for the response',
    properties: [
      ...BESIDE,
      `create: () => ({ // wrong\n  encodeData() {},\n  async *transformResponse(body) { yield* body; },\n}),`,
    ],
    mend: /has encodeData and transformResponse: one or the other/,
  },
  {
    title: 'both body styles in a class',
    before: 'class F {\n  encodeData() {}\n  transformResponse = perChunk((chunk) => chunk);\n}',
    properties: ['create: () => new F(), // wrong'],
    mend: /has encodeData and transformResponse: one or the other/,
  },
  {
    title: 'a misspelt phase',
    properties: [...BESIDE, `phases: ['decodeHeader'], // wrong`, 'create: () => ({}),'],
    load: /a\.phases\[0\]: "decodeHeader" is not a phase; did you mean "decodeHeaders"\?/,
  },
  {
    title: 'onDestroy as a phase',
    properties: [`phases: ['onDestroy'], // wrong`, 'create: () => ({}),'],
    load: /a\.phases\[0\]: "onDestroy" is not a phase; onDestroy needs no declaration/,
  },
  {
    title: 'a hook outside the phases',
    properties: [
      ...BESIDE,
      `phases: ['decodeHeaders'],`,
      'create: () => ({\n  decodeHeaders() {},\n  encodeHeaders() {}, // wrong\n}),',
    ],
    mend: /add encodeHeaders to phases/,
  },
  {
    title: 'a class with a hook outside the phases',
    before: 'class F {\n  decodeHeaders() {}\n  onLog() {}\n}',
    properties: [`phases: ['decodeHeaders'],`, 'create: () => new F(), // wrong'],
    mend: /add onLog to phases/,
  },
  {
    title: 'a misspelt attribute',
    properties: [`attributes: ['request.path', 'request.pth'], // wrong`, `phases: [],`, 'create: () => ({}),'],
    load: /a\.attributes\[1\]: "request\.pth" is not an attribute of Envoy; did you mean "request\.path"\?/,
  },
  {
    title: 'an attribute that is not declared',
    properties: [
      `attributes: ['request.path'],`,
      `phases: ['decodeHeaders'],`,
      `create: (config, callbacks) => ({
  decodeHeaders(headers) {
    headers.set('x-method', String(callbacks.attributes['request.method'])); // wrong
  },
}),`,
    ],
    mend: /request\.method/,
  },
  {
    title: 'an attribute that is not declared, from destructured callbacks',
    properties: [
      `create(config, { attributes }) {\n  return { decodeHeaders: () => void attributes['request.size'] }; // wrong\n},`,
    ],
    mend: /request\.size/,
  },
  {
    title: 'StopNoBuffer from a headers hook',
    properties: [...BESIDE, 'create: () => ({\n  decodeHeaders: () => StatusType.StopNoBuffer, // wrong\n}),'],
    mend: /answers what is no status here; answer one of Running/,
  },
  {
    title: 'StopNoBuffer from an async headers hook',
    properties: [
      ...BESIDE,
      `create: () => ({
  async encodeHeaders(headers) { // wrong
    if (headers.status === 200) return StatusType.Continue;
    return StatusType.StopNoBuffer;
  },
}),`,
    ],
    mend: /answers what is no status here; answer one of Running/,
  },
  {
    title: 'StopAndBuffer from a trailers hook',
    properties: [
      ...BESIDE,
      `create: () => ({
  decodeTrailers(trailers) { // wrong
    return trailers.has('x') ? undefined : StatusType.StopAndBuffer;
  },
}),`,
    ],
    mend: /answers what is no status here; answer one of Running/,
  },
  {
    title: 'StopAndBufferWatermark from a trailers hook',
    properties: ['create: () => ({\n  encodeTrailers: () => StatusType.StopAndBufferWatermark, // wrong\n}),'],
    mend: /answers what is no status here; answer one of Running/,
  },
  {
    title: 'a number that is no status',
    properties: [...BESIDE, 'create: () => ({\n  decodeData: () => 7, // wrong\n}),'],
    mend: /answers what is no status here; answer one of Running/,
  },
  {
    title: 'a word instead of a status',
    properties: [...BESIDE, `create: () => ({\n  encodeData: () => 'Continue', // wrong\n}),`],
    mend: /answers what is no status here; answer one of Running/,
  },
  {
    title: 'a status that does not exist',
    properties: [`create: () => ({\n  decodeData: () => StatusType.StopAndBuffr, // wrong\n}),`],
    mend: /StopAndBuffr.* Did you mean 'StopAndBuffer'\?/,
  },
  {
    title: 'a hook that is no function',
    properties: [...BESIDE, `create: () => ({\n  decodeHeaders: 'x-user', // wrong\n}),`],
  },
  {
    title: 'a transform that is none',
    properties: [...BESIDE, `create: () => ({\n  transformResponse: 5, // wrong\n}),`],
  },
  {
    title: 'a transform that is an async function',
    properties: [
      ...BESIDE,
      `create: () => ({\n  async transformResponse(body) { for await (const chunk of body) void chunk; }, // wrong\n}),`,
    ],
    mend: /is an async function; make it an async generator/,
  },
  {
    title: 'an async function in perChunk',
    properties: [...BESIDE, `create: () => ({\n  transformRequest: perChunk(async (chunk) => chunk), // wrong\n}),`],
  },
  {
    title: 'an async create',
    properties: [...BESIDE, 'create: async () => ({}), // wrong'],
    mend: /is a promise: create\(\) cannot be async/,
  },
  {
    title: 'a create that returns a number',
    properties: [...BESIDE, 'create: () => 5, // wrong'],
  },
  {
    title: 'a create that returns nothing',
    properties: [...BESIDE, `create: () => {}, // wrong`],
  },
  {
    title: 'schema and parseConfig',
    before: `import { z } from 'zod';`,
    properties: ['schema: z.object({}),', 'parseConfig: () => ({}),', 'create: () => ({}),'],
    at: 'call',
    load: /a\.schema: schema or parseConfig, not both/,
  },
  {
    title: 'a schema that is none',
    properties: ['schema: {}, // wrong', 'create: () => ({}),'],
    load: /a\.schema: must be a Standard Schema/,
  },
  {
    title: 'a misspelt property',
    properties: ['parsConfig: () => 1, // wrong', ...BESIDE.slice(0, 1), 'create: () => ({}),'],
    load: /a\.parsConfig: is not part of a definition; did you mean "parseConfig"\?/,
  },
  {
    title: 'a hook in the definition',
    properties: ['decodeHeaders() {}, // wrong', ...BESIDE.slice(0, 1), 'create: () => ({}),'],
    load: /a\.decodeHeaders: is not part of a definition; hooks belong into what create\(\) returns/,
  },
  {
    title: 'a mergeConfig that is no function',
    properties: ['mergeConfig: 1, // wrong', 'create: () => ({}),'],
    load: /a\.mergeConfig: must be a function/,
  },
  {
    title: 'no create',
    properties: [`attributes: ['request.path'],`],
    at: 'call',
    load: /a\.create: must be a function/,
  },
];

/** A module with that definition. `heading` comes first. */
export function moduleOf({ before = '', properties }: Pick<Mistake, 'before' | 'properties'>, heading: string): string {
  return `${heading}\n${before}\nexport default defineFilter({\nname: 'a',\n${properties.join('\n')}\n});\n`;
}

export const JS_HEADING = `import { defineFilter, perChunk, StatusType } from 'envoy-ts-filter';`;

/** Every order of a list. */
export function* orders<T>(list: readonly T[]): Generator<T[]> {
  if (list.length < 2) {
    yield [...list];
    return;
  }
  for (let i = 0; i < list.length; i++) {
    for (const rest of orders([...list.slice(0, i), ...list.slice(i + 1)])) yield [list[i]!, ...rest];
  }
}
