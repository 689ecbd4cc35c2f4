/** Counts for all who share it. */
import { serve } from 'envoy-ts-filter/calls';

let count = 0;
serve({ counter: () => ({ add: (n: number) => (count += n) }) });
