/**
 * What encode hooks see of a reply that a filter of ours makes: to a filter of its own entry Envoy shows it; to the
 * replying filter itself, which Envoy passes by, and in a list the host does. All see the same.
 */
import { describe, expect, it } from 'vitest';
import { eventually, http1, type AnyFilter, type Line } from '../fixture/index.js';
import type { Ask } from './filters/reply-seen.js';
import { logsOnFailure, stage } from './support.js';

interface Config {
  readonly looks: string;
  readonly replies: boolean;
}
const entry = (instance: string, config: Config): AnyFilter => ({ name: 'reply-seen', instance, config });
const list = (instance: string, ...configs: Config[]): AnyFilter => ({
  name: instance,
  filters: configs.map((plugin_config) => ({ name: 'reply-seen', plugin_config })),
});

const silent: Config = { looks: '', replies: true };
/** A chain for each place from which a reply is looked at; the first is Envoy's own. */
const PLACES: { readonly [chain: string]: { readonly filters: readonly AnyFilter[]; readonly lookers: string[] } } = {
  entries: {
    filters: [entry('replier', silent), entry('looker', { looks: 'another entry', replies: false })],
    lookers: ['another entry'],
  },
  list: { filters: [list('list', silent, { looks: 'another member', replies: false })], lookers: ['another member'] },
  own: {
    filters: [list('own', { looks: 'the member', replies: true }, { looks: 'its neighbour', replies: false })],
    lookers: ['the member', 'its neighbour'],
  },
  lone: { filters: [entry('lone', { looks: 'the lone filter', replies: true })], lookers: ['the lone filter'] },
};

const REPLIES: { readonly [what: string]: Omit<Ask, 'phase'> } = {
  'with a body': { status: 403, reply: { body: '50% of ~no\n\u00e9', headers: { 'x-by': 'me' } } },
  'with a length and a type of its own': {
    status: 418,
    reply: { body: 'no', headers: { 'content-type': 'application/json', 'content-length': '99' } },
  },
  'without a body': { status: 429, reply: { headers: { 'x-by': ['1', '2'] } } },
  'without a body, with a length and a type': {
    status: 404,
    reply: { headers: { 'content-type': 'application/json', 'content-length': '99' } },
  },
  'with a gRPC status': { status: 503, reply: { body: '50%', grpcStatus: 8, headers: { 'content-type': 'text/x' } } },
  'with a gRPC status and no body': { status: 200, reply: { grpcStatus: 0, headers: { 'grpc-message': 'fine' } } },
  'with gRPC headers of its own': {
    status: 400,
    reply: { body: 'no', headers: { 'grpc-status': '3', 'grpc-message': 'mine' } },
  },
};
const REQUESTS: { readonly [what: string]: { readonly method: string; readonly headers?: readonly Line[] } } = {
  'a GET request': { method: 'GET' },
  'a HEAD request': { method: 'HEAD' },
  'a gRPC request': { method: 'POST', headers: [['content-type', 'application/grpc']] },
  'a POST request whose body has begun': { method: 'POST' },
};

let count = 0;

describe.each(Object.keys(REQUESTS))('a reply to %s', (what) => {
  const request = REQUESTS[what]!;
  const phase = what.includes('body') ? 'decodeData' : 'decodeHeaders';
  const stages = Object.entries(PLACES).map(([name, { filters, lookers }]) => {
    return { name, lookers, at: stage({ filters }) };
  });

  it.each(Object.keys(REPLIES))('%s', async (how) => {
    const id = `seen-${count++}`;
    const seen: { [who: string]: unknown } = {};
    const got: { [chain: string]: unknown } = {};
    for (const { name, lookers, at } of stages) {
      logsOnFailure(at);
      const ask: Ask = { phase, ...REPLIES[how]! };
      const answer = await http1(at.port, {
        method: request.method,
        path: '/hello',
        headers: [['host', 'test'], ...(request.headers ?? []), ['x-id', id], ['x-ask', JSON.stringify(ask)]],
        ...(request.method === 'POST' ? { body: 'x' } : {}),
        timeoutMs: 8_000,
      });
      got[name] = { status: answer.status, text: answer.text, message: answer.header('grpc-message') };
      for (const looker of lookers) {
        const records = () => at.fx.host.records.filter((one) => one['seen'] === id && one['who'] === looker);
        await eventually(`${looker} has seen the reply`, () => records().some((one) => one['endStream'] === true));
        seen[looker] = records().map((one) => [one['hook'], one['what'], one['endStream']]);
      }
    }
    const envoys = seen['another entry'];
    expect(seen).toEqual(Object.fromEntries(Object.keys(seen).map((who) => [who, envoys])));
    expect(got).toEqual(Object.fromEntries(Object.keys(got).map((name) => [name, got['entries']])));
  });
});
