/** The generated part of docs/chains.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { root } from '../fixture/paths.js';
import { OUTCOMES, type Outcome } from './judge.js';
import { percent } from './report.js';
import type { Half } from './run.js';
import type { Settings } from './settings.js';
import { none, total, type Counts, type Tally } from './tally.js';

const DOC = join(root, 'docs', 'chains.md');
const BEGIN = '<!-- torture: begin, written by `make torture TORTURE_WRITE_DOCS=1` -->';
const END = '<!-- torture: end -->';

export interface Done {
  readonly half: Half;
  readonly tally: Tally;
}

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const head = (cells: readonly string[]): string[] => [line(cells), line(cells.map(() => '---'))];

function sum(all: readonly (Counts | undefined)[]): Counts {
  const out = none();
  for (const counts of all) for (const outcome of OUTCOMES) out[outcome] += counts?.[outcome] ?? 0;
  return out;
}

/** "100 % of 812 exact", with what else there was. */
function cell(counts: Counts): string {
  const all = total(counts);
  if (all === 0) return '–';
  const rest = OUTCOMES.filter((outcome: Outcome) => outcome !== 'exact' && counts[outcome] > 0);
  const parts = rest.map((outcome) => `${percent(counts[outcome], all)} ${outcome}`);
  return [`${percent(counts.exact, all)} of ${all}`, ...parts].join(', ');
}

function byPlace(done: readonly Done[]): string[] {
  const rows = [...new Set(done.flatMap(({ tally }) => tally.rows.map(({ row }) => row)))].sort();
  const halves = [false, true].map((edges) => done.filter(({ half }) => half.edges === edges));
  const out = head(['filter', 'place', 'direction', 'without edges: exact', 'with edges: exact']);
  for (const row of rows)
    for (const place of ['before', 'between', 'behind'] as const)
      for (const direction of ['request', 'response'] as const) {
        const counts = halves.map((half) => sum(half.map(({ tally }) => tally.find(row, place, direction))));
        if (counts.every((one) => total(one) === 0)) continue;
        out.push(line([row, place, direction, ...counts.map(cell)]));
      }
  return out;
}

function generated(settings: Settings, done: readonly Done[]): string {
  const messages = settings.perHalf * done.length;
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} cores, kernel ${release()}, Node ${process.version}`;
  const perEnvoy = done.map(({ half, tally }) =>
    line([
      half.version,
      half.edges ? 'with' : 'without',
      ...OUTCOMES.map((outcome) => String(tally.messages[outcome])),
    ]),
  );
  return [
    `\`make torture TORTURE_MESSAGES=${messages} TORTURE_SEED=${settings.seed}\`, on ${machine}:`,
    '',
    ...head(['Envoy', 'edges', ...OUTCOMES]),
    ...perEnvoy,
    '',
    ...byPlace(done),
  ].join('\n');
}

export function writeDocs(settings: Settings, done: readonly Done[]): void {
  const text = readFileSync(DOC, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${DOC} has no place for the table`);
  const before = text.slice(0, from + BEGIN.length);
  writeFileSync(DOC, `${before}\n${generated(settings, done)}\n${text.slice(to)}`);
  console.log(`torture: the table is in ${DOC}`);
}
