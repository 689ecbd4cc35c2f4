/** filters/calls on a real Envoy; what each library does is in test/calls. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { envoyVersion, eventually, get, http1, type Seen } from '../fixture/index.js';
import { LANGUAGES } from '../calls/languages.js';
import { withDemo } from './demo.js';
import { logsOnFailure, stage } from './support.js';

describe('two runtimes in each language', () => {
  const at = stage({ filters: [{ name: 'calls-echo' }], concurrency: 2, hostWorkers: 2 });

  it('answer before the request goes on; the global one is the same for all threads', { timeout: 60_000 }, async () => {
    logsOnFailure(at);
    const threads = new Set<string | undefined>();
    const counts: number[] = [];
    // Which worker of Envoy has a connection is the kernel's choice.
    for (let i = 0; i < 60 && threads.size < 2; i++) {
      const answer = await http1(at.port, { method: 'POST', path: '/sink' });
      expect(answer.status).toBe(200);
      const headers = new Map((answer.json as Seen).headers);
      for (const { name } of LANGUAGES) expect(headers.get(`x-${name.toLowerCase()}`)).toBe('foobar hello');
      threads.add(headers.get('x-thread'));
      counts.push(Number(headers.get('x-count')));
    }
    expect(threads.size).toBe(2);
    expect(counts).toEqual(counts.map((_, i) => i + 1));
    for (const { name } of LANGUAGES) {
      const said = await eventually(`what ${name} said`, () =>
        at.fx.host.records.find((one) => one['language'] === name.toLowerCase()),
      );
      expect(said['msg']).toBe('foobar hello');
    }
    // Three of each language: one for each thread, and the global one.
    const loaded = (what: RegExp) => at.fx.host.output.match(what)?.length ?? 0;
    await eventually('they have said so', () => loaded(/^echo: loaded with /gm) >= 3 * LANGUAGES.length);
    expect(loaded(/^echo: loaded with /gm)).toBe(3 * LANGUAGES.length);
    expect(loaded(/^echo: loaded with .*hello.*$/gm)).toBe(LANGUAGES.length);
  });
});

// The rest does not depend on Envoy.
describe.runIf(envoyVersion === '1.40')('a runtime', () => {
  const at = stage({ filters: [{ name: 'calls-load' }] });

  it('that ends during calls fails each of them, and the next call starts it again', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/killed');
    const { exit, calls, after } = JSON.parse(answer.text) as { exit: string[]; calls: string[]; after: number };
    expect(exit).toEqual(['CALLS_DIED']);
    expect(new Set(calls)).toEqual(new Set(['CALLS_DIED']));
    expect([calls.length, after]).toEqual([100, 1]);
  });

  it('that is killed fails the streams that wait for it, and no others', async () => {
    logsOnFailure(at);
    await get(at.port, '/stats');
    const [pid] = children(at.fx.host.pid);
    const waiting = Array.from({ length: 20 }, () => get(at.port, '/sleep'));
    await eventually('all have called', async () => {
      const { begun } = JSON.parse((await get(at.port, '/stats')).text) as { begun: number };
      return begun === waiting.length;
    });
    process.kill(pid!, 'SIGKILL');
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(waiting.map(() => 500));
    await eventually('its line in the log', () =>
      at.fx.host.output.includes('CALLS_DIED: conformance: killed by SIGKILL'),
    );
    await eventually('another one answers', async () => (await get(at.port, '/stats')).status === 200);
    expect(children(at.fx.host.pid)).not.toContain(pid);
  });

  it('ends when a filter thread is replaced, and when its host is killed; none stays a zombie', async () => {
    logsOnFailure(at);
    await get(at.port, '/stats');
    const before = children(at.fx.host.pid);
    at.fx.host.signal('SIGHUP');
    await eventually('it has ended', () => children(at.fx.host.pid).length === 0);
    await get(at.port, '/stats');
    const after = children(at.fx.host.pid);
    expect([before.length, after.length]).toEqual([1, 1]);
    await at.fx.host.kill();
    await eventually('it has ended', () => !existsSync(`/proc/${String(after[0])}`));
  });
});

describe.runIf(envoyVersion === '1.40')('make demo-calls', () => {
  it('serves both curl lines after both echoes, and Ctrl-C ends all of it', async () => {
    await withDemo('calls', async (port, demo) => {
      expect(demo.output).toContain(`curl -i 127.0.0.1:${port}/httpbin/get\n`);
      const before = demo.records.length;
      const answer = await get(port, '/httpbin/get');
      expect([answer.status, answer.text]).toEqual([200, 'hola mundo :)\n']);
      const sent = await http1(port, { method: 'POST', path: '/echo', body: 'text' });
      expect([sent.status, sent.text]).toEqual([200, 'text']);
      const said = await eventually('the log', () => {
        const messages = demo.records.slice(before).map((one) => one['msg']);
        return messages.length >= 4 && messages;
      });
      // A line of the request that make itself sends may come late.
      expect(said.slice(0, 4)).toEqual(['foobar', 'hello', 'foobar', 'hello']);
      await eventually('its line in the log', () => demo.output.includes("echo: loaded with {'greeting': 'hello'}"));
    });
  });
});

/** The runtimes that this host has started, zombies too; esbuild is a child of it as well. */
function children(host: number): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const [, name, parent] = /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
      return Number(parent) === host && name!.startsWith('go-') ? [Number(pid)] : [];
    } catch {
      return []; // no process, or not any more
    }
  });
}
