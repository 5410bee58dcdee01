/** The life of a document and its dead letter, beside a real daemon and without one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TraceReport } from '../../src/pipeline/trace.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import type { PostgresServer } from './postgres-client.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

describePostgres([15, 18], (postgres) => {
  let folder: string;
  let server: PostgresServer;
  let database: string;
  let daemon: TailraceProcess;

  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: folder });
  const sql = async (text: string): Promise<unknown> => server.query(text, database);
  const trace = async (id: string): Promise<TraceReport> => JSON.parse((await cli('trace', 'products', id, '--json')).stdout) as TraceReport;
  const steps = ({ changes }: TraceReport): string[] => changes.map(({ op, frame, outcome }) => `${op} ${frame} ${outcome}`);
  const inStep = async (): Promise<unknown> => eventually('the index is in step', 30_000, async () => {
    const { log, indices } = JSON.parse((await cli('positions', '--json')).stdout) as { log: { durable_seq: number }; indices: { cursor: number }[] };
    return indices[0]?.cursor === log.durable_seq;
  });
  /** Resolves when the log has a change behind `seq` and the index has applied it. */
  const applied = async (work: string): Promise<void> => {
    const before = (JSON.parse((await cli('log', 'stat', '--json')).stdout) as { durable_seq: number }).durable_seq;
    await sql(work);
    await eventually('the change is in the log', 30_000, async () => (JSON.parse((await cli('log', 'stat', '--json')).stdout) as { durable_seq: number }).durable_seq > before);
    await inStep();
  };

  const configure = (max_document_bytes: number): void => {
    const indices = { products: { from: 'shop.public.products', where: "name != 'hidden'", max_document_bytes }, plain: { from: 'shop.public.plain' } };
    writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify({ sources: { shop: { type: 'postgres', url: server.url(database), slot: database } }, indices }));
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-trace-'));
    server = await postgres.server();
    database = await server.createDatabase();
    await sql(`CREATE TABLE products (shop int, id text, name text, note text, PRIMARY KEY (id, shop)); CREATE TABLE plain (id text PRIMARY KEY, name text);
      INSERT INTO products VALUES (1, 'a:b', 'kettle', 'x'), (2, '', 'pot', 'x'), (3, 'hidden', 'hidden', 'x'), (4, 'large', 'large', repeat('y', 3000));
      INSERT INTO plain VALUES ('a', 'kettle')`);
    configure(2_000);
    daemon = await spawnTailrace(['run'], { cwd: folder });
    await daemon.event('index_serving');
    await inStep();
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a document is told of from its snapshot over updates to its delete', async () => {
    expect(steps(await trace('a%3Ab:1'))).toEqual(['read snapshot applied']);
    await applied(`UPDATE products SET name = 'blue kettle' WHERE shop = 1`);
    const updated = await trace('a%3Ab:1');
    expect(steps(updated)).toEqual(['read snapshot superseded', 'update stream applied']);
    expect(updated).toMatchObject({ key: [{ column: 'id', value: 'a:b' }, { column: 'shop', value: '1' }], stored: { as_built: true, seq: updated.changes.at(-1)?.seq, document: { name: 'blue kettle' } } });
    expect(updated.changes.at(-1)).toMatchObject({ position: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) as unknown, transaction: expect.stringMatching(/^\d+$/) as unknown });
    await applied(`UPDATE products SET id = 'c' WHERE shop = 1`);
    expect(await trace('a%3Ab:1')).toMatchObject({ stored: null, changes: [{}, {}, { op: 'delete', key_changed: true, outcome: 'applied' }] });
    expect(steps(await trace('c:1'))).toEqual(['update stream applied']);
    await applied(`DELETE FROM products WHERE shop = 1`);
    expect(steps(await trace('c:1'))).toEqual(['update stream superseded', 'delete stream applied']);
    expect((await cli('trace', 'products', 'c:1')).stdout).toMatch(/\nIt is in step: the row is gone, and so is the document\.\n$/);
  });

  test('one that is filtered, parked, or was never there is told of as such', async () => {
    expect(steps(await trace('hidden:3'))).toEqual(['read snapshot filtered']);
    const large = await trace('large:4');
    expect(steps(large)).toEqual(['read snapshot parked']);
    expect(large.dead_letters).toMatchObject([{ code: 'DOC_TOO_LARGE' }]);
    expect(steps(await trace('%E:2'))).toEqual(['read snapshot applied']);
    expect(await cli('trace', 'products', 'nobody:9')).toMatchObject({ code: 1, stdout: expect.stringContaining('Nothing is known of it: ') as unknown });
    expect(await cli('trace', 'products', 'no body:%zz')).toMatchObject({ code: 64, stderr: expect.stringContaining('is no id that a document can have') as unknown });
    expect(await cli('trace', 'prodcts', '1')).toMatchObject({ code: 64, stderr: expect.stringContaining('did you mean `products`?') as unknown });
  });

  test('a dead letter is shown with its change, and without what the row holds', async () => {
    const shown = await cli('dlq', 'show', 'products', 'large:4');
    expect(shown.stdout).toMatch(/\ncolumns {2}shop, id, name, note\n/);
    expect(shown.stdout).not.toContain('yyy');
    expect((await cli('dlq', 'show', 'products', 'large:4', '--values')).stdout).toContain('"note":"yyy');
    expect((await cli('dlq', 'show', 'products', 'a:1')).code).toBe(1);
    expect((await cli('dlq', 'list', '--code', 'TGT_REJECTED')).stdout).toBe('No documents are parked.\n');
    expect((await cli('dlq', 'list', '--limit', '1')).stdout).toContain('DOC_TOO_LARGE');
  });

  test('parked documents are tried again when what was in the way is mended, and parked again while it is not', async () => {
    expect(await cli('dlq', 'retry', 'products', '--all', '--json')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\{"index":"products","asked":1,"snapshots":\[\d+\]\}\n$/) as unknown });
    await eventually('it is parked again', 30_000, async () => steps(await trace('large:4')).join() === 'read snapshot superseded,read snapshot parked');
    daemon.kill('SIGTERM');
    await daemon.exit();
    expect(await cli('dlq', 'retry', 'products', '--all')).toMatchObject({ code: 1, stderr: expect.stringContaining('No daemon runs that could read rows again.') as unknown });
    configure(5_000);
    daemon = await spawnTailrace(['run'], { cwd: folder });
    await daemon.event('source_connected');
    await eventually('its row is asked for', 30_000, async () => (await cli('dlq', 'retry', 'products', 'large:4')).code === 0);
    await eventually('it is in the index', 30_000, async () => steps(await trace('large:4')).at(-1) === 'read snapshot applied');
    expect((await cli('dlq', 'list')).stdout).toBe('No documents are parked.\n');
    expect(await cli('dlq', 'retry', 'products', 'large:4')).toMatchObject({ code: 64, stderr: expect.stringContaining('No such document of products is parked.') as unknown });
    await applied(`UPDATE products SET note = repeat('z', 9000) WHERE shop = 4`);
    expect(steps(await trace('large:4')).at(-1)).toBe('update stream parked');
  });

  test('letters are dropped beside a daemon, which goes on', async () => {
    expect(await cli('dlq', 'drop', 'products', 'large:4', 'other:1')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^1 dead letter is dropped\./) as unknown });
    expect(await cli('dlq', 'drop', 'products', '--all')).toMatchObject({ code: 1, stdout: 'No such document is parked.\n' });
    expect(steps(await trace('large:4')).at(-1)).toBe('update stream unknown');
    await applied(`UPDATE products SET name = 'larger' WHERE shop = 4`);
    expect((await cli('dlq', 'list', 'products', '--json')).stdout.split('\n')).toHaveLength(2);
  });

  test('without a daemon everything is told as before, and letters are dropped too', async () => {
    daemon.kill('SIGTERM');
    await daemon.exit();
    expect(steps(await trace('large:4')).at(-1)).toBe('update stream parked');
    expect(await cli('dlq', 'drop', 'products', '--code', 'DOC_TOO_LARGE', '--json')).toMatchObject({ code: 0, stdout: '{"index":"products","dropped":1}\n' });
    expect((await cli('dlq', 'list')).stdout).toBe('No documents are parked.\n');
    expect(steps(await trace('%E:2'))).toEqual(['read snapshot applied']);
  });
});
