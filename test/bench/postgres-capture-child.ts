/** The capturing process of the Postgres benches: the production source, capture and log; no index. */
import { Client } from 'pg';
import { postgresSource } from '../../connectors/sources/postgres/index.ts';
import { Capture } from '../../src/capture/capture.ts';
import { SchemaRegistry } from '../../src/capture/schema-registry.ts';
import { openLog } from '../../src/log/open.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { cpuSecondsOf, residentBytesOf } from './measure.ts';

export interface CaptureOrder {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  readonly directory: string;
  /** LSN to capture up to; `connected` only makes the slot; `snapshot` reads the table. */
  readonly until: string;
}

export interface CaptureReport {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly walsenderCpuSeconds: number;
  readonly changes: number;
  readonly residentBytes: number;
}

const POLL_MS = 20;

process.once('message', (order: CaptureOrder) => {
  run(order).then(
    (report) => process.send?.(report, () => process.exit(0)),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function run({ url, slot, publication, directory, until }: CaptureOrder): Promise<CaptureReport> {
  const runtime = nodeRuntime(silentLogger);
  await using log = await openLog(
    { directory, segmentBytes: 64 * 2 ** 20, segmentMaxAgeMs: 3_600_000, maxBytes: 64 * 2 ** 30, minAgeMs: 0, onFull: 'block', compression: 'none' },
    runtime,
  );
  const settings = postgresSource.configSchema.parse({ type: 'postgres', url, slot, publication });
  await using source = postgresSource.create(settings as never, { name: 'bench', runtime });
  const capture = new Capture({
    source,
    tables: [{ table: 'public.items' }],
    log,
    schemas: new SchemaRegistry(log.registers),
    runtime,
    settings: { inFlightBytes: 64 * 2 ** 20, snapshot: { parallel: 2, chunkBytes: 4 * 2 ** 20, bytesPerSecondMax: null } },
    isRebuilt: false,
    logged: async () => new Set(),
    onConnected: async (connection, signal) => {
      startMs = performance.now();
      cpuBefore = process.cpuUsage();
      if (until === 'snapshot') await connection.requestSnapshot({ table: 'public.items', selection: { kind: 'all' }, for: ['bench'], reason: 'build', sweep: false }, signal);
      isRequested = true;
    },
  });
  let isRequested = false;
  const stop = new AbortController();
  let startMs = performance.now();
  let cpuBefore = process.cpuUsage();
  const running = capture.run(stop.signal);
  let residentBytes = 0;
  let walsenderCpuSeconds = 0;
  const client = new Client({ connectionString: url });
  await client.connect();
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    residentBytes = Math.max(residentBytes, residentBytesOf(process.pid));
    const { phase, error, position, snapshots } = capture.status();
    if (phase === 'stopped' || phase === 'waiting') throw error;
    if (until === 'connected' ? isRequested : until === 'snapshot' ? isRequested && snapshots.length === 0 : position !== null && isAtLeast(source.formatPosition(position), until)) break;
    if (phase === 'streaming' && until !== 'snapshot') capture.nudge();
  }
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const { rows } = await client.query<{ pid: number }>('SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1', [slot]);
  if (rows[0]?.pid != null) walsenderCpuSeconds = cpuSecondsOf(rows[0].pid);
  await client.end();
  const changes = until === 'snapshot' ? log.durableSeq : capture.status().counters.changes;
  stop.abort();
  await running;
  return { seconds, cpuSeconds: (user + system) / 1e6, walsenderCpuSeconds, changes, residentBytes };
}

function isAtLeast(a: string, b: string): boolean {
  const number = (lsn: string): bigint => {
    const [high = '0', low = '0'] = lsn.split('/');
    return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
  };
  return number(a) >= number(b);
}
