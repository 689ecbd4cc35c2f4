/** Which way imports may go: rooms from the top down (docs/layout.md), and no circle of files, types included. */
const ROOMS = [
  'cli',
  'testing',
  'host',
  'thread',
  'registry',
  'observe',
  'list',
  'stream',
  'body',
  'headers',
  'loader',
  'channel',
  'api',
  'base',
];

const TESTS = '[.]test[.]ts$';
const file = (room) => `^src/${room}/`;
const anyOf = (rooms) => `^src/(${rooms.join('|')})/`;

/** Nothing of a room imports from a room above it. */
const downwards = ROOMS.slice(1).map((room, i) => ({
  name: `${room}-imports-downwards`,
  comment: 'The order of the rooms is in docs/layout.md.',
  severity: 'error',
  from: { path: file(room), pathNot: TESTS },
  to: { path: anyOf(ROOMS.slice(0, i + 1)) },
}));

/** Rooms that lie in another's way, or below it, and are none of its business all the same. */
const apart = (name, from, to, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: anyOf(from), pathNot: TESTS },
  to: { path: to },
});

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'A narrow interface below both of them breaks it.',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    ...downwards,
    apart(
      'the-channel-knows-no-filters',
      ['channel'],
      anyOf(['api']),
      'The seam between bytes and streams is base/wire.ts.',
    ),
    apart(
      'streams-know-no-rings',
      ['registry', 'observe', 'list', 'stream', 'body', 'headers'],
      `${anyOf(['channel', 'loader'])}|^src/base/addon`,
      'The seam between bytes and streams is base/wire.ts.',
    ),
    apart('the-loader-knows-no-streams', ['loader'], anyOf(['channel']), 'It hands over filters.'),
    apart(
      'tests-of-filters-need-no-host',
      ['testing'],
      `${anyOf(['host', 'thread', 'loader'])}|^src/base/addon`,
      'Without a proxy there is no process and no addon; with one they are processes of their own.',
    ),
    { name: 'in-a-room', comment: 'Files lie in rooms.', severity: 'error', from: {}, to: { path: '^src/[^/]+$' } },
    {
      name: 'resolvable',
      comment: 'Else nothing was looked at.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, path: '^[.]', pathNot: 'cpp/addon/addon[.]js$' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules|^cpp' },
    exclude: { path: '^src/channel/codec/generated' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'] },
  },
};
