#!/usr/bin/env node
// Compares builds of this project: all are up at once and get short bursts of load in turn, so that what else the machine
// does meets each alike. The first is this working copy; others are other ones, built. What a difference is worth is told by
// a copy of the same commit among them: it may well be 4 %.
//
// usage: node bench/compare.js [--bursts 20] [--connections 32] [--case ours] [--streams] DIRECTORY...
import os from 'node:os';
import { basename, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from './report.js';
import { wrk } from './stage.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bursts: { type: 'string', default: '20' },
    connections: { type: 'string' },
    case: { type: 'string', default: 'ours' },
    streams: { type: 'boolean', default: false },
  },
});
const connections = Number(values.connections ?? (values.streams ? 1 : 32));
const path = values.streams ? '/large' : '/';
const BURST_SECONDS = 1;
const WARM_UP_SECONDS = 2;

const here = fileURLToPath(new URL('..', import.meta.url));
const directories = [here, ...positionals.map((one) => resolve(one))];

/** Calls `use` with a build's stage, as its own benchmark sets it up. */
async function withBuild(directory, use) {
  const load = (file) => import(pathToFileURL(`${directory}/bench/${file}`).href);
  const { headerCases, streamCases } = await load('cases.js');
  const { withCase } = await load('stage.js');
  const { cpuMicros } = await load('processes.js');
  const oneCase = (values.streams ? streamCases : headerCases).find(({ id }) => id === values.case);
  if (oneCase === undefined) throw new Error(`${directory}: its benchmark has no case ${values.case}`);
  await withCase(oneCase, { backend: values.streams }, ({ url, measured }) =>
    use({
      name: basename(directory),
      url: url + path,
      micros: () => measured.map(cpuMicros),
      perSecond: [],
      requests: 0,
      used: [0, 0],
    }),
  );
}

async function burst(build) {
  const before = build.micros();
  const { requests, duration, failed } = await wrk(build.url, connections, BURST_SECONDS);
  if (failed > 0) throw new Error(`${build.name}: ${failed} requests failed`);
  build.perSecond.push((requests / duration) * 1e6);
  build.requests += requests;
  build.micros().forEach((micros, i) => (build.used[i] += micros - before[i]));
}

async function compare(builds) {
  for (const build of builds) await wrk(build.url, connections, WARM_UP_SECONDS);
  for (let i = 0; i < Number(values.bursts); i++)
    for (const build of i % 2 === 0 ? builds : [...builds].reverse()) await burst(build);
  console.log(
    `${os.cpus()[0]?.model.trim()}, ${os.cpus().length} cores; case ${values.case}, ${connections} connections`,
  );
  for (const { name, perSecond, requests, used } of builds) {
    const ratio = median(perSecond.map((one, i) => one / builds[0].perSecond[i]));
    const [host, envoy] = used.map((micros) => (micros / requests).toFixed(2));
    console.log(
      `${name}: ${median(perSecond).toFixed(1)} requests/s, ${ratio.toFixed(3)} of the first; ` +
        `CPU a request: Envoy ${envoy} µs, host ${host} µs`,
    );
  }
}

/** Each inside the one before, so that all are taken down whatever happens. */
const allUp = (rest, builds) =>
  rest.length === 0 ? compare(builds) : withBuild(rest[0], (build) => allUp(rest.slice(1), [...builds, build]));

await allUp(directories, []);
