/** The command line beside a real daemon, and on what it leaves behind: documented shapes, screens, exit statuses, signals. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repository, runCli, script, shapeDifferences, type CliResult } from '../cmd/run-cli.ts';
import type { PostgresServer } from './postgres-client.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { granted, installed } from '../requirement.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

const run = promisify(execFile);

const ROWS = 2_000;
const PASSWORD = 'not-to-be-seen-7f3a';

/** JSON examples of docs/cli.md by the verb that prints them. */
const documented = new Map([...readFileSync(join(repository, 'docs', 'cli.md'), 'utf8').matchAll(/<!-- shape: ([\w -]+) -->\n```json\n([^]*?)\n```/g)].map(([, verb = '', json = '']) => [verb, JSON.parse(json) as unknown]));

/** What each verb is asked for; a shape of a line is that of its first line. */
const asked: Readonly<Record<string, readonly string[]>> = {
  check: ['check'],
  status: ['status'],
  lag: ['lag'],
  search: ['search', 'products', 'kettle'],
  positions: ['positions'],
  'log stat': ['log', 'stat'],
  'log tail': ['log', 'tail'],
  'log dump': ['log', 'dump', '--last', '3'],
  'log verify': ['log', 'verify'],
  'dlq list': ['dlq', 'list'],
  'dlq show': ['dlq', 'show', 'products', '7'],
  trace: ['trace', 'products', '7'],
  'generations list': ['generations', 'list'],
  plan: ['plan'],
};

test('docs/cli.md has a shape for every verb that prints JSON', () => {
  expect([...documented.keys()].toSorted()).toEqual([...Object.keys(asked), 'demo', 'init', 'error', 'resync', 'generations list --at'].toSorted());
});

