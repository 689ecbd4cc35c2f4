/** Every example of the public API as a filter on a real stream: none may throw, and each of its hooks must run. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  cluster,
  eventually,
  http1,
  root,
  type AnyFilter,
  type Config,
  dynamicModulePerRoute,
} from '../fixture/index.js';
import { markdownExamples, publicSymbols } from '../support/examples.js';
import { logsOnFailure, stage } from './support.js';

const README = readFileSync(join(root, 'README.md'), 'utf8');
const examples = [...publicSymbols().flatMap((symbol) => symbol.examples), ...markdownExamples('README.md', README)];

// Inside the package, where its own name and zod are found.
mkdirSync(join(root, 'build'), { recursive: true });
const folder = mkdtempSync(join(root, 'build', 'examples-'));
afterAll(() => rmSync(folder, { recursive: true }));

examples.forEach(({ files }, i) => {
  for (const [name, source] of files) {
    const path = join(folder, `example-${i}`, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, source);
  }
});

/** All examples as filters of our names, each hook telling that it runs. */
const RUNNER = `
import { defineFilter, perChunk } from 'envoy-ts-filter';
${examples.map((_, i) => `import e${i} from './example-${i}/filter.ts';`).join('\n')}
const DEFINITION = Symbol.for('envoy-ts-filter.definition');
const CHUNK = Symbol.for('envoy-ts-filter.perChunk');
const tell = (name, what) => console.log(JSON.stringify({ example: name, what }));
function heard(name, what, fn) {
  return function (...args) {
    tell(name, what);
    return fn.apply(this, args);
  };
}
function watched(name, filter) {
  const members = new Set();
  for (let at = filter; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const key of Object.getOwnPropertyNames(at)) if (/^(decode|encode|transform|on)/.test(key)) members.add(key);
  }
  for (const key of members) {
    const value = filter[key];
    tell(name, 'has ' + key);
    if (typeof value === 'function') filter[key] = heard(name, key, value);
    else if (value[CHUNK]) filter[key] = perChunk(heard(name, key, value[CHUNK]));
    // A TransformStream is asked for its readable end when it runs.
    else filter[key] = { get readable() { tell(name, key); return value.readable; }, writable: value.writable };
  }
  return filter;
}
export default [${examples.map((_, i) => `['example-${i}', e${i}]`).join(', ')}].map(([name, made]) => {
  const definition = { ...(Array.isArray(made) ? made[0] : made)[DEFINITION], name };
  for (const key of ['parseConfig', 'mergeConfig']) {
    if (definition[key] === undefined) continue;
    tell(name, 'has ' + key);
    definition[key] = heard(name, key, definition[key]);
  }
  const { create } = definition;
  return defineFilter({ ...definition, create: (...args) => (tell(name, 'create'), watched(name, create(...args))) });
});
`;
writeFileSync(join(folder, 'runner.js'), RUNNER);

/** The service that examples call. */
const auth = createServer((_request, response) => response.end('ann\n')).listen(0, '127.0.0.1');
await once(auth, 'listening');
afterAll(() => auth.close());

const DISABLED: Config = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true };
const nameOf = (i: number): string => `example-${i}`;
const says = (i: number, ...words: string[]): boolean =>
  [...examples[i]!.files.values()].some((source) => words.some((word) => source.includes(word)));
/** On each example's path all other examples are off; the route has a config for those that merge it. */
const routes = examples.map((_, i) => ({
  match: { prefix: `/${nameOf(i)}/` },
  route: { cluster: 'upstream', timeout: '0s', prefix_rewrite: '/' },
  typed_per_filter_config: Object.fromEntries(
    examples.flatMap((_other, j) => {
      if (i !== j) return [[nameOf(j), DISABLED]];
      return says(j, 'mergeConfig') ? [[nameOf(j), dynamicModulePerRoute(nameOf(j), { plugin_config: 'route' })]] : [];
    }),
  ),
}));
const METRICS = [
  { name: 'logins', type: 'counter', labels: ['result'] },
  { name: 'requests', type: 'counter' },
  { name: 'open', type: 'gauge' },
  { name: 'path_bytes', type: 'histogram' },
];
const filters: AnyFilter[] = examples.map((_, i) => ({
  name: nameOf(i),
  options: says(i, '.metrics', '{ metrics }') ? { metrics: METRICS } : {},
}));

describe('the example of', () => {
  const at = stage({
    filters,
    routes,
    hostPaths: [join(folder, 'runner.js')],
    clusters: [cluster('auth', (auth.address() as AddressInfo).port)],
  });

  it.each(examples.map((example, i) => [example.of, i] as const))('%s runs', async (_of, i) => {
    logsOnFailure(at);
    const name = nameOf(i);
    const answer = await http1(at.port, {
      method: 'POST',
      path: `/${name}/echo?trailers=1`,
      headers: [['content-type', 'text/plain']],
      // Lines, JSON and, as one field, an event.
      body: ['{"id":1}\n', 5, '{"id":2}\n\n'],
      trailers: [['x-trailer', 'there']],
    });
    const told = () => at.fx.host.records.filter((one) => one['example'] === name).map((one) => one['what'] as string);
    await eventually(`all hooks of ${name} ran`, () => {
      const all = told();
      return (
        all.includes('create') &&
        all.filter((what) => what.startsWith('has ')).every((has) => all.includes(has.slice(4)))
      );
    });
    const errors = at.fx.host.records.filter((one) => one['filter'] === name && (one['level'] as number) >= 50);
    expect(errors).toEqual([]);
    expect(answer.complete).toBe(true);
    expect(answer.status, answer.body.toString()).not.toBe(500);
  });
});
