/** The demo filters' tables without a proxy; test/e2e/same-outcome.test.ts runs the same ones in an Envoy. */
import { describe, it } from 'vitest';
import { testFilter } from 'envoy-ts-filter/testing';
import { demoFilters } from './demo-filters.js';

for (const { filter, config, cases } of demoFilters) {
  describe(filter.name, () => {
    const target = testFilter(filter, config);
    for (const { name, path, request, check } of cases) {
      it(name, async () => {
        check(await target.request(path, request?.()));
      });
    }
  });
}
