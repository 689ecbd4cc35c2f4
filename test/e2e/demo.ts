/** `make demo-…`, on ports of its own. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { Child, eventually, get, nodeBinary, root, within } from '../fixture/index.js';
import { freePorts } from '../support/free-ports.js';

/** Runs `check` once the demo is ready; then Ctrl-C ends all of it. */
export async function withDemo(name: string, check: (port: number, demo: Child) => Promise<void>): Promise<void> {
  const [port, backend, admin] = (await freePorts(3)) as [number, number, number];
  const demo = new Child('demo', nodeBinary, [join(root, 'scripts/run.mjs'), name], {
    DEMO_PORTS: `8000:${port},8080:${backend},9901:${admin}`,
  });
  try {
    await eventually('the demo is ready', () => demo.output.includes('Ctrl-C ends it.'), 30_000);
    await check(port, demo);
    demo.signal('SIGINT');
    expect(await within(15_000, 'the demo ends', demo.exit)).toEqual({ code: 0, signal: null });
  } finally {
    await demo.kill();
  }
  await expect(get(port, '/')).rejects.toThrow();
  await expect(get(backend, '/')).rejects.toThrow();
}
