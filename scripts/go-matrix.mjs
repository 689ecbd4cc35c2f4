#!/usr/bin/env node
// go-matrix.mjs REPORTS DOC - how each behaviour case of the Golang filter fared on each Envoy, from vitest's reports.
// Fails for a cell that neither passed nor is listed with its reason in DOC (docs/go-compat.md).
import { build } from 'esbuild';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [reports, doc] = process.argv.slice(2);
if (doc === undefined) {
  console.error('usage: go-matrix.mjs REPORTS DOC');
  process.exit(2);
}
const VERSIONS = ['1.40', '1.39', '1.38'];

/** The tests' own table and reader, which are TypeScript. */
async function load(name) {
  const entry = fileURLToPath(new URL(`../test/e2e/go/${name}.ts`, import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

const { CASES } = await load('cases');
const { readImpossible } = await load('compat');
const listed = readImpossible(readFileSync(doc, 'utf8'));

/** The titles of one Envoy's tests, with their status; undefined when its suite did not run. */
function statuses(version) {
  const path = join(reports, `e2e-${version}.json`);
  if (!existsSync(path)) return undefined;
  const { testResults } = JSON.parse(readFileSync(path, 'utf8'));
  const found = new Map();
  for (const { title, status } of testResults.flatMap((file) => file.assertionResults)) {
    if (title.startsWith('go/')) found.set(title, found.has(title) ? 'twice' : status);
  }
  return found;
}

function cell(id, version, found) {
  const entry = listed.get(id);
  if (found === undefined) return 'not run';
  if (entry?.versions.includes(version) === true) {
    // Impossible, and the test of what an author meets instead passed.
    const instead = found.get(`${id} (impossible here)`);
    return instead === 'passed' ? `n/a ${entry.reason}` : `n/a ${entry.reason}, ${instead ?? 'missing'}`;
  }
  const status = found.get(id);
  return status === 'passed' ? 'pass' : status === undefined ? 'missing' : status === 'failed' ? 'FAIL' : status;
}

const good = /^(pass|n\/a \d+)$/;
const all = new Map(VERSIONS.map((version) => [version, statuses(version)]));
const rows = CASES.map((id) => [id, ...VERSIONS.map((version) => cell(id, version, all.get(version)))]);
const table = [['case', ...VERSIONS], ...rows];
const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
for (const row of table)
  console.log(
    row
      .map((text, column) => text.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );

let bad = rows.flatMap(([, ...cells]) => cells).filter((text) => !good.test(text)).length;
for (const id of listed.keys()) {
  if (CASES.includes(id)) continue;
  console.error(`${doc} lists ${id}, which is no case`);
  bad++;
}
const cells = CASES.length * VERSIONS.length;
console.log(
  bad === 0
    ? `${cells} cells passed or are listed in ${doc}`
    : `${bad} of ${cells} cells neither passed nor are listed in ${doc}`,
);
process.exit(bad === 0 ? 0 : 1);
