import { once } from 'node:events';
import { connect } from 'node:net';
import { defineFilter } from 'envoy-ts-filter';

/** As one connects to a database while the file loads: `TSF_TEST_NEEDS` is a port, or `never`. */
const needs = process.env['TSF_TEST_NEEDS'];
if (needs === 'never') await new Promise(() => undefined);
if (needs !== undefined) {
  const socket = connect(Number(needs), '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
}

/** Leaves its mark on responses. */
export default defineFilter({
  name: 'needy',
  create: () => ({
    encodeHeaders: (headers) => void headers.set('x-needy', 'on'),
  }),
});
