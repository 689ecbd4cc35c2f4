import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, runtime, StatusType, type LogEntry } from 'envoy-ts-filter';

/** What the log hooks of earlier requests saw; Go keeps it in package variables. */
interface Seen {
  /** Of onLog. */
  end: Record<string, unknown> | undefined;
  start: string[];
  periodic: string[];
  /** Hooks whose asynchronous work came to its end. */
  async: string[];
}
const fresh = (): Seen => ({ end: undefined, start: [], periodic: [], async: [] });

/** Go's `access_log` plugin: what log hooks see, and work that they start. */
export default defineFilter({
  name: 'go-access-log',
  attributes: ['response.code', 'request.size', 'response.size'],
  create(_config, callbacks) {
    const seen = runtime.perWorker('go-access-log', fresh);
    /** Work that goes on after the hook, and after the stream. */
    const later = (hook: string): void => {
      void sleep(1).then(async () => {
        // asking a stream that may be over is safe, whatever comes of it
        await callbacks.getProperty('request.path').catch(() => undefined);
        seen.async.push(hook);
      });
    };
    const lines = (view: LogEntry['requestTrailers']): [string, string][] => [...(view ?? [])];

    return {
      async decodeHeaders(headers) {
        if (headers.path === '/seen') {
          await sleep(20); // for the work of the last request's hooks
          const body = JSON.stringify(seen);
          Object.assign(seen, fresh());
          return callbacks.sendLocalReply(200, { body });
        }
        const ms = new URL(headers.path, 'http://any').searchParams.get('ms');
        if (ms === null) return;
        setTimeout(() => {
          callbacks.decoderFilterCallbacks().continue(StatusType.Continue);
        }, Number(ms));
        return StatusType.Running;
      },
      onLogDownstreamStart({ request }) {
        if (request.path === '/seen') return;
        seen.start.push(request.get('referer') ?? 'none');
        later('start');
      },
      onLogDownstreamPeriodic({ request }) {
        seen.periodic.push(request.get('referer') ?? 'none');
        later('periodic');
      },
      onLog(entry) {
        if (entry.request.path === '/seen') return;
        seen.end = {
          code: entry.attributes['response.code'],
          request: entry.attributes['request.size'],
          response: entry.attributes['response.size'],
          status: entry.response?.get(':status'),
          path: entry.request.path,
          requestTrailers: lines(entry.requestTrailers),
          responseTrailers: lines(entry.responseTrailers),
        };
        later('end');
      },
    };
  },
});
