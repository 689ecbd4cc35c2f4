import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { FrameKind } from './codec/index.js';
import { Outbox } from './outbox.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;
const MiB = 1 << 20;

test('what has gone into the ring is not kept until the last of the queue has', async () => {
  let room = 0;
  const outbox = new Outbox(
    {
      ownBytes: new Uint8Array(MiB),
      maxPayload: MiB,
      claim: () => (room-- > 0 ? 0 : -1),
      commit: () => undefined,
      publish: () => undefined,
    },
    () => undefined,
  );
  for (let i = 0; i < 64; i++) {
    outbox.claim(FrameKind.Output, MiB);
    outbox.commit();
  }
  gc();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 60; i++) {
    room = 1;
    expect(outbox.flush()).toBe(false);
  }
  // V8 gives buffers back beside the collection, a moment later.
  await expect
    .poll(() => {
      gc();
      return before - process.memoryUsage().arrayBuffers;
    })
    .toBeGreaterThan(50 * MiB);
  expect(outbox.queuedBytes).toBe(4 * MiB);
  room = 4;
  expect(outbox.flush()).toBe(true);
});
