/** The life of a document whose index is at a real OpenSearch, which keeps no cursor: where the index stands is the state store's to say. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TraceReport } from '../../src/pipeline/trace.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import { describeOpenSearch, startTimeoutMs, type OpenSearchServer } from './opensearch.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

describeOpenSearch(['3.6.0'], (openSearch) => {
  let folder: string;
  let search: OpenSearchServer;
  let postgres: PostgresServer;
  let database: string;
  let daemon: TailraceProcess;

  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: folder });
  const trace = async (id: string): Promise<TraceReport> => JSON.parse((await cli('trace', 'traced', id, '--json')).stdout) as TraceReport;
  const outcomes = ({ changes }: TraceReport): string => changes.map(({ op, outcome }) => `${op} ${outcome}`).join();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-trace-'));
    [search, postgres] = await Promise.all([openSearch.server(), startPostgres({ major: 18 })]);
    database = await postgres.createDatabase();
    await postgres.query(`CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one'), (2, 'two')`, database);
    const config = { sources: { shop: { type: 'postgres', url: postgres.url(database), slot: database } }, targets: { search: { type: 'opensearch', url: search.url } }, indices: { traced: { from: 'shop.public.items' } } };
    writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify(config));
    daemon = await spawnTailrace(['run'], { cwd: folder });
    await daemon.event('index_serving');
  }, startTimeoutMs);
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await postgres[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('is told of beside a daemon, with what OpenSearch holds, and what somebody else did there', async () => {
    await eventually('the snapshot is applied', 30_000, async () => outcomes(await trace('1')) === 'read applied');
    await postgres.query(`UPDATE items SET name = 'uno' WHERE id = 1; DELETE FROM items WHERE id = 2`, database);
    await eventually('the changes are applied', 30_000, async () => outcomes(await trace('2')) === 'read superseded,delete applied');
    expect(await trace('1')).toMatchObject({ generation: 1, error: null, changes: [{ outcome: 'superseded' }, { outcome: 'applied' }], stored: { as_built: true, document: { id: 1, name: 'uno' } } });
    await fetch(`${search.url}/traced-g0001/_doc/1?refresh=true`, { method: 'DELETE' });
    expect(outcomes(await trace('1'))).toBe('read superseded,update lost');
  });

  test('has the side of the log when OpenSearch does not answer', async () => {
    const path = join(folder, 'gone.yaml');
    const config = { sources: { shop: { type: 'postgres', url: postgres.url(database), slot: database } }, targets: { search: { type: 'opensearch', url: 'http://127.0.0.1:1' } }, indices: { traced: { from: 'shop.public.items' } } };
    writeFileSync(path, JSON.stringify(config));
    const report = JSON.parse((await cli('trace', 'traced', '1', '--json', '--config', path)).stdout) as TraceReport;
    expect(report).toMatchObject({ stored: null, cursor: null, error: { code: 'TGT_CONN' }, changes: [{ outcome: 'unknown' }, { outcome: 'unknown' }] });
  });
});
