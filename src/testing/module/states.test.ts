import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MODULE_TRANSITIONS } from './states.js';

test("docs/lifecycle.md has the same table of the module's flow", () => {
  const text = readFileSync(new URL('../../../docs/lifecycle.md', import.meta.url), 'utf8');
  const section = text.slice(text.indexOf('## One flow'), text.indexOf('## A flow in the host'));
  const rows = [...section.matchAll(/^\| ([\w ]+) \| ([\w ]+) \| ([\w ]+) \|$/gm)].map(([, ...row]) => row);
  const key = (rows: readonly (readonly (string | undefined)[])[]) => rows.map((row) => row.join(' → ')).sort();
  expect(key(rows.filter(([from]) => from !== 'from'))).toEqual(key(MODULE_TRANSITIONS));
});
