/** The demo's runtime: gives back what it is given. */
import { serve } from 'envoy-ts-filter/calls';

serve({
  echo: (init: unknown) => {
    console.error(`echo: loaded with ${JSON.stringify(init)}`);
    return { echo: (text: string) => text };
  },
});
