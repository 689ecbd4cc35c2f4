import { defineFilter, type FilterCallbacks } from 'envoy-ts-filter';

const WAYS: Readonly<Record<string, (text: string, callbacks: FilterCallbacks) => void>> = {
  console: (text) => console.log(text),
  error: (text) => console.error(text),
  stdout: (text) => process.stdout.write(`${text}\n`),
  log: (text, callbacks) => callbacks.log.info(text),
};

/** `?way=<name>&lines=<n>`: so many lines of 4 KB, each with the request's number. */
export default defineFilter({
  name: 'talkative',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    decodeHeaders(headers) {
      const query = new URL(`http://a${headers.path}`).searchParams;
      const say = WAYS[query.get('way') ?? ''];
      const lines = Number(query.get('lines'));
      for (let i = 0; i < lines; i++) say?.(`said ${query.get('n')}-${i} ${'.'.repeat(4000)}`, callbacks);
    },
  }),
});
