/**
 * `node test/engines/opensearch-quickstart.ts PACKAGE` does what docs/quickstart-opensearch.md says, as it says it: in an empty folder, with a
 * PostgreSQL and an OpenSearch that are there, and with the packed PACKAGE in the place of the published one. Exits with 0 when the index follows
 * the table in the end, through a resync.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startOpenSearch } from './opensearch.ts';
import { startPostgres } from './postgres.ts';
import { eventually } from './servers.ts';

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'quickstart-opensearch.md'), 'utf8');

const COMMAND_WITHIN_MS = 180_000;
const SEEN_WITHIN_MS = 60_000;

/** Lines of the `sh` blocks below a heading. */
function commandsBelow(heading: string): string[] {
  const [, section = ''] = new RegExp(`^## ${heading}\\n([^]*?)(?=^## |(?![^]))`, 'm').exec(page) ?? [];
  return [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, block = '']) => block.trimEnd().split('\n'));
}

const [packagePath] = process.argv.slice(2);
if (packagePath === undefined) throw new Error('usage: opensearch-quickstart.ts PACKAGE');

await using servers = new AsyncDisposableStack();
const postgres = servers.use(await startPostgres({ major: 18 }));
const search = servers.use(await startOpenSearch({ version: '3.6.0' }));
await postgres.createDatabase('shop');
await postgres.query("CREATE TABLE products (id int PRIMARY KEY, name text, price numeric(10,2)); INSERT INTO products SELECT i, CASE i % 3 WHEN 0 THEN 'kettle ' ELSE 'lamp ' END || i, i FROM generate_series(1, 3000) i", 'shop');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-quickstart-'));
servers.defer(() => rmSync(folder, { recursive: true, force: true }));
const env = { ...process.env, SHOP_URL: postgres.url('shop'), SEARCH_URL: search.url };

/** In a process group of its own, so that an interrupt reaches npx and what it starts alike, as it does from a keyboard. */
function begun(command: string): ChildProcess {
  console.log(`$ ${command}`);
  return spawn('bash', ['-c', command], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
}

/** Runs a command to its end and gives what it printed; throws unless it ended with 0. */
async function done(command: string): Promise<string> {
  const child = begun(command);
  let printed = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const deadline = setTimeout(() => interrupt(child, 'SIGKILL'), COMMAND_WITHIN_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(deadline);
  console.log(printed.trimEnd());
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return printed;
}

function interrupt(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal);
}

const five = commandsBelow('Five commands');
if (five.length !== 5 || five[0] !== 'npm install tailrace') throw new Error(`the page has ${five.length} commands: ${five.join('; ')}`);
const [install = '', init = '', check = '', load = '', run = ''] = five;
await done(install.replace('tailrace', `--no-audit --no-fund --silent '${resolve(packagePath)}'`));
for (const command of [init, check, load]) await done(command);
const daemon = begun(run);
daemon.stdout?.resume();
const daemonEnded = once(daemon, 'close');
try {
  const looks = commandsBelow('Look at it');
  const found: string[] = [];
  for (const command of looks) {
    await eventually(`${command} is answered`, SEEN_WITHIN_MS, async () => done(command).then((printed) => found.push(printed)));
  }
  if (!found[0]?.includes('kettle') || !found[2]?.includes('"total":{"value":1000')) throw new Error('the page\'s searches do not find what is in the table');
  await postgres.query("UPDATE products SET name = 'the one samovar' WHERE id = 1", 'shop');
  await eventually('the changed row is found', SEEN_WITHIN_MS, async () => (await done('npx tailrace search products samovar')).includes('the one samovar'));
  await eventually('the resync has come to its end', SEEN_WITHIN_MS, async () => (await search.request('GET', '/_alias/products')).body instanceof Object && Object.keys((await search.ask('GET', '/_alias/products')) as object).join() === 'products-g0002');
  if (!(await done('curl -s "$SEARCH_URL/products/_search?q=samovar"')).includes('the one samovar')) throw new Error('the new generation lacks the changed row');
} finally {
  interrupt(daemon, 'SIGINT');
}
await daemonEnded;
if (!(await done('npx tailrace status --json || true')).includes('"running":false')) throw new Error('the daemon did not end on an interrupt');
console.log('the quickstart leads to an index that is in step');
