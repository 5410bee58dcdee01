/**
 * A snapshot into the durable log, beside `COPY (SELECT ...) TO STDOUT` of the same table by psql, thrown away.
 *
 * `node test/bench/postgres-snapshot.ts [--rows 1000000] [--rounds 3] [--major 18]`
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startPostgres } from '../engines/postgres.ts';
import { median, perSecond, printRows } from './measure.ts';
import type { CaptureReport } from './postgres-capture-child.ts';
import { captureInChild } from './postgres-capture-parent.ts';
import { clientProgram, createItems, insertItems, withClient } from './postgres-rows.ts';

const { values } = parseArgs({ options: { rows: { type: 'string', default: '1000000' }, rounds: { type: 'string', default: '3' }, major: { type: 'string', default: '18' } } });
const rows = Number(values.rows);
const rounds = Number(values.rounds);
const major = values.major === '15' ? 15 : 18;

await using server = await startPostgres({ major, settings: { max_replication_slots: '20', shared_buffers: '256MB', max_wal_size: '8GB' } });
const url = server.url(await server.createDatabase());
await createItems(url);
await insertItems(url, 1, rows, 100_000);
await withClient(url, async (client) => client.query('VACUUM ANALYZE items'));
const psql = await clientProgram('psql');
const folder = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
try {
  const copies: number[] = [];
  const ours: CaptureReport[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const startMs = performance.now();
    await promisify(execFile)('sh', ['-c', `'${psql}' '${url}' -c 'COPY (SELECT * FROM items) TO STDOUT' > /dev/null`]);
    copies.push((performance.now() - startMs) / 1000);
    ours.push(await captureInChild({ url, slot: `ours_${round}`, publication: 'tailrace_bench', directory: join(folder, `${round}`), until: 'snapshot' }));
  }
  for (const { changes } of ours) if (changes !== rows) throw new Error(`${changes} rows were read instead of ${rows}`);
  const wall = median(ours.map(({ seconds }) => seconds));
  printRows(`Snapshot of ${rows} rows from Postgres ${major} into the durable log, 2 ranges at once, median of ${rounds}`, [
    { what: 'rows per second', value: perSecond(rows, wall), ceiling: perSecond(rows, median(copies)), ratio: median(copies) / wall, bar: '>= 0.7' },
    { what: 'Node CPU per row', value: `${median(ours.map((one) => (one.cpuSeconds * 1e6) / rows)).toFixed(2)} µs` },
    { what: 'resident memory at most', value: `${(median(ours.map((one) => one.residentBytes)) / 2 ** 20).toFixed(0)} MiB`, bar: '<= 250 MiB' },
  ]);
} finally {
  await rm(folder, { recursive: true });
}
