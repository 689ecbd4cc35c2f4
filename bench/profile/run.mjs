// CPU profiles under load, into build/profile/: one `.cpuprofile` for each thread of ts-filter-host (`--cpu-prof`),
// Envoy's functions when `perf` is there, and clinic's flame graph and doctor of the host's
// main thread (CLINIC=0 leaves them out).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headerCases, missingParts } from '../cases.js';
import { start } from '../processes.js';
import { envoy, withCase, wrk } from '../stage.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here('../../build/profile');
const SECONDS = 5;
const ours = headerCases.find(({ id }) => id === 'ours');

async function profileThreads() {
  const folder = join(out, 'host');
  const wrap = (args) => [process.execPath, '--cpu-prof', `--cpu-prof-dir=${folder}`, ...args];
  await withCase(ours, { wrap }, async ({ url, measured }) => {
    await wrk(url, 32, 2);
    const perf = startPerf(measured.at(-1).pid);
    await wrk(url, 32, SECONDS);
    await perf?.ended;
  });
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  for (const file of files) console.log(`\n${join(folder, file)}\n${hottest(join(folder, file))}`);
  reportPerf();
}

function startPerf(pid) {
  try {
    execFileSync('perf', ['--version'], { stdio: 'ignore' });
  } catch {
    console.log('perf is not there: no profile of Envoy');
    return undefined;
  }
  return start('perf', 'perf', [
    'record',
    '-q',
    '-F',
    '999',
    '-p',
    String(pid),
    '-o',
    join(out, 'perf.data'),
    '--',
    'sleep',
    String(SECONDS),
  ]);
}

function reportPerf() {
  if (!existsSync(join(out, 'perf.data'))) return;
  const args = ['report', '-i', join(out, 'perf.data'), '--stdio', '--percent-limit', '0.3', '--sort', 'dso,symbol'];
  const text = execFileSync('perf', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 26,
  });
  writeFileSync(join(out, 'envoy.txt'), text);
  console.log(`\n${join(out, 'envoy.txt')}`);
  console.log(
    text
      .split('\n')
      .filter((line) => /^\s+\d/.test(line))
      .slice(0, 25)
      .join('\n'),
  );
}

/** The functions with the most time of their own. */
function hottest(file) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const micros = new Map();
  let total = 0;
  samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = byId.get(id).callFrame;
    if (functionName === '(idle)') return;
    const name = `${functionName || '(anonymous)'} ${url.split('/').slice(-2).join('/')}${url ? `:${lineNumber + 1}` : ''}`;
    micros.set(name, (micros.get(name) ?? 0) + timeDeltas[i]);
    total += timeDeltas[i];
  });
  const top = [...micros].sort((a, b) => b[1] - a[1]).slice(0, 25);
  return top.map(([name, time]) => `${((100 * time) / total).toFixed(1).padStart(6)} %  ${name}`).join('\n');
}

/** Clinic sees the main thread only, so the host runs with `--workers 0`; without a terminal it asks nothing. */
async function profileWithClinic(tool) {
  const clinic = here('node_modules/.bin/clinic');
  if (!existsSync(clinic)) {
    execFileSync('npm', ['ci', '--prefix', here('.'), '--no-audit', '--no-fund'], { stdio: 'inherit' });
  }
  process.env.NO_INSIGHT = '1';
  const onMainThread = (args) => args.map((arg, i) => (args[i - 1] === '--workers' ? '0' : arg));
  const wrap = (args) => [clinic, tool, '--open=false', '--dest', out, '--', process.execPath, ...onMainThread(args)];
  await withCase(ours, { wrap }, async ({ url, sidecar }) => {
    await wrk(url, 32, SECONDS);
    // The host ends, clinic writes.
    process.kill(childOf(sidecar.pid), 'SIGTERM');
    await Promise.race([sidecar.ended, new Promise((resolve) => setTimeout(resolve, 60_000).unref())]);
    console.log(sidecar.output.trim());
  });
}

function childOf(pid) {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);
}

const missing = missingParts(envoy, [ours]);
for (const [path, command] of missing) console.error(`profile: ${path} is missing: run \`${command}\``);
if (missing.length > 0) process.exit(1);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await profileThreads();
if (process.env.CLINIC !== '0') for (const tool of ['flame', 'doctor']) await profileWithClinic(tool);
