/**
 * `filters: [a, b, c]` does what three entries of Envoy's own chain do: the same requests go through both, and what the
 * client, the upstream and the access log see is the same.
 */
import { describe, expect, it } from 'vitest';
import {
  type AnyFilter,
  dynamicModulePerRoute,
  eventually,
  http1,
  pattern,
  type Line,
  type Pieces,
} from '../fixture/index.js';
import { logsOnFailure, stage } from './support.js';

type Style = 'headers' | 'perChunk' | 'generator' | 'go' | 'whole' | 'hold' | 'bypass' | 'late';

const TAGS = ['a', 'b', 'c'] as const;
const member = (tag: string, style: Style): { tag: string; style: Style } => ({ tag, style });
const options = { max_body_bytes: '2MiB' };
const hcm = { generate_request_id: false };

const apart = (styles: readonly Style[]): AnyFilter[] =>
  styles.map((style, i) => ({
    name: 'member',
    instance: `member-${TAGS[i]!}`,
    config: member(TAGS[i]!, style),
    options,
  }));
const together = (styles: readonly Style[]): AnyFilter[] => [
  {
    name: 'chain',
    filters: styles.map((style, i) => ({ name: 'member', plugin_config: member(TAGS[i]!, style) })),
    options,
  },
];

interface Ask {
  readonly path: string;
  readonly method?: string;
  readonly headers?: readonly Line[];
  readonly body?: () => Pieces | Uint8Array | string;
  readonly trailers?: readonly Line[];
  readonly length?: number;
}

/** What is not ours to make equal. */
const VARIES = new Set(['date', 'x-envoy-upstream-service-time', 'connection']);
/** A reply that other members have changed: three entries lose its length, a list knows it. */
const FRAMING = new Set(['content-length', 'transfer-encoding']);

const nameOf = (line: string): string => line.slice(0, line.indexOf(':'));

/** Everything that a client can tell of an answer. */
async function ask(port: number, { body, ...request }: Ask, leave: ReadonlySet<string> = new Set()): Promise<object> {
  const answer = await http1(port, {
    ...request,
    headers: [['host', 'test'], ...(request.headers ?? [])],
    ...(body === undefined ? {} : { body: body() }),
    timeoutMs: 8_000,
  });
  const lines = (all: readonly Line[]): string[] =>
    all
      .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
      .filter((line) => !VARIES.has(nameOf(line)) && !leave.has(nameOf(line)));
  return {
    status: answer.status,
    lines: lines(answer.lines).sort(),
    order: lines(answer.lines).filter((line) => line.startsWith('x-')),
    body: answer.length > 2_000 ? answer.digest : answer.text,
    trailers: lines(answer.trailers),
    complete: answer.complete,
  };
}

function pieces(size: number, most: number, pauses: boolean): Pieces {
  return (function* () {
    let i = 0;
    for (const piece of pattern(size, most)) {
      yield piece;
      if (pauses && i++ % 7 === 0) yield 2;
    }
  })();
}

const POST = { method: 'POST', path: '/echo?trailers=1' };
const BODIES: readonly { name: string; ask: Ask }[] = [
  { name: 'no body', ask: { path: '/sink' } },
  { name: 'an empty body', ask: { ...POST, body: () => '', length: 0 } },
  { name: 'a short body in one piece', ask: { ...POST, body: () => 'one piece' } },
  { name: 'a short body in pieces', ask: { ...POST, body: () => ['a', 5, 'bc', 5, 'def', 20, 'g'] } },
  {
    name: 'a body with its length',
    ask: { ...POST, body: () => pieces(30_000, 9_000, false), length: 30_000 },
  },
  {
    name: 'a body with trailers',
    ask: { ...POST, body: () => ['a', 5, 'bc', 5, 'def'], trailers: [['x-own', '1']] },
  },
  { name: 'a large body', ask: { ...POST, body: () => pieces(700_000, 20_000, false) } },
  {
    name: 'a large body with pauses and trailers',
    ask: { ...POST, body: () => pieces(600_000, 11_111, true), trailers: [['x-own', '1']] },
  },
];

/** Each style first, in the middle and last, and beside each other one somewhere. */
const CHAINS: readonly (readonly Style[])[] = [
  ['headers', 'headers', 'headers'],
  ['headers', 'perChunk', 'whole'],
  ['perChunk', 'hold', 'go'],
  ['generator', 'whole', 'headers'],
  ['whole', 'late', 'perChunk'],
  ['hold', 'go', 'generator'],
  ['go', 'headers', 'hold'],
  ['whole', 'generator', 'whole'],
];

