import { defineFilter } from 'envoy-ts-filter';

/** /crash: an error that nothing catches; /reject: a rejection that nobody awaits. */
export default defineFilter({
  name: 'crash',
  create: () => ({
    async decodeHeaders(headers) {
      if (headers.path === '/crash') {
        setTimeout(() => {
          throw new Error('thrown from a timer');
        }, 5);
        await new Promise(() => undefined);
      }
      if (headers.path === '/reject') {
        void Promise.reject(new Error('nobody awaits this'));
        headers.set('x-rejected', 'yes');
      }
    },
  }),
});
