/** Many calls on one runtime of filters/calls, and calls of streams that die. The answers of what is asked are JSON. */
import { defineFilter } from 'envoy-ts-filter';
import { CallsError, load } from 'envoy-ts-filter/calls';
import { LANGUAGES } from '../../calls/languages.js';

interface Conformance {
  echo(payload: { n: number; text: string }): { n: number; text: string };
  sleep(ms: number): number;
  cancelled(): number;
  exit(): never;
}

const { conformance } = LANGUAGES.find(({ name }) => name === 'Go')!;
const go = load<Conformance>('conformance', undefined, { ...conformance, timeoutMs: 60_000 });
let begun = 0;

const codeOf = (e: unknown): string => (CallsError.is(e) ? e.code : String(e));
const codes = (calls: readonly Promise<unknown>[]): Promise<string[]> =>
  Promise.all(calls.map((call) => call.then(() => 'answered', codeOf)));

async function many(count: number): Promise<object> {
  const text = 'x'.repeat(1000);
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => go.echo({ n, text })));
  return { right: answers.filter((answer, n) => answer.n === n && answer.text === text).length };
}

async function killed(): Promise<object> {
  await go.sleep(1);
  const calls = Array.from({ length: 100 }, () => go.sleep(60_000));
  return { exit: await codes([go.exit()]), calls: await codes(calls), after: await go.sleep(1) };
}

const ACTS: { readonly [path: string]: () => Promise<object> } = {
  '/many': () => many(10_000),
  '/killed': killed,
  '/stats': async () => ({ begun, cancelled: await go.cancelled() }),
};

export default defineFilter({
  name: 'calls-load',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      callbacks.extendTimeout(60_000);
      const act = ACTS[headers.path];
      if (act !== undefined) return callbacks.sendLocalReply(200, { body: JSON.stringify(await act()) });
      const call = go.sleep(60_000, callbacks);
      begun++;
      await call;
      return undefined;
    },
  }),
});
