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
/** Requests of the test itself. */
const isQuestion = (path: string): boolean => path === '/seen' || path === '/forget';
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
      decodeHeaders(headers) {
        if (headers.path === '/forget') Object.assign(seen, fresh());
        if (isQuestion(headers.path)) return callbacks.sendLocalReply(200, { body: JSON.stringify(seen) });
        const ms = new URL(headers.path, 'http://any').searchParams.get('ms');
        if (ms === null) return;
        setTimeout(() => {
          callbacks.decoderFilterCallbacks().continue(StatusType.Continue);
        }, Number(ms));
        return StatusType.Running;
      },
      onLogDownstreamStart({ request }) {
        if (isQuestion(request.path)) return;
        seen.start.push(request.get('referer') ?? 'none');
        later('start');
      },
      onLogDownstreamPeriodic({ request }) {
        if (isQuestion(request.path)) return;
        seen.periodic.push(request.get('referer') ?? 'none');
        later('periodic');
      },
      onLog(entry) {
        if (isQuestion(entry.request.path)) return;
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
