/** The demo of `make demo-calls`: two runtimes in Python are asked before a request goes on. */
import { defineFilter } from 'envoy-ts-filter';
import { load } from 'envoy-ts-filter/calls';

interface Echo {
  echo(text: string): string;
}

const program = { command: ['python3', 'echo.py'], cwd: new URL('./clients/python/', import.meta.url) } as const;

// One for each filter thread, and one for the whole host. Each is started by its first call.
const own = load<Echo>('echo', undefined, program);
const shared = load<Echo>('echo', { greeting: 'hello' }, { ...program, isGlobal: true });

export default defineFilter({
  name: 'calls',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    async decodeHeaders() {
      callbacks.log.info(await own.echo('foobar', callbacks));
      callbacks.log.info(await shared.echo('hello', callbacks));
    },
  }),
});
