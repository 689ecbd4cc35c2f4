import { defineFilter, type FilterCallbacks, type LogEntry } from 'envoy-ts-filter';

const ATTRIBUTES = [
  'request.method',
  'request.size',
  'response.code',
  'response.code_details',
  'response.size',
  'response.flags',
] as const;
type Name = (typeof ATTRIBUTES)[number];

/** Its hooks write what they were given to the host's log, each line with `log`. */
export function logHooks(name: string) {
  return defineFilter({
    name,
    attributes: ATTRIBUTES,
    create(_config, callbacks) {
      const made = performance.now();
      let decoded = false;
      return {
        decodeHeaders(headers) {
          decoded = true;
          headers.set(`x-${name}`, 'yes');
        },
        decodeTrailers() {},
        encodeHeaders() {},
        encodeTrailers() {},
        onLogDownstreamStart(entry) {
          tell(callbacks, 'start', name, entry, { decoded, requestId: callbacks.requestId });
          void later(callbacks, name, entry, 'start');
        },
        onLogDownstreamPeriodic(entry) {
          tell(callbacks, 'periodic', name, entry, { after: performance.now() - made });
        },
        onLog(entry) {
          tell(callbacks, 'end', name, entry, { requestId: callbacks.requestId });
          void later(callbacks, name, entry, 'end');
        },
        onStreamComplete: () => callbacks.log.info({ log: 'complete', by: name }, 'log hook'),
        onDestroy: (reason) => callbacks.log.info({ log: 'destroy', by: name, reason }, 'log hook'),
      };
    },
  });
}

function tell(callbacks: FilterCallbacks<Name>, log: string, by: string, entry: LogEntry, more: object): void {
  const { request, response, requestTrailers, responseTrailers, attributes } = entry;
  callbacks.log.info(
    {
      log,
      by,
      path: request.path,
      mark: request.get('x-mark'),
      written: request.get(`x-${by}`),
      status: response?.get(':status'),
      sent: requestTrailers?.get('x-sent'),
      got: responseTrailers?.get('x-upstream-trailer'),
      attributes: { ...attributes },
      ...more,
    },
    'log hook',
  );
}

/** Work that goes on when the stream may be over. */
async function later(callbacks: FilterCallbacks<Name>, by: string, entry: LogEntry, of: string): Promise<void> {
  const asked = await Promise.allSettled([
    callbacks.getProperty('response.code'),
    callbacks.getProperty('connection.id'),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const [code, connection] = asked.map((one) =>
    one.status === 'fulfilled' ? one.value : (one.reason as { message: string }).message,
  );
  callbacks.log.info({ log: 'later', of, by, path: entry.request.path, code, connection }, 'log hook');
}
