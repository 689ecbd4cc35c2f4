#!/usr/bin/env node
// Compares the module with no filter, with Lua and with ext_proc in Node, inside one run: fresh processes for each
// case, rounds in alternating order, medians.
//
// usage: node bench/run.js [--seconds 2] [--rounds 3] [--connections 1,32] [--cases ours,lua] [--json] [--write-docs]
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { callCases, headerCases, installPeers, missingParts, streamCases } from './cases.js';
import { cpuMicros, residentMiB } from './processes.js';
import { asDocument, asText, summarize } from './report.js';
import { envoy, withCase, wrk } from './stage.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '1,32' },
    cases: { type: 'string' },
    json: { type: 'boolean', default: false },
    'write-docs': { type: 'boolean', default: false },
  },
});
const seconds = wholeNumber('--seconds', values.seconds);
const rounds = wholeNumber('--rounds', values.rounds);
const connections = values.connections.split(',').map((item) => wholeNumber('--connections', item));
const WARM_UP_SECONDS = 2;
const CALLS_AT = 32;

function wholeNumber(name, text) {
  if (/^[1-9][0-9]{0,4}$/.test(text)) return Number(text);
  console.error(`bench: ${name} ${text}: must be a whole number, 1 or more`);
  process.exit(2);
}

const say = (text) => {
  if (!values.json) process.stderr.write(text);
};

/** One case in one round: started, checked, warmed up, measured, stopped. */
async function runCase(oneCase, loads) {
  return withCase(oneCase, { backend: loads.backend }, async ({ url, measured }) => {
    await wrk(url + loads.path, loads.warmUp, WARM_UP_SECONDS);
    const results = {};
    for (const count of loads.connections) {
      const before = measured.map(cpuMicros);
      const result = await wrk(url + loads.path, count, seconds);
      const cpu = measured.map((child, i) => cpuMicros(child) - before[i]);
      const [envoyMicros, sidecarMicros] = [cpu.pop(), cpu.pop() ?? 0];
      results[count] = { ...result, envoyMicros, sidecarMicros };
    }
    return { results, residentMiB: measured.map(residentMiB).reduce((sum, one) => sum + one, 0) };
  });
}

const wanted = values.cases?.split(',');
const choose = (cases) => (wanted ? cases.filter(({ id }) => wanted.includes(id)) : cases);

async function runRounds(chosen, loads) {
  const runs = new Map(chosen.map(({ id }) => [id, []]));
  for (let round = 0; round < rounds; round++) {
    for (const oneCase of round % 2 === 0 ? chosen : [...chosen].reverse()) {
      say(`round ${round + 1}/${rounds}: ${oneCase.label}\n`);
      runs.get(oneCase.id).push(await runCase(oneCase, loads));
    }
  }
  return chosen.map(({ id, label }) => ({ id, label, ...summarize(runs.get(id), loads.connections) }));
}

function machine() {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    kernel: os.release(),
    node: process.version,
    envoy: /version: [^/]*\/([^/]+)/.exec(execFileSync(envoy, ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown',
    loadBefore: Number(os.loadavg()[0].toFixed(2)),
  };
}

async function main() {
  let headers = choose(headerCases);
  const streams = choose(streamCases);
  const calls = choose(callCases);
  const missing = missingParts(envoy, [...headers, ...calls]);
  if (missing.length > 0) {
    for (const [path, command] of missing) console.error(`bench: ${path} is missing: run \`${command}\``);
    return 1;
  }
  headers = installPeers(headers);
  const report = { date: new Date().toISOString().slice(0, 10), machine: machine(), seconds, rounds, connections };
  report.headers = await runRounds(headers, { path: '/', warmUp: 32, connections });
  report.calls = await runRounds(calls, { path: '/', warmUp: 32, connections: [CALLS_AT] });
  report.streams = await runRounds(streams, { path: '/large', warmUp: 1, connections: [1], backend: true });

  console.log(values.json ? JSON.stringify(report, null, 2) : asText(report));
  if (values['write-docs']) writeFileSync(here('../docs/benchmarks.md'), asDocument(report));
  return [...report.headers, ...report.calls, ...report.streams].some(({ failed }) => failed > 0) ? 1 : 0;
}

process.exitCode = await main().catch((error) => {
  console.error(`bench: ${error.message}`);
  return 1;
});
