import { existsSync } from 'node:fs';
import { defineFilter, type Phase } from 'envoy-ts-filter';

const PHASES: Phase[] = existsSync(process.env['TSF_TEST_HOOKS'] ?? '') ? ['encodeHeaders'] : [];

/** It has no hooks until the file that TSF_TEST_HOOKS names is there when it is loaded. */
export default defineFilter({
  name: 'hookless',
  phases: PHASES,
  create: () => ({
    encodeHeaders(headers) {
      headers.set('x-hooked', 'yes');
    },
  }),
});