describe.each(CHAINS.map((styles) => ({ chain: styles.join(' '), styles })))('$chain', ({ styles }) => {
  const separate = stage({ filters: apart(styles), hcm });
  const list = stage({ filters: together(styles), hcm });

  it.each(BODIES)('$name', async ({ ask: request }) => {
    logsOnFailure(list);
    expect(await ask(list.port, request)).toEqual(await ask(separate.port, request));
  });
});

const UPLOAD: Ask = {
  method: 'POST',
  path: '/sink',
  body: () => ['a', 10, 'bcd', 10, 'e'],
  trailers: [['x-own', '1']],
};
const DOWNLOAD: Ask = { path: '/bytes?n=2000&piece=700&trailers=1' };

/** The upstream's end has not come when a reply takes the place of its response. */
const UNFINISHED = '/bytes?n=2000&piece=700&pause=300';

/** Where a member does what. A reply to a response whose headers have gone is a fault, whatever it is made of. */
const DEEDS: readonly { phase: string; style: Style; request: Ask; what: readonly string[] }[] = [
  {
    phase: 'decodeHeaders',
    style: 'generator',
    request: UPLOAD,
    what: ['reply', 'reply-late', 'reply-empty', 'stream', 'add'],
  },
  { phase: 'decodeHeaders', style: 'headers', request: { ...UPLOAD, path: '/echo' }, what: ['add'] },
  { phase: 'encodeHeaders', style: 'headers', request: DOWNLOAD, what: ['add'] },
  { phase: 'transformRequest', style: 'generator', request: UPLOAD, what: ['reply', 'reply-late', 'stream'] },
  { phase: 'decodeTrailers', style: 'perChunk', request: UPLOAD, what: ['reply', 'reply-late', 'stream', 'add'] },
  {
    phase: 'encodeHeaders',
    style: 'generator',
    request: DOWNLOAD,
    what: ['reply', 'reply-late', 'reply-empty', 'add'],
  },
  { phase: 'transformResponse', style: 'hold', request: DOWNLOAD, what: ['reply', 'reply-late'] },
  { phase: 'encodeTrailers', style: 'perChunk', request: DOWNLOAD, what: ['add'] },
];

describe.each(DEEDS)('what one member does in $phase', ({ phase, style, request, what }) => {
  const styles = [style, style, style];
  const separate = stage({ filters: apart(styles), hcm });
  const list = stage({ filters: together(styles), hcm });

  for (const deed of what) {
    it.each(TAGS)(`${deed} by %s`, async (tag) => {
      logsOnFailure(list);
      const asked: Ask = { ...request, headers: [['x-do', `${tag} ${phase} ${deed}`]] };
      if (list.fx.version === '1.38' && deed === 'stream' && phase === 'decodeTrailers') {
        // There such a reply can hang in one of three entries.
        expect(await ask(list.port, asked)).toMatchObject({ status: 200, complete: true });
        return;
      }
      expect(await ask(list.port, asked, FRAMING)).toEqual(await ask(separate.port, asked, FRAMING));
    });
  }
});

