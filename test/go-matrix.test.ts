/** scripts/go-matrix.mjs: what it prints of vitest's reports, and what it fails for. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CASES } from './e2e/go/cases.js';
import { HEADING, readImpossible } from './e2e/go/compat.js';
import { root } from './fixture/index.js';

const VERSIONS = ['1.40', '1.39', '1.38'];
const DOC = readFileSync(join(root, 'docs', 'go-compat.md'), 'utf8');

describe('the matrix', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsf-matrix-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  const listed = readImpossible(DOC);
  /** Reports in which all is well, but for what `change` makes of a title's status; undefined = no such test. */
  function report(change: (title: string, version: string) => string | undefined = () => 'passed'): void {
    for (const version of VERSIONS) {
      const assertionResults = CASES.flatMap((id) => {
        const title = listed.get(id)?.versions.includes(version) === true ? `${id} (impossible here)` : id;
        const status = change(title, version);
        return status === undefined ? [] : [{ title, status }];
      });
      writeFileSync(join(dir, `e2e-${version}.json`), JSON.stringify({ testResults: [{ assertionResults }] }));
    }
  }
  async function matrix(doc = DOC): Promise<{ code: number; lines: string[] }> {
    const path = join(dir, 'go-compat.md');
    writeFileSync(path, doc);
    const args = [join(root, 'scripts', 'go-matrix.mjs'), dir, path];
    try {
      const { stdout } = await promisify(execFile)(process.execPath, args);
      return { code: 0, lines: stdout.split('\n') };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, lines: [...stdout.split('\n'), ...stderr.split('\n')] };
    }
  }
  const row = (lines: string[], id: string) => lines.find((line) => line.startsWith(`${id} `))?.split(/ {2,}/);

  it('shows passed and impossible cells, and succeeds', async () => {
    report();
    const { code, lines } = await matrix();
    expect(code).toBe(0);
    expect(row(lines, 'go/echo')).toEqual(['go/echo', 'pass', 'pass', 'pass']);
    expect(row(lines, 'go/secrets/static')).toEqual(['go/secrets/static', 'pass', 'n/a 6', 'n/a 6']);
  });

  it.each([
    ['failed', 'FAIL'],
    ['skipped', 'skipped'],
    [undefined, 'missing'],
  ])('fails for one cell that is %s', async (status, shown) => {
    report((title, version) => (title === 'go/echo' && version === '1.39' ? status : 'passed'));
    const { code, lines } = await matrix();
    expect(code).toBe(1);
    expect(row(lines, 'go/echo')).toEqual(['go/echo', 'pass', shown, 'pass']);
    expect(lines.join('\n')).toContain(`1 of ${CASES.length * 3} cells`);
  });

  it('fails when nothing shows what an author meets where a case is impossible', async () => {
    report((title) => (title === 'go/secrets/static (impossible here)' ? 'failed' : 'passed'));
    const { code, lines } = await matrix();
    expect([code, row(lines, 'go/secrets/static')]).toEqual([
      1,
      ['go/secrets/static', 'pass', 'n/a 6, failed', 'n/a 6, failed'],
    ]);
  });

  it('fails for a suite that did not run', async () => {
    report();
    rmSync(join(dir, 'e2e-1.38.json'));
    const { code, lines } = await matrix();
    expect([code, row(lines, 'go/echo')]).toEqual([1, ['go/echo', 'pass', 'pass', 'not run']]);
  });

  it('fails for a line about a case that does not exist', async () => {
    report();
    const { code, lines } = await matrix(DOC.replace('\n| `go/secrets/static` ', '\n| `go/secrets/statik` '));
    expect(code).toBe(1);
    expect(lines.join('\n')).toContain('lists go/secrets/statik, which is no case');
  });
});

describe('the list of impossible cases', () => {
  it('is read with versions and reasons', () => {
    const page = `${HEADING}\n\n| \`go/a\` | 1.38, 1.39 | 2 |\n\n2. because\n\n## Next\n\n| \`go/b\` | 1.38 | 2 |\n`;
    expect([...readImpossible(page)]).toEqual([['go/a', { versions: ['1.38', '1.39'], reason: '2' }]]);
  });
  it('needs each reason', () => {
    expect(() => readImpossible(`${HEADING}\n\n| \`go/a\` | 1.38 | 3 |\n\n2. because\n`)).toThrow('reason 3');
  });
});
