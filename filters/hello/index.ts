import { defineFilter, type HeaderView } from 'envoy-ts-filter';

/** Logs the headers of every request as one line and lets it go on. */
export default defineFilter({
  name: 'hello',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    decodeHeaders(headers) {
      callbacks.log.info({ headers: toObject(headers) }, 'request headers');
    },
  }),
});

/** A header that comes more than once becomes a list, so that none is lost. */
function toObject(headers: HeaderView): Record<string, string | string[]> {
  const grouped = new Map<string, string | string[]>();
  for (const [name, value] of headers) {
    const before = grouped.get(name);
    grouped.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(grouped);
}
