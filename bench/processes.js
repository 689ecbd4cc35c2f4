// The processes of one case: started fresh, measured through /proc, ended by their own ids.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Starts a program; its output is kept for the message of a failure. */
export function start(name, command, args, env = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  running.add(child);
  child.title = name;
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      child.output = (child.output + text).slice(-8192);
    });
  }
  child.ended = new Promise((resolve) => {
    child.once('error', (error) => {
      child.output += error.message;
    });
    child.once('close', () => {
      running.delete(child);
      resolve();
    });
  });
  return child;
}

export async function stop(child) {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await child.ended;
  clearTimeout(timer);
}

/** Waits until `probe` gives something true; a process that ends meanwhile, or 15 seconds, is a failure. */
export async function until(what, children, probe) {
  for (const deadline = Date.now() + 15_000; Date.now() < deadline;) {
    const dead = children.find((child) => !running.has(child));
    if (dead) throw new Error(`${dead.title} ended before ${what}:\n${dead.output}`);
    const result = await Promise.resolve()
      .then(probe)
      .catch(() => undefined);
    if (result) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(
    `timed out waiting until ${what}\n${children.map((child) => `${child.title}:\n${child.output}`).join('\n')}`,
  );
}

/** A process that must still run. */
function procFile(child, name) {
  if (!running.has(child)) throw new Error(`${child.title} ended under load:\n${child.output}`);
  return readFileSync(`/proc/${child.pid}/${name}`, 'utf8');
}

/** User and system time of a process with all its threads, in microseconds. */
export function cpuMicros(child) {
  const stat = procFile(child, 'stat');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

export function residentMiB(child) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(procFile(child, 'status'))[1]) / 1024;
}
