/** How V8 frees the memory of body chunks. */
import { setFlagsFromString } from 'node:v8';

/**
 * In the thread that took it. V8 does it in one of its own, through which memory goes back to the allocator late and to
 * another arena than it came from: a third of the host's CPU for a streamed body. Before the threads begin.
 */
export function freeBuffersInPlace(): void {
  setFlagsFromString('--no-concurrent-array-buffer-sweeping');
}
