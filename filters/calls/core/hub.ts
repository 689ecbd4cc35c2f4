/** The module of `runtime.global` behind this package: one thread of the host, which owns the processes of all runtimes, and
 *  the runtimes that all filter threads share. */
import type { Failure } from './errors.js';
import type { Payload } from './frames.js';
import { endProcess, processEnded, startProcess } from './processes.js';
import { type PendingCall, Runtime } from './runtime.js';
import type { RuntimeSpec } from './spec.js';
import { bundleWorker } from './worker-script.js';

export { bundleWorker, endProcess, processEnded, startProcess };

export type Outcome = { readonly payload: Payload } | { readonly failure: Failure };

const own = { startProcess, processEnded, endProcess, bundleWorker };
const LATER_MS = 1000;
const shared = new Map<string, Runtime>();
const calls = new Map<string, { readonly runtime: Runtime; readonly call: PendingCall }>();

/** The runtime of that description, made when nobody has asked for it before. */
export function open(spec: RuntimeSpec): string {
  const { init, ...rest } = spec;
  const key = JSON.stringify([rest, init.format, Buffer.from(init.bytes).toString('base64')]);
  if (!shared.has(key)) shared.set(key, new Runtime(spec, own));
  return key;
}

export function call(key: string, id: string, method: string, payload: Payload, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const runtime = shared.get(key);
    if (runtime === undefined) {
      reject(new Error('no such runtime'));
      return;
    }
    // The caller is earlier with it, unless its thread is no more.
    const timer = setTimeout(cancel, timeoutMs + LATER_MS, id).unref();
    const settle = (outcome: Outcome): void => {
      clearTimeout(timer);
      calls.delete(id);
      resolve(outcome);
    };
    const one: PendingCall = {
      method,
      payload,
      timeoutMs,
      answered: (answer) => settle({ payload: answer }),
      failed: (failure) => settle({ failure }),
    };
    calls.set(id, { runtime, call: one });
    runtime.send(one);
  });
}

export function cancel(id: string): void {
  const one = calls.get(id);
  if (one === undefined) return;
  one.runtime.cancel(one.call);
  one.call.failed({ code: 'CALLS_CLOSED', message: 'cancelled' });
}
