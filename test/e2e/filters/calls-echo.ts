/** Both echoes of the demo in every language of filters/calls: what comes back goes into headers. */
import { threadId } from 'node:worker_threads';
import { defineFilter } from 'envoy-ts-filter';
import { load } from 'envoy-ts-filter/calls';
import { LANGUAGES } from '../../calls/languages.js';

interface Echo {
  echo(text: string): string;
}
interface Shared {
  add(n: number): number;
}

const runtimes = LANGUAGES.map(({ name, echo }) => ({
  name: name.toLowerCase(),
  own: load<Echo>('echo', undefined, { ...echo, timeoutMs: 20_000 }),
  shared: load<Echo>('echo', { greeting: 'hello' }, { ...echo, isGlobal: true, timeoutMs: 20_000 }),
}));
const counter = load<Shared>('counter', undefined, {
  module: new URL('../../calls/runtimes/counter.ts', import.meta.url),
  isGlobal: true,
});

export default defineFilter({
  name: 'calls-echo',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      callbacks.extendTimeout(30_000);
      for (const { name, own, shared } of runtimes) {
        const answers = [await own.echo('foobar', callbacks), await shared.echo('hello', callbacks)];
        callbacks.log.info({ language: name }, answers.join(' '));
        headers.set(`x-${name}`, answers.join(' '));
      }
      headers.set('x-thread', String(threadId));
      headers.set('x-count', String(await counter.add(1, callbacks)));
    },
  }),
});
