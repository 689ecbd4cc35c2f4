import { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { threadId } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';

const kept: unknown[] = [];

/** While that file is there, what this filter depends on is gone. */
const gone = process.env['TSF_TEST_GONE'];
if (gone !== undefined && existsSync(gone)) await Promise.reject(new Error('connect ECONNREFUSED'));

/** What ends a thread, or keeps it from turning. */
const FAULTS: Readonly<Record<string, () => void>> = {
  loop() {
    for (;;);
  },
  regex() {
    /^(a+)+$/.test(`${'a'.repeat(40)}b`);
  },
  wait() {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
  exit() {
    process.exit(3);
  },
  socket() {
    connect(1, '127.0.0.1');
  },
  reject() {
    void Promise.reject(new Error('nobody awaits this'));
  },
  emit() {
    const client = new (class Redis extends EventEmitter {})();
    setTimeout(() => client.emit('error', new Error('connect ECONNREFUSED')), 5);
  },
  heap() {
    const grow = (): void => {
      for (let i = 0; i < 20_000; i++) kept.push({ i, text: `entry ${i}` });
      setImmediate(grow);
    };
    grow();
  },
  burst() {
    const numbers: number[] = [];
    for (;;) numbers.push(1, 2, 3, 4, 5, 6, 7, 8);
  },
};

/** `?fault=<name>`: that happens in its thread. Each answer names its thread; `?stream=<n>`: n pieces, one in 100 ms. */
export default defineFilter({
  name: 'faulty',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      const query = new URL(`http://a${headers.path}`).searchParams;
      const pieces = Number(query.get('stream') ?? 0);
      const fault = FAULTS[query.get('fault') ?? ''];
      if (fault !== undefined) fault();
      async function* body() {
        for (let i = 0; i < pieces; i++) {
          yield `piece ${i}\n`;
          await sleep(100);
        }
      }
      const thread = { 'x-thread': String(threadId) };
      if (pieces > 0) return callbacks.reply(200, thread, body());
      return callbacks.sendLocalReply(200, { headers: thread, body: 'well\n' });
    },
  }),
});
