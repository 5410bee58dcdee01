/** The real thing: a process that is told to stop, and does not. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { endOf } from '../../cmd/daemon/end.ts';
import { ExitCode, exitCodeOf } from '../../src/errors/policy.ts';
import { repository } from './run-cli.ts';

// Each is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 60_000 });

interface Stopping {
  readonly child: ChildProcess;
  /** Lines that it has written so far. */
  readonly lines: () => string[];
  readonly said: (line: string) => Promise<void>;
}

async function stoppingProcess(withinMs: number): Promise<Stopping> {
  const text = `
    import { listenForStop } from ${JSON.stringify(join(repository, 'cmd', 'daemon', 'stop-signals.ts'))};
    const stop = listenForStop({ withinMs: ${withinMs}, onStop: (reason) => console.log('stop', reason), onGivenUp: (reason) => console.log('given up', reason) });
    stop.signal.addEventListener('abort', () => console.log('aborted'));
    setInterval(() => {}, 1000);
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', text], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const lines = (): string[] => output.split('\n').filter((line) => line !== '');
  const said = async (line: string): Promise<void> => {
    while (!lines().includes(line)) await once(child.stdout as NodeJS.ReadableStream, 'data');
  };
  await said('ready');
  return { child, lines, said };
}

test('the first signal asks, the second ends the process with the status of that signal', async () => {
  const { child, lines, said } = await stoppingProcess(60_000);
  child.kill('SIGTERM');
  await said('aborted');
  child.kill('SIGINT');
  expect(await once(child, 'close')).toEqual([130, null]);
  expect(lines()).toEqual(['ready', 'stop SIGTERM', 'aborted', 'given up SIGINT']);
});

test('work that ends without having been told to is a defect, not a success', () => {
  const aborted = new DOMException('This operation was aborted', 'AbortError');
  expect(exitCodeOf(endOf(aborted, true))).toBe(ExitCode.ok);
  expect(exitCodeOf(endOf(aborted, false))).toBe(ExitCode.invariant);
  const other = new Error('other');
  expect(endOf(other, false)).toBe(other);
});

test('a stop that takes longer than it may is given up with status 1', async () => {
  const { child, lines } = await stoppingProcess(50);
  child.kill('SIGHUP');
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(lines()).toEqual(['ready', 'stop SIGHUP', 'aborted', 'given up deadline']);
});
