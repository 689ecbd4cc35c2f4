/** The thread of one runtime.global: serves the exported functions of the author's module to every port that comes. */
import { parentPort, workerData } from 'node:worker_threads';
import { FilterError } from './errors.js';
import { writeDirectly } from '../base/output.js';
import type { Call, Result, Visit } from './runtime-global.js';

writeDirectly();
process.setSourceMapsEnabled(true);
// If it throws this thread ends, and whoever waits for it is told.
const { module } = (await import(workerData as string)) as { readonly module: { readonly [name: string]: unknown } };

async function answer({ id, method, args }: Call): Promise<Result> {
  try {
    const fn = module[method];
    if (typeof fn !== 'function')
      throw new FilterError('TSF_GLOBAL_FAILED', `the module of runtime.global exports no function ${method}`);
    return { id, ok: true, value: await (fn as (...args: unknown[]) => unknown)(...args) };
  } catch (e) {
    return { id, ok: false, value: e };
  }
}

parentPort?.on('message', ({ id, port }: Visit) => {
  port.on('message', (call: Call) => {
    void answer(call).then((result) => {
      try {
        port.postMessage(result);
      } catch (e) {
        const value = new Error(`cannot be sent: ${(e as Error).message}`);
        port.postMessage({ id: call.id, ok: false, value } satisfies Result);
      }
    });
  });
  parentPort?.postMessage(id);
});
