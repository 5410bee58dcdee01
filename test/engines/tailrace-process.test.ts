/** The harness that runs tailrace as a process: tried on scripts of a few lines. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { installed } from '../requirement.ts';
import { spawnScript } from './tailrace.ts';

const folder = mkdtempSync(join(tmpdir(), 'tailrace-script-'));
afterAll(() => rmSync(folder, { recursive: true }));

function script(name: string, text: string): string {
  const path = join(folder, `${name}.ts`);
  writeFileSync(path, text);
  return path;
}

const daemon = `
process.on('SIGTERM', () => {
  process.stdout.write(JSON.stringify({ level: 30, msg: 'stopped' }) + '\\n', () => process.exit(75));
});
console.error('{ not a log line');
console.log(JSON.stringify({ level: 30, msg: 'started', args: process.argv.slice(2), home: process.env.SHOP_URL, leaked: process.env.VITEST }));
setInterval(() => {}, 1000);
`;

test('log lines of both streams, arguments and environment reach the test, and SIGTERM gives the exit status', async () => {
  await using daemonProcess = await spawnScript(script('daemon', daemon), ['run', '--once'], { env: { SHOP_URL: 'x' } });
  const started = await daemonProcess.event('started', { where: (line) => line['level'] === 30 });
  expect(started).toEqual({ level: 30, msg: 'started', args: ['run', '--once'], home: 'x' });
  daemonProcess.kill('SIGTERM');
  expect(await daemonProcess.exit()).toEqual({ code: 75, signal: null });
  expect(daemonProcess.lines.map((line) => line.msg)).toEqual(['started', 'stopped']);
  expect(daemonProcess.output).toContain('{ not a log line');
});

test('a killed process ends by its signal, even while it is stopped', async () => {
  await using daemonProcess = await spawnScript(script('stopped', daemon), []);
  await daemonProcess.event('started');
  daemonProcess.kill('SIGSTOP');
  daemonProcess.kill('SIGKILL');
  expect(await daemonProcess.exit()).toEqual({ code: null, signal: 'SIGKILL' });
});

test('waiting for an event that cannot come any more fails at once, with the output', async () => {
  await using short = await spawnScript(script('short', `console.log('{"msg":"hello"}'); console.error('cannot go on'); process.exitCode = 78;`), []);
  await expect(short.event('ready')).rejects.toThrow(/exit status 78 before event "ready":[^]*cannot go on/);
});

test('waiting ends at its deadline', async () => {
  await using daemonProcess = await spawnScript(script('deadline', daemon), []);
  const { length } = (await daemonProcess.event('started'), daemonProcess.lines);
  await expect(daemonProcess.event('started', { deadlineMs: 50, from: length })).rejects.toThrow('not within 50 ms');
  await expect(daemonProcess.exit(50)).rejects.toThrow('not within 50 ms');
});

test.runIf(installed('strace'))('run through strace, the process keeps its pid and its exit status, and system calls can be made to fail', async () => {
  const write = `import { fdatasyncSync, openSync } from 'node:fs';
const file = openSync(process.argv[2] + '', 'w');
console.log(JSON.stringify({ msg: 'opened', pid: process.pid }));
try { fdatasyncSync(file); } catch (error) { console.log(JSON.stringify({ msg: 'failed', code: (error as NodeJS.ErrnoException).code })); process.exitCode = 74; }`;
  const through = ['strace', '-D', '-f', '-qqq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO:when=1'];
  await using traced = await spawnScript(script('write', write), [join(folder, 'out')], { through });
  expect(await traced.exit()).toEqual({ code: 74, signal: null });
  expect(traced.lines).toEqual([{ msg: 'opened', pid: traced.pid }, { msg: 'failed', code: 'EIO' }]);
});
