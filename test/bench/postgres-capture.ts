/**
 * Postgres capture of a backlog into the durable log, beside two ceilings on the same WAL: decoding alone inside the server
 * (`pg_logical_slot_peek_binary_changes`, nothing is sent), `pg_recvlogical` to /dev/null, and the stream read and thrown away.
 *
 * `node test/bench/postgres-capture.ts [--rows 1000000] [--per-transaction 1000] [--rounds 3] [--major 18]`
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startPostgres } from '../engines/postgres.ts';
import type { CaptureReport } from './postgres-capture-child.ts';
import { captureInChild } from './postgres-capture-parent.ts';
import { median, perSecond, printRows } from './measure.ts';
import { discardStream } from './postgres-discard.ts';
import { clientProgram, createItems, insertItems, withClient } from './postgres-rows.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '1000000' }, 'per-transaction': { type: 'string', default: '1000' }, rounds: { type: 'string', default: '3' }, major: { type: 'string', default: '18' } },
});
const rows = Number(values.rows);
const perTransaction = Number(values['per-transaction']);
const rounds = Number(values.rounds);
const major = values.major === '15' ? 15 : 18;

const publication = 'tailrace_bench';

await using server = await startPostgres({ major, settings: { max_replication_slots: '20', max_wal_senders: '20', shared_buffers: '256MB', max_wal_size: '8GB' } });
const url = server.url(await server.createDatabase());
await createItems(url);
const folder = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
try {
  for (let round = 0; round < rounds; round += 1) await captureInChild({ url, slot: `ours_${round}`, publication, directory: join(folder, `${round}`), until: 'connected' });
  await withClient(url, async (client) => {
    await client.query(`SELECT pg_create_logical_replication_slot('peek', 'pgoutput')`);
    for (let round = 0; round < rounds; round += 1) await client.query(`SELECT pg_create_logical_replication_slot('recv_${round}', 'pgoutput')`);
    await client.query(`SELECT pg_create_logical_replication_slot('discard', 'pgoutput')`);
  });
  console.log(`loading ${rows} rows in transactions of ${perTransaction}`);
  await insertItems(url, 1, rows, perTransaction);
  const end = await withClient(url, async (client) => {
    await client.query('CHECKPOINT');
    return (await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')).rows[0]?.lsn ?? '';
  });
  const peeks: number[] = [];
  const recvs: number[] = [];
  const discards: number[] = [];
  const ours: CaptureReport[] = [];
  for (let round = 0; round < rounds; round += 1) {
    peeks.push(await peek());
    recvs.push(await receive(`recv_${round}`, end));
    discards.push(await discardStream(url, 'discard', publication, end));
    ours.push(await captureInChild({ url, slot: `ours_${round}`, publication, directory: join(folder, `${round}`), until: end }));
  }
  report(peeks, recvs, discards, ours);
} finally {
  await rm(folder, { recursive: true });
}

async function peek(): Promise<number> {
  return withClient(url, async (client) => {
    const startMs = performance.now();
    await client.query(`SELECT count(*) FROM pg_logical_slot_peek_binary_changes('peek', NULL, NULL, 'proto_version', '1', 'publication_names', '${publication}')`);
    return (performance.now() - startMs) / 1000;
  });
}

async function receive(slot: string, until: string): Promise<number> {
  const program = await clientProgram('pg_recvlogical');
  const startMs = performance.now();
  await promisify(execFile)(program, ['-d', url, '-S', slot, '--start', '-f', '/dev/null', '--endpos', until, '-o', 'proto_version=1', '-o', `publication_names=${publication}`]);
  return (performance.now() - startMs) / 1000;
}

function report(peeks: number[], recvs: number[], discards: number[], ours: CaptureReport[]): void {
  const of = (pick: (one: CaptureReport) => number): number => median(ours.map(pick));
  const wall = of((one) => one.seconds);
  const cpuPerRow = of((one) => (one.cpuSeconds * 1e6) / one.changes);
  const busy = of((one) => one.walsenderCpuSeconds / one.seconds);
  for (const one of ours) if (one.changes !== rows) throw new Error(`${one.changes} changes were captured instead of ${rows}`);
  printRows(`Postgres ${major} capture into the durable log: ${rows} rows in transactions of ${perTransaction}, median of ${rounds}`, [
    { what: 'rows per second, beside decoding inside the server', value: perSecond(rows, wall), ceiling: perSecond(rows, median(peeks)), ratio: median(peeks) / wall, bar: '>= 0.5' },
    { what: 'rows per second, beside pg_recvlogical', value: perSecond(rows, wall), ceiling: perSecond(rows, median(recvs)), ratio: median(recvs) / wall, bar: '>= 1.5' },
    { what: 'rows per second, beside the same stream read and thrown away', value: perSecond(rows, wall), ceiling: perSecond(rows, median(discards)), ratio: median(discards) / wall },
    { what: 'walsender busy', value: `${(busy * 100).toFixed(0)} %`, bar: '>= 90 %' },
    { what: 'Node CPU per row', value: `${cpuPerRow.toFixed(2)} µs`, bar: '<= 2.5 µs' },
    { what: 'resident memory at most', value: `${(of((one) => one.residentBytes) / 2 ** 20).toFixed(0)} MiB`, bar: '<= 250 MiB' },
  ]);
}
