/** One call for each request, to runtimes of filters/calls and by fetch: the answer is the header. */
import { defineFilter } from 'envoy-ts-filter';
import { load, type LoadOptions } from 'envoy-ts-filter/calls';

interface Echo {
  echo(text: string): string;
}

const at = (path: string): URL => new URL(`../../${path}`, import.meta.url);
const module = at('filters/calls/clients/typescript/echo.ts');
const echo = (options: LoadOptions) => load<Echo>('echo', undefined, options);
const runtimes: { readonly [way: string]: (signal: AbortSignal) => Promise<string> } = {
  worker: by(echo({ module })),
  'worker-global': by(echo({ module, isGlobal: true })),
  python: by(echo({ command: ['python3', 'echo.py'], cwd: at('filters/calls/clients/python/') })),
  go: by(echo({ command: ['./go-echo'], cwd: at('build/calls/') })),
};

function by(runtime: ReturnType<typeof echo>): (signal: AbortSignal) => Promise<string> {
  return (signal) => runtime.echo('1', { signal });
}

async function fetched(port: number, signal: AbortSignal): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${String(port)}/echo`, { signal });
  return answer.text();
}

export default defineFilter({
  name: 'bench-calls',
  phases: ['decodeHeaders', 'encodeHeaders'],
  parseConfig: (raw) => raw as { way: string; port: number },
  create: ({ way, port }, { signal }) => ({
    async decodeHeaders(headers) {
      headers.set('x-bench-request', await (runtimes[way]?.(signal) ?? fetched(port, signal)));
    },
    encodeHeaders(headers) {
      headers.set('x-bench-response', '1');
    },
  }),
});
