import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, defineFilter, type Json } from 'envoy-ts-filter';

interface Config {
  /** How many lines the answer has. */
  chunks: number;
  /** Pause before each line. */
  delay_ms: number;
}

/** Answers by itself, line by line, for as long as it takes: the upstream is never asked. */
export default defineFilter({
  name: 'stream-reply',
  phases: ['decodeHeaders'],
  parseConfig: parse,
  create: (config, callbacks) => ({
    decodeHeaders: () =>
      callbacks.reply(200, { 'content-type': 'text/plain; charset=utf-8' }, slowLines(config, callbacks.signal)),
  }),
});

/** Ends with the client: a sleep that the signal breaks rejects, and the loop is over. */
async function* slowLines(config: Config, signal: AbortSignal): AsyncGenerator<string> {
  for (let line = 1; line <= config.chunks; line++) {
    await sleep(config.delay_ms, undefined, { signal });
    yield `chunk ${line} of ${config.chunks}\n`;
  }
}

function parse(raw: Json | undefined): Config {
  const { chunks = 10, delay_ms = 100 } = (raw ?? {}) as { readonly [key: string]: Json };
  return { chunks: wholeNumber('chunks', chunks), delay_ms: wholeNumber('delay_ms', delay_ms) };
}

function wholeNumber(path: string, value: Json): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw new ConfigError(path, 'must be a whole number, 0 or more');
}