describePostgres([18], (postgres) => {
  let folder: string;
  let server: PostgresServer;
  let database: string;
  let url: string;

  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: folder });
  const json = async (...args: readonly string[]): Promise<unknown> => JSON.parse((await cli(...args, '--json')).stdout.split('\n')[0] ?? '') as unknown;
  const config = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  /** Shapes that differ from those of docs/cli.md. */
  const undocumented = async (verbs: readonly string[]): Promise<string[]> => {
    const differences: string[] = [];
    for (const verb of verbs) {
      const { stdout } = await cli(...(asked[verb] ?? []), '--json');
      const [first = ''] = stdout.split('\n');
      for (const difference of shapeDifferences(withoutFreeParts(documented.get(verb)), withoutFreeParts(JSON.parse(first)))) differences.push(`${verb}: ${difference}`);
    }
    return differences;
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-cli-'));
    server = await postgres.server();
    database = await server.createDatabase();
    await server.query(`CREATE ROLE ${database}_app LOGIN REPLICATION SUPERUSER PASSWORD '${PASSWORD}'`);
    await server.query(`CREATE TABLE products (id bigint PRIMARY KEY, name text NOT NULL, price numeric(20,2), note text)`, database);
    await server.query(`INSERT INTO products SELECT i, 'kettle number ' || i, i + 0.50, repeat('x', 200) FROM generate_series(1, ${ROWS}) i`, database);
    await server.query(`UPDATE products SET name = 'blue teapot', price = 123456789012345678.90, note = repeat('y', 5000) WHERE id = 7`, database);
    await server.query('ANALYZE products', database);
    url = server.url(database, `${database}_app`).replace('@', `:${PASSWORD}@`);
    config(
      'tailrace.yaml',
      `sources: { shop: { type: postgres, url: "${url}" } }\nindices: { products: { from: shop.public.products, max_document_bytes: 2000 } }\nadmin: { http: { port: 0 } }\n`,
    );
  });
  beforeAll(() => {
    // Slow enough to be seen at work.
    config('slow.yaml', `sources: { slow: { type: postgres, url: "${url}" } }\nindices: { products: { from: slow.public.products } }\nsnapshot: { parallel: 1, chunk_bytes: 65536, max_bytes_per_second: 400000 }\n`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe('beside a daemon', () => {
    let daemon: TailraceProcess;
    let address: string;

    beforeAll(async () => {
      daemon = await spawnTailrace(['run'], { cwd: folder });
      address = String((await daemon.event('admin_listening'))['url']);
      await daemon.event('index_serving');
      await eventually('the daemon is in step', 30_000, async () => ((await json('status')) as { ready: boolean }).ready);
    });
    afterAll(async () => daemon[Symbol.asyncDispose]());

    test('verbs print the JSON that docs/cli.md says', async () => {
      expect(await undocumented(Object.keys(asked))).toEqual([]);
    });

    test('status, lag and positions are read at a glance', async () => {
      const status = await cli('status');
      expect(status).toMatchObject({ code: 0, stderr: '' });
      expect(status.stdout).toMatch(/^tailrace \S+, pid \d+, up .*: in step\n/);
      expect(status.stdout).toMatch(/\nshop +postgres +streaming +0 /);
      expect(status.stdout).toMatch(/\nproducts +embedded +serving +0 .* 1,999 +1\n/);
      expect(status.stdout).toMatch(/\nNEXT\ntailrace dlq list products +see why 1 document is parked\n$/);
      expect(status.stdout).not.toContain('\u001B');
      expect((await cli('lag')).stdout).toMatch(/\nshop +streaming +0 B +0 s +[0-9A-F]+\/[0-9A-F]+ +[0-9A-F]+\/[0-9A-F]+ +.*\n\nINDEX.*\nproducts +serving +0 +0 s +[\d,]+ +[\d,]+\n$/);
      expect((await cli('positions')).stdout).toMatch(/\nproducts +1 +serving +[\d,]+\n$/);
    });

    test('lag --max-seconds is quiet while all is well', async () => {
      expect(await cli('lag', '--max-seconds', '600')).toMatchObject({ code: 0, stderr: '' });
    });

    test('lag --watch goes on, a line at a time where nothing can be drawn over', async () => {
      const watching = spawn(process.execPath, [script, 'lag', '--watch', '--json'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      watching.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      await eventually('two looks', 30_000, () => text.split('\n').length > 2);
      watching.kill('SIGINT');
      expect(JSON.parse(text.split('\n')[1] ?? '')).toMatchObject({ running: true, indices: [{ name: 'products' }] });
    });

    test('search finds by words, shows every digit, and says so when it finds nothing', async () => {
      const hits = (await cli('search', 'products', 'kettle', '1234', '--json')).stdout;
      expect(hits).toContain('"price":1234.50');
      expect((await cli('search', 'products', 'kettle', '1234')).stdout).toMatch(/^1234 +-?\d+\.\d\d +id: 1234 {2}name: kettle number 1234 {2}price: 1234.50/);
      expect((await cli('search', 'products', 'xylophone')).stdout).toBe('Nothing in products matches "xylophone".\n');
      for (const words of [['--', '-1234', 'kettle'], ['kettle', '--', '-1234']]) expect((await cli('search', 'products', '--limit', '1', ...words)).stdout).toMatch(/^1234 /);
      expect((await cli('search', 'produtcs', 'x')).stderr).toContain('did you mean `products`?');
    });

    test('log tail and log dump show changes as they are made', async () => {
      await server.query(`UPDATE products SET name = 'green kettle' WHERE id = 42`, database);
      const line = (await eventually('the change is in the log', 30_000, async () => {
        const lines = (await cli('log', 'tail', '-n', '1', '--json')).stdout;
        return lines.includes('"update"') ? lines : undefined;
      })) as string;
      const { seq, table, id } = JSON.parse(line) as { seq: number; table: string; id: string };
      expect({ table, id }).toEqual({ table: 'public.products', id: '42' });
      expect(line).not.toContain('green');
      const dumped = (await cli('log', 'dump', '--first', String(seq), '--last', String(seq), '--json')).stdout;
      expect(dumped).toContain('"row":{"id":42,"name":"green kettle","price":42.50,');
      expect((await cli('log', 'dump', '--first', String(seq))).stdout).toMatch(/update +shop\.public\.products +42 .*\n +\{"id":42,"name":"green kettle"/);
      expect((await cli('log', 'verify')).stdout).toMatch(/The log is whole\.\n$/);
    });

    test('dlq list names the parked document, its code and its reason', async () => {
      const { stdout } = await cli('dlq', 'list', 'products');
      expect(stdout).toMatch(/\nproducts +7 +[\d,]+ +\S+Z +DOC_TOO_LARGE +\S/);
      expect(stdout).not.toContain('yyyy');
    });

    test('what is asked for by more than the reader reads ends quietly', async () => {
      const { stdout, stderr } = await run('bash', ['-c', `"${process.execPath}" "${script}" log dump --json | head -n 1; echo "status \${PIPESTATUS[0]}"`], { cwd: folder });
      expect(stdout.split('\n').slice(1)).toEqual(['status 0', '']);
      expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ seq: 1 });
      expect(stderr).toBe('');
    });

    test('what cannot be asked for is refused in the same words as without a daemon', async () => {
      expect(await cli('search', 'products', ' ')).toMatchObject({ code: 64, stderr: expect.stringContaining('There is no word to search for.') as unknown });
      expect(await cli('dlq', 'list', 'produtcs')).toMatchObject({ code: 64, stderr: expect.stringContaining('did you mean `products`?') as unknown });
    });

    test('a second one whose port is taken ends with one sentence, and says what it did', async () => {
      const path = config('port.yaml', `data_directory: port\nsources: { port: { type: postgres, url: "${url}" } }\nindices: { products: { from: port.public.products } }\nadmin: { http: { port: ${new URL(address).port} } }\n`);
      const { code, stderr } = await cli('run', '--config', path);
      expect(code).toBe(75);
      expect(stderr).toMatch(/tailrace: tailrace cannot listen on 127\.0\.0\.1:\d+: something listens there already\.\n {2}tailrace ended; what it had begun goes on at the next start\.\n {2}→ Name a free one/);
    });

    test('a second daemon on the data directory ends with status 75, and the first goes on', async () => {
      const second = await cli('run');
      expect(second.code).toBe(75);
      expect(second.stderr).toContain('LOCK_HELD');
      expect((await cli('status')).code).toBe(0);
    });

    test('the socket is the account\'s own; over TCP there is what monitoring needs', async () => {
      expect(statSync(join(folder, 'tailrace-data', 'admin.sock')).mode & 0o777).toBe(0o600);
      expect((await fetch(`${address}/readyz`)).status).toBe(200);
      const metrics = await (await fetch(`${address}/metrics`)).text();
      expect(metrics).toMatch(/^tailrace_ready 1$/m);
      expect(metrics).toMatch(/^tailrace_index_dead_letters\{index="products"\} 1$/m);
      expect((await fetch(`${address}/v1/dead-letters`)).status).toBe(403);
    });

    test('no log line and no answer holds the password or a row', async () => {
      const answers = await Promise.all([cli('status', '--json'), cli('check'), cli('log', 'stat'), cli('positions', '--json')]);
      for (const text of [daemon.output, address, ...answers.map(({ stdout, stderr }) => stdout + stderr)]) {
        expect(text).not.toContain(PASSWORD);
        expect(text).not.toContain('kettle');
      }
    });

    test('it goes on when nobody reads its log lines any more', async () => {
      const path = config('unread.yaml', `data_directory: unread\nsources: { unread: { type: postgres, url: "${url}" } }\nindices: { products: { from: unread.public.products } }\n`);
      const unread = spawn(process.execPath, [script, 'run', '--config', path], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
      unread.stderr.destroy();
      const lag = async (): Promise<CliResult> => cli('lag', '--max-seconds', '600', '--config', path);
      await eventually('it is in step', 60_000, async () => (await lag()).code === 0);
      unread.kill('SIGTERM');
      const [code] = (await once(unread, 'exit')) as [number];
      expect(code).toBe(0);
    });

    test('an index is built again beside the one that readers see, shown to them, gone back from and dropped', async () => {
      const phases = async (): Promise<string> => (await cli('generations', 'list', 'products', '--json')).stdout.replace(/.*"generation":(\d+).*?"phase":"(\w+)".*\n/g, '$1 $2, ');
      expect(JSON.parse((await cli('resync', 'products', '--dry-run', '--json')).stdout)).toEqual({ index: 'products', table: 'shop.public.products', rows: 'all', generation: 2, gives_up: null, swap: true, estimated_rows: expect.any(Number) as unknown });
      const { stdout } = await cli('resync', 'products', '--no-swap', '--json');
      expect(shapeDifferences(documented.get('resync'), JSON.parse(stdout))).toEqual([]);
      await eventually('it is ready', 60_000, async () => (await phases()) === '1 serving, 2 ready, ');
      expect((await cli('generations', 'list')).stdout).toMatch(/\nproducts +2 +ready, held +working +\d+ +resync/);
      expect((await cli('generations', 'drop', 'products', '1')).code).toBe(64);
      await cli('generations', 'promote', 'products', '2');
      await eventually('readers see it', 60_000, async () => (await phases()) === '1 retired, 2 serving, ');
      await cli('generations', 'promote', 'products', '1');
      await eventually('readers are back', 60_000, async () => (await phases()) === '1 serving, 2 retired, ');
      expect((await cli('generations', 'drop', 'products', '2')).stdout).toContain('Generation 2 of products is removed.');
      await eventually('it is gone', 60_000, async () => (await phases()) === '1 serving, ');
      expect((await cli('resync', 'products', '--cancel')).code).toBe(64);
    });

    test('SIGTERM ends it with status 0, and everything that was in step stays so', async () => {
      daemon.kill('SIGTERM');
      expect(await daemon.exit()).toEqual({ code: 0, signal: null });
      expect(daemon.lines.map(({ msg }) => msg).slice(-2)).toEqual(['stopping', 'stopped']);
      expect(() => statSync(join(folder, 'tailrace-data', 'admin.sock'))).toThrow('ENOENT');
    });
  });

  describe('without a daemon', () => {
    test('nothing is built again, promoted or dropped', async () => {
      for (const command of [['resync', 'products'], ['generations', 'promote', 'products', '1'], ['generations', 'drop', 'products', '1']]) expect(await cli(...command)).toMatchObject({ stderr: expect.stringContaining('NOT_RUNNING') as unknown });
    });

    test('reading verbs print the same shapes, from the data directory', async () => {
      expect(await undocumented(Object.keys(asked))).toEqual([]);
    });

    test('cursors are those that the target keeps with its documents, everywhere', async () => {
      const { log, indices } = (await json('positions')) as { log: { durable_seq: number }; indices: { index: string; cursor: number }[] };
      expect(log.durable_seq).toBeGreaterThan(ROWS);
      expect(indices).toMatchObject([{ index: 'products', generation: 1, phase: 'serving', cursor: log.durable_seq }]);
      for (const verb of ['status', 'lag']) expect(await json(verb), verb).toMatchObject({ running: false, indices: [{ name: 'products', cursor: log.durable_seq, lag_changes: 0 }] });
      expect(await json('log', 'stat')).toMatchObject({ holds: [{ name: 'products-g0001', seq: log.durable_seq }] });
      expect((await cli('status')).stdout).toMatch(/\nproducts +embedded +- +0 changes +- +- +1\n/);
    });

    test('a target that cannot be asked is said beside its index, and the rest is answered', async () => {
      const path = config('other-target.yaml', `sources: { shop: { type: postgres, url: "${url}" } }\ntargets: { search: { type: sqlite, path: ${join(folder, 'tailrace.yaml')} } }\nindices: { products: { from: shop.public.products } }\n`);
      expect(await json('status', '--config', path)).toMatchObject({ indices: [{ name: 'products', cursor: null, lag_changes: null, error: { code: 'TGT_SCHEMA' } }] });
      expect((await cli('status', '--config', path)).stdout).toMatch(/\nproducts +search +- +\? .*\n +! products: .* is no SQLite database\./);
      expect(await json('positions', '--config', path)).toMatchObject({ indices: [{ index: 'products', cursor: null }] });
    });

    test('status says so and ends with 1, and so does an alert', async () => {
      const status = await cli('status');
      expect(status.code).toBe(1);
      expect(status.stdout).toMatch(/^tailrace \S+ is not running; this is what its data directory says\.\n/);
      expect(status.stdout).toMatch(/\nNEXT\ntailrace run +start the daemon\n/);
      const alert = await cli('lag', '--max-seconds', '600');
      expect(alert.code).toBe(1);
      expect(alert.stderr).toContain('tailrace is not running.');
    });

    test('a daemon whose target cannot be opened says that it does not know how far its index is, not that it is at the start', async () => {
      await using daemon = await spawnTailrace(['run', '--config', join(folder, 'other-target.yaml')], { cwd: folder });
      await daemon.event('index_stopped');
      for (const verb of ['status', 'lag']) expect(await json(verb), verb).toMatchObject({ running: true, indices: [{ name: 'products', phase: 'stopped', cursor: null, lag_changes: null, lag_seconds: null }] });
      expect(await json('positions')).toMatchObject({ indices: [{ index: 'products', cursor: null }] });
      expect((await cli('status')).stdout).toMatch(/\nproducts +search +stopped +\? /);
      expect((await cli('lag', '--max-seconds', '600')).code).toBe(1);
    });

    test('search, log and dlq answer as before', async () => {
      expect((await cli('search', 'products', 'green', 'kettle', '--json')).stdout).toContain('"name":"green kettle"');
      expect((await cli('dlq', 'list')).stdout).toContain('DOC_TOO_LARGE');
      expect((await cli('log', 'dump', '--json')).stdout.trimEnd().split('\n').length).toBeGreaterThanOrEqual(ROWS);
    });

    test('with nothing ever run, verbs say that there is nothing, and where', async () => {
      const elsewhere = await cli('status', '--data-directory', join(folder, 'empty'));
      expect(elsewhere.code).toBe(1);
      expect(elsewhere.stderr).toContain(`there is nothing in ${join(folder, 'empty')}`);
      expect((await cli('log', 'verify', '--data-directory', join(folder, 'empty'))).code).toBe(1);
    });

    test('run --once brings what was written meanwhile, says what it did, and ends with 0', async () => {
      await server.query(`UPDATE products SET name = 'red kettle' WHERE id = 43`, database);
      await using once = await spawnTailrace(['run', '--once'], { cwd: folder });
      expect(await once.exit()).toEqual({ code: 0, signal: null });
      expect(await once.event('caught_up')).toMatchObject({ indices: 1, dead_letters: 1 });
      expect((await cli('search', 'products', 'red', 'kettle', '--json')).stdout).toContain('"id":"43"');
    });

    test('a damaged log is found, with the file, and status 74', async () => {
      await run('cp', ['-R', join(folder, 'tailrace-data'), join(folder, 'damaged')]);
      const stat = (await json('log', 'verify', '--data-directory', join(folder, 'damaged'))) as { subject: string };
      const file = join(folder, 'damaged', 'log', stat.subject);
      const bytes = readFileSync(file);
      bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 0xff;
      writeFileSync(file, bytes);
      const verified = await cli('log', 'verify', '--data-directory', join(folder, 'damaged'));
      expect(verified.code).toBe(74);
      expect(verified.stdout).toContain(`${stat.subject}: `);
      expect(verified.stdout).toMatch(/The log is damaged: 1 place\.\n$/);
      expect(verified.stdout).toContain('Restore the file from a copy of exactly this data directory');
      expect(verified.stdout).not.toContain('log verify');
    });
  });

  describe.runIf(granted('the program script of Linux', process.platform === 'linux') && installed('script'))('on a terminal', () => {
    /** What a terminal of 120 columns gets. */
    const onTerminal = async (command: string, env: Record<string, string> = {}): Promise<string> => {
      const { stdout } = await run('script', ['-qec', `stty cols 120 rows 40; "${process.execPath}" "${script}" ${command}`, '/dev/null'], { cwd: folder, env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...env } });
      return stdout;
    };

    test('there are colours, unless NO_COLOR says otherwise', async () => {
      expect(await onTerminal('dlq list')).toContain('\u001B[2mINDEX');
      expect(await onTerminal('dlq list', { NO_COLOR: '1' })).not.toContain('\u001B');
    });

    test('long documents are cut to its width', async () => {
      const lines = (await onTerminal('search products kettle', { NO_COLOR: '1' })).split('\r\n').filter((line) => line.includes('kettle'));
      expect(lines.map((line) => line.length)).toEqual(Array.from({ length: 10 }, () => 120));
      expect((await cli('search', 'products', 'kettle')).stdout).toContain('x'.repeat(200));
    });

    test('run draws bars below log lines for eyes, and takes them away', async () => {
      const shown = await onTerminal('run --once --data-directory fresh --config slow.yaml');
      expect(shown).toMatch(/\] \S*INFO\S*: \S*source_connected/);
      expect(shown).toMatch(/reading slow\.public\.products +[█░]+ +\d+ % +[\d,]+ of about 2,000 rows/);
      const afterBars = shown.slice(shown.lastIndexOf('░'));
      expect(afterBars).toContain('\u001B[0J');
      expect(afterBars).toContain('stopped');
      // The cursor was hidden, and is there again.
      expect(shown.lastIndexOf('\u001B[?25h')).toBeGreaterThan(shown.lastIndexOf('\u001B[?25l'));
    });
  });

  describe('check', () => {
    test('of a pipeline that can run says so', async () => {
      const { code, stdout } = await cli('check');
      expect({ code, last: stdout.trimEnd().split('\n').at(-1) }).toMatchObject({ code: 0, last: expect.stringMatching(/^Ready: `tailrace run`/) as unknown });
    });

    test('of one that cannot names each problem with its code and what mends it, and ends with 1', async () => {
      const path = config('missing.yaml', `data_directory: other\nsources: { shop: { type: postgres, url: "${url}" } }\nindices: { products: { from: shop.public.productz } }\n`);
      const { code, stdout } = await cli('check', '--config', path);
      expect(code).toBe(1);
      expect(stdout).toMatch(/✗ .*\(SRC_TABLE_MISSING\)/);
      expect(stdout).toMatch(/\n1 problem: mend it, then check again\./);
    });

    test('of expressions and columns that do not fit the table says where, and which column was probably meant', async () => {
      const index = 'from: shop.public.products, where: "prise > 5", fields: { title: nam, twice: { expression: "price * 2.0 +" } }';
      const path = config('misfit.yaml', `data_directory: other\nsources: { shop: { type: postgres, url: "${url}" } }\nindices: { products: { ${index} }, fine: { from: shop.public.products, where: 'price > 5.0' } }\n`);
      const { code, stdout } = await cli('check', '--config', path);
      expect(code).toBe(1);
      expect(stdout).toContain('index products: indices.products.where, column 1 does not fit the table public.products: Unknown variable: prise; did you mean `price`? (SRC_DDL)');
      expect(stdout).toContain('indices.products.fields.title needs the column `nam`, which the table public.products does not have; did you mean `name`? (SRC_DDL)');
      expect(stdout).toContain('indices.products.fields.twice, column 14: Unexpected token: EOF (CFG_TRANSFORM)');
      expect(stdout).toMatch(/\n3 problems: mend them, then check again\./);
      expect(stdout).toContain('Correct `indices.products.where` in the config, or give the table what it needs.');
      expect(stdout).not.toContain('SOURCE');
      const { checked } = (await json('check', '--config', path)) as { checked: { kind: string; name: string; findings: { level: string }[] }[] };
      expect(checked.filter(({ kind }) => kind === 'index').map(({ name, findings }) => [name, findings.map(({ level }) => level)])).toEqual([['products', ['problem', 'problem', 'problem']], ['fine', ['ok']]]);
    });

    test('looks for the files that the config names in the folder of the config, not where it is started', async () => {
      const path = config('file.yaml', `data_directory: other\nsources: { shop: { type: postgres, url: "${url}", password_file: pw } }\nindices: { products: { from: shop.public.products } }\n`);
      const missing = await runCli(['check', '--config', path], { cwd: '/' });
      expect(missing.stdout).toContain(`The file that password_file names, ${join(folder, 'pw')}, cannot be read. (SRC_AUTH)`);
      config('pw', PASSWORD);
      expect(await runCli(['check', '--config', path], { cwd: '/' })).toMatchObject({ code: 0 });
    });

    test('of a server that does not answer says so within its connect timeout', async () => {
      const path = config('away.yaml', 'data_directory: other\nsources: { shop: { type: postgres, url: "postgres://u:p@127.0.0.1:1/d", connect_timeout_ms: 2000 } }\nindices: { products: { from: shop.public.products } }\n');
      const { code, stdout } = await cli('check', '--config', path);
      expect(code).toBe(1);
      expect(stdout).toContain('(SRC_CONN)');
    });
  });

  describe('a daemon that cannot go on', () => {
    test('with --once ends with the status of what stopped it, and says what to do', async () => {
      const path = config('wrong-table.yaml', `data_directory: wrong\nsources: { shop: { type: postgres, url: "${url}", slot: wrong_table } }\nindices: { products: { from: shop.public.productz } }\n`);
      const { code, stderr } = await cli('run', '--once', '--config', path);
      expect(code).toBe(65);
      expect(stderr).toContain('SRC_TABLE_MISSING');
      const search = await cli('search', 'products', 'kettle', '--config', path);
      expect(search).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^tailrace: Index products is not built yet: tailrace is not running\.\n[^]*NOT_BUILT: /) as unknown });
      await using daemon = await spawnTailrace(['run', '--config', path], { cwd: folder });
      await daemon.event('source_stopped');
      expect((await cli('search', 'products', 'kettle', '--config', path)).stderr).toMatch(/^tailrace: Index products is not built yet: There is no table public\.productz\b[^]*NOT_BUILT: /);
      expect(await cli('search', 'products', 'kettle', '--json', '--config', path)).toMatchObject({ code: 1, stdout: expect.stringContaining('"code":"NOT_BUILT"') as unknown });
    });

    test('stopped in the middle of a snapshot ends with 0, and the next run goes on there', async () => {
      const path = config('stopped.yaml', `data_directory: stopped\nsources: { stopped: { type: postgres, url: "${url}" } }\nindices: { products: { from: stopped.public.products } }\nsnapshot: { parallel: 1, chunk_bytes: 65536, max_bytes_per_second: 200000 }\n`);
      await using daemon = await spawnTailrace(['run', '--config', path], { cwd: folder });
      await daemon.event('snapshot_planned');
      const read = async (): Promise<number> => ((await json('log', 'stat', '--config', path)) as { durable_seq: number }).durable_seq;
      await eventually('a part is read', 30_000, async () => (await read()) > 0);
      daemon.kill('SIGTERM');
      expect(await daemon.exit()).toEqual({ code: 0, signal: null });
      expect(daemon.lines.map(({ msg }) => msg)).not.toContain('snapshot_done');
      const part = await read();
      expect(await cli('search', 'products', 'kettle', '--config', path)).toMatchObject({ code: 1, stderr: expect.stringContaining('Index products is not built yet') as unknown });
      expect(await json('status', '--config', path)).toMatchObject({ indices: [{ phase: 'building' }], sources: [{ snapshots: [{ table: 'public.products', phase: 'reading' }] }] });
      config('stopped.yaml', readFileSync(path, 'utf8').replace(/snapshot: .*/, ''));
      await using again = await spawnTailrace(['run', '--once', '--config', path], { cwd: folder });
      expect(await again.exit()).toEqual({ code: 0, signal: null });
      expect(again.lines.map(({ msg }) => msg)).not.toContain('snapshot_requested');
      expect(await read()).toBeGreaterThan(part);
      expect((await json('search', 'products', 'kettle', '1999', '--config', path)) as { hits: unknown[] }).toMatchObject({ hits: [{ id: '1999' }] });
      expect(await cli('search', 'products', 'xylophone', '--config', path)).toMatchObject({ code: 0, stdout: 'Nothing in products matches "xylophone".\n' });
      rmSync(join(folder, 'stopped', 'search.db'));
      expect(await cli('search', 'products', 'kettle', '--config', path)).toMatchObject({ code: 1, stderr: expect.stringContaining('Index products was built, but is not in its target') as unknown });
    });

    test('while its server is away waits, says so in its status, and stops when it is told to', async () => {
      const path = config('gone.yaml', 'data_directory: gone\nsources: { shop: { type: postgres, url: "postgres://u:p@127.0.0.1:1/d" } }\nindices: { products: { from: shop.public.products } }\n');
      await using daemon = await spawnTailrace(['run', '--config', path], { cwd: folder });
      await daemon.event('source_disconnected');
      const status = await cli('status', '--config', path);
      expect(status.code).toBe(0);
      expect(status.stdout).toMatch(/: not in step: \d problems?\n/);
      expect(status.stdout).toMatch(/\nshop +postgres +(?:waiting|connecting) /);
      daemon.kill('SIGINT');
      expect(await daemon.exit()).toEqual({ code: 0, signal: null });
    });
  });
});

/** Documents and rows have the fields that users give them. */
function withoutFreeParts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutFreeParts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== 'code' && name !== 'fix').map(([name, item]: [string, unknown]) => [name, name === 'document' || name === 'row' ? null : withoutFreeParts(item)]));
}