describe('what one member does', () => {
  const styles = ['generator', 'generator', 'generator'] as const;
  const separate = stage({ filters: apart(styles), hcm });
  const list = stage({ filters: together(styles), hcm });

  const both = async (request: Ask): Promise<[object, object]> => [
    await ask(list.port, request, FRAMING),
    await ask(separate.port, request, FRAMING),
  ];
  const upload = { ...POST, body: () => ['a', 10, 'bcd', 10, 'e'], trailers: [['x-own', '1']] as const };

  it.each([
    ['c', 'ba'],
    ['b', 'a'],
    ['a', ''],
  ])('a streamed reply in encodeHeaders of %s passes those before it', async (tag, order) => {
    logsOnFailure(list);
    const answer = await http1(list.port, { path: UNFINISHED, headers: [['x-do', `${tag} encodeHeaders stream`]] });
    let text = `line ${tag}\nand one more\n`;
    for (const by of order)
      text = `<${by}${[...text].map((c) => String.fromCharCode(c.charCodeAt(0) + 1)).join('')}${by}>`;
    expect([answer.status, answer.header('x-by'), answer.header('x-order') ?? '', answer.text, answer.broken]).toEqual([
      200,
      tag,
      order,
      text,
      '',
    ]);
  });

  it.each(TAGS)('add to a message without a body, by %s', async (tag) => {
    logsOnFailure(list);
    for (const phase of ['decodeHeaders', 'encodeHeaders']) {
      const [ours, theirs] = await both({ path: '/sink', headers: [['x-do', `${tag} ${phase} add`]] });
      expect(ours).toEqual(theirs);
    }
  });

  it.each(TAGS)('a reply to HEAD, by %s', async (tag) => {
    logsOnFailure(list);
    const [ours, theirs] = await both({
      method: 'HEAD',
      path: '/hello',
      headers: [['x-do', `${tag} decodeHeaders reply`]],
    });
    expect(ours).toEqual(theirs);
  });

  it.each(TAGS)('a reply to a gRPC request, by %s', async (tag) => {
    logsOnFailure(list);
    const [ours, theirs] = await both({
      method: 'POST',
      path: '/grpc',
      headers: [
        ['content-type', 'application/grpc'],
        ['x-do', `${tag} decodeHeaders reply`],
      ],
      body: () => 'x',
    });
    expect(ours).toEqual(theirs);
  });

  it.each(TAGS)('the details of a reply, by %s', async (tag) => {
    const path = `/hello?details-${tag}`;
    const headers: Line[] = [['x-do', `${tag} decodeHeaders reply`]];
    await both({ path, headers });
    expect((await list.fx.logged(path)).details).toEqual((await separate.fx.logged(path)).details);
  });

  // The 500 is the chain's: no other member is asked about it (docs/lifecycle.md).
  it.each(TAGS)('a fault of %s before the response is a 500', async (tag) => {
    logsOnFailure(list);
    for (const phase of ['decodeHeaders', 'transformRequest', 'encodeHeaders']) {
      const answer = await http1(list.port, {
        ...upload,
        body: upload.body(),
        headers: [['x-do', `${tag} ${phase} throw`]],
      });
      expect([phase, answer.status, answer.text.trim()]).toEqual([phase, 500, 'error happened in filter']);
    }
  });

  it.each(TAGS)('a fault of %s behind response headers cuts the answer', async (tag) => {
    const answer = await http1(list.port, {
      ...POST,
      // more than what waits with the headers for the end of a small message
      body: pieces(4_000_000, 30_000, true),
      headers: [['x-do', `${tag} encodeTrailers throw`]],
      trailers: [['x-own', '1']],
    });
    expect([answer.status, answer.complete]).toEqual([200, false]);
  });

  it('leaves no stream behind', async () => {
    await eventually('no stream', async () => (await list.fx.activeStreams()) === 0);
  });
});

describe('a whole body over max_body_bytes', () => {
  const limit = { max_body_bytes: '64KiB' };
  const styles = ['perChunk', 'whole', 'headers'] as const;
  const separate = stage({ filters: apart(styles).map((one) => ({ ...one, options: limit })) });
  const list = stage({ filters: together(styles).map((one) => ({ ...one, options: limit })) });
  it('of the request is 413, and passes the encode hooks of all', async () => {
    logsOnFailure(list);
    const request = { ...POST, body: () => pieces(100_000, 10_000, true) };
    const ours = await ask(list.port, request, FRAMING);
    expect(ours).toMatchObject({ status: 413 });
    expect(ours).toEqual(await ask(separate.port, request, FRAMING));
  });
  it('of the response is 500', async () => {
    logsOnFailure(list);
    const request = { path: '/bytes?n=100000' };
    const ours = await ask(list.port, request);
    expect(ours).toMatchObject({ status: 500 });
    expect(ours).toEqual(await ask(separate.port, request));
  });
});

describe("a route's config", () => {
  const filters = (list: boolean): AnyFilter[] => {
    const members = [
      { name: 'member', plugin_config: member('a', 'headers') },
      { name: 'touch', plugin_config: { tag: 't' } },
    ];
    if (list) return [{ name: 'chain', instance: 'all', filters: members }];
    return members.map(({ name, plugin_config }, i) => ({
      name,
      instance: i === 0 ? 'all' : name,
      config: plugin_config,
    }));
  };
  const routes = [
    {
      match: { prefix: '/sink', query_parameters: [{ name: 'noted', present_match: true }] },
      route: { cluster: 'upstream', timeout: '0s' },
      typed_per_filter_config: { all: dynamicModulePerRoute('member', { plugin_config: { note: 'by the route' } }) },
    },
    {
      match: { prefix: '/nobody' },
      route: { cluster: 'upstream', timeout: '0s' },
      typed_per_filter_config: { all: dynamicModulePerRoute('redirect', { plugin_config: {} }) },
    },
  ];
  const separate = stage({ filters: filters(false), routes, hcm });
  const list = stage({ filters: filters(true), routes, hcm });

  it('is merged into the member with its name', async () => {
    logsOnFailure(list);
    const ours = await ask(list.port, { path: '/sink?noted' });
    expect(JSON.stringify(ours)).toContain('by the route');
    expect(ours).toEqual(await ask(separate.port, { path: '/sink?noted' }));
    expect(JSON.stringify(await ask(list.port, { path: '/sink' }))).not.toContain('by the route');
  });

  it('for a filter that is no member is an error on that route', async () => {
    expect(await ask(list.port, { path: '/nobody' })).toMatchObject({ status: 500 });
  });
});
