/** Tables of cases: a plugin's configuration, a request, and what comes of it. */
import { describe, expect, it } from 'vitest';
import { Gateway, type Given, type Outcome, type Pairs } from './gateway.js';

export interface Case {
  readonly conf: object;
  /** Other plugins in the same chain, consumers and the like. */
  readonly plugins?: readonly { readonly name: string; readonly conf?: object }[];
  readonly config?: object;
  /** One request, or several one after the other; what is expected is of the last. */
  readonly given?: Given | readonly Given[];
  readonly status?: number | readonly number[];
  readonly body?: string | RegExp;
  /** Of the response; undefined: it is not there. */
  readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
  /** What goes upstream (`:path` and headers); false: nothing does. */
  readonly upstream?: Readonly<Record<string, string | RegExp | undefined>> | false;
}

export function table(
  plugin: string,
  cases: Readonly<Record<string, Case>>,
  refused: readonly (readonly [conf: unknown, message: string | RegExp])[],
): void {
  describe(plugin, () => {
    it.each(Object.entries(cases))('%s', async (_title, one) => {
      const gateway = await gatewayOf(plugin, one);
      const outcomes: Outcome[] = [];
      for (const given of [one.given ?? {}].flat()) outcomes.push(await gateway.send(given));
      judge(one, outcomes);
    });
    it.each(refused)('refuses %j', async (conf, message) => {
      const whole = typeof message === 'string' ? `err: ${message}` : message;
      await expect(Gateway.of({ plugins: [{ name: plugin, conf }] })).rejects.toThrow(whole);
    });
  });
}

export function gatewayOf(plugin: string, { conf, plugins = [], config = {} }: Case): Promise<Gateway> {
  return Gateway.of({ ...config, plugins: [{ name: plugin, conf }, ...plugins] });
}

function judge(one: Case, outcomes: readonly Outcome[]): void {
  const { response, request } = outcomes.at(-1)!;
  const statuses = outcomes.map(({ status }) => status);
  if (Array.isArray(one.status)) expect(statuses).toEqual(one.status);
  else expect(statuses.at(-1)).toBe(one.status ?? 200);
  if (one.body !== undefined) {
    if (typeof one.body === 'string') expect(response.text).toBe(one.body);
    else expect(response.text).toMatch(one.body);
  }
  for (const [name, value] of Object.entries(one.headers ?? {})) same(name, response.header(name), value);
  if (one.upstream === false) expect(request).toBeUndefined();
  else if (one.upstream !== undefined) {
    expect(request).toBeDefined();
    for (const [name, value] of Object.entries(one.upstream)) same(name, request?.header(name), value);
  }
}

function same(name: string, found: string | undefined, wanted: string | RegExp | undefined): void {
  if (wanted instanceof RegExp)
    expect(`${name}: ${found ?? ''}`).toMatch(new RegExp(`^${name}: (?:${wanted.source})$`, wanted.flags));
  else expect([name, found]).toEqual([name, wanted]);
}

export const headers = (named: Readonly<Record<string, string>>): { readonly headers: Pairs } => ({
  headers: Object.entries(named),
});
