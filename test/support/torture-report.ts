/** What a torture leaves behind: its failures, and a report for scripts/count_results.py. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../fixture/paths.js';

const PRINTED = 10;

/** All failures go into a file, the first ones are printed. */
export class Failures {
  private readonly path: string;
  private printed = 0;
  count = 0;

  constructor(torture: string) {
    mkdirSync(join(root, 'build', torture), { recursive: true });
    this.path = join(root, 'build', torture, 'failures.txt');
    writeFileSync(this.path, '');
  }

  tell(text: string): void {
    this.count++;
    appendFileSync(this.path, `${text}\n`);
    if (this.printed++ < PRINTED) console.log(text);
    else if (this.printed === PRINTED + 1) console.log(`... more in ${this.path}`);
  }
}

export function writeReport(torture: string, tests: number, failures: number): void {
  mkdirSync(join(root, 'build', 'reports'), { recursive: true });
  writeFileSync(join(root, 'build', 'reports', `${torture}.json`), JSON.stringify({ tests, failures }));
}
