import { defineFilter, FilterError, runtime, type Json } from 'envoy-ts-filter';

/** The token that the upstream takes, as all streams of this thread know it. */
const tokens = (): { now: string } => runtime.perWorker('acts.token', () => ({ now: 'old' }));

const codeOf = (e: unknown): string => (FilterError.is(e) ? e.code : String(e));

/** Does what the query of the path says, and tells the upstream what it saw in x-read. */
export default defineFilter({
  name: 'acts',
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      const info = callbacks.streamInfo();
      const { dynamicMetadata, filterState } = info;
      const read = (value: unknown): void => void headers.set('x-read', JSON.stringify(value ?? null));
      switch (headers.path.split('?')[1]) {
        case 'metadata': {
          dynamicMetadata.set('ns', 'n', 1.5);
          dynamicMetadata.set('ns', 't', 'größe');
          dynamicMetadata.set('ns', 'b', true);
          dynamicMetadata.set('ns', 'nl', [1, -2.5]);
          dynamicMetadata.set('ns', 'tl', ['a', 'ß']);
          dynamicMetadata.set('ns', 'bl', [true, false]);
          dynamicMetadata.set('ns', 'tl', ['c']);
          headers.set('x-none', JSON.stringify(await dynamicMetadata.get('none')));
          read(await dynamicMetadata.get('ns'));
          return;
        }
        case 'nested':
          try {
            const nested: Json = { list: [1, 'a', null, { deep: true }], empty: {} };
            dynamicMetadata.set('ns', 't', 'before');
            dynamicMetadata.set('ns', 'nested', nested);
          } catch (e) {
            read(codeOf(e));
          }
          return;
        case 'state':
          filterState.setString('tenant', 'acme');
          filterState.setString('tenant', 'other');
          read([await filterState.getString('tenant'), (await filterState.getString('none')) ?? 'none']);
          return;
        case 'ordered': {
          const before = await callbacks.getProperty('request.path');
          headers.path = '/sink?written';
          headers.set('referer', 'http://a');
          read([before, await callbacks.getProperty('request.path'), await callbacks.getProperty('request.referer')]);
          return;
        }
        case 'route':
          headers.set('x-choose', 'other');
          read([await info.routeName(), (callbacks.refreshRouteCache(), await info.routeName())]);
          return;
        case 'override':
          callbacks
            .decoderFilterCallbacks()
            .setUpstreamOverrideHost(headers.get('x-host') ?? '', headers.has('x-strict'));
          return;
        case 'drain':
          info.drainConnectionUponCompletion();
          return;
        case 'metrics': {
          const labels = { method: headers.method, kind: 'größe' };
          const hits = callbacks.metrics.counter('hits');
          hits.increment(2, labels);
          hits.record(3, labels);
          hits.increment(-1, labels);
          const busy = callbacks.metrics.gauge('busy');
          busy.record(10);
          busy.increment(5);
          busy.decrement(1);
          callbacks.metrics.histogram('size').record(1000);
          read([await hits.get(labels), await hits.get({ ...labels, kind: 'none' }), await busy.get()]);
          return;
        }
        case 'secret':
          read(await callbacks.secretManager().getGenericSecret('token').catch(codeOf));
          return;
        case 'again':
          if (headers.get('x-again') !== undefined) return;
          headers.set('x-again', 'yes');
          return callbacks.recreateStream();
        case 'login':
          headers.set('authorization', tokens().now);
          return;
      }
    },
    async encodeHeaders(headers) {
      if (callbacks.request.path.endsWith('?login') && headers.status === 401) {
        tokens().now = await Promise.resolve('new');
        return callbacks.recreateStream();
      }
      const status = callbacks.request.path.endsWith('?status');
      if (status) headers.set('x-read', String(await callbacks.streamInfo().responseCode()));
      return;
    },
  }),
});
