import { createServer } from 'node:net';
import { listen } from './listen.js';

/** Ports that were free a moment ago, each another: for programs that cannot say which one the kernel gave them. */
export async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, () => listen(createServer())));
  await Promise.all(held.map((one) => one.close()));
  return held.map(({ port }) => port);
}
