/** Networks and machines that stop in their tracks, for longer than anybody waits. Each test ends with the index compared with the table, row by row. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { describePostgres, type PostgresServer } from '../engines/postgres.ts';
import { eventually } from '../engines/servers.ts';
import type { TailraceProcess } from '../engines/tailrace.ts';
import { startProxy, type FaultProxy, type ProxyMode } from './proxy.ts';
import { Stage } from './stage.ts';

const TIMEOUT_MS = 1_000;
/** After this neither side believes in the connection any more: the server after its timeout, tailrace after twice as long. */
const LONG_MS = 3 * TIMEOUT_MS;

const impatient = { source: `wal_sender_timeout_ms: ${TIMEOUT_MS}` };

interface Behind extends AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly stage: Stage;
}

/** A stage whose daemon connects through a proxy. */
async function behindProxy(server: PostgresServer, rows: number): Promise<Behind> {
  const proxy = await startProxy(server.port);
  const stage = await Stage.make(server, rows, { ...impatient, port: proxy.port });
  return {
    proxy,
    stage,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await stage[Symbol.asyncDispose]();
    },
  };
}

/** Whatever tailrace complained about, it was about the connection, and it went on by itself. */
function expectOnlyConnectionTrouble(daemon: TailraceProcess): void {
  const codes = new Set(daemon.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ code }) => code));
  expect([...codes].filter((code) => !['STALLED', 'SRC_CONN', 'SRC_SLOT_IN_USE'].includes(String(code)))).toEqual([]);
}

describePostgres([18], ({ server }) => {
  test.for<[string, ProxyMode]>([
    ['in both directions', { kind: 'stall' }],
    ['towards tailrace', { kind: 'stall', direction: 'to_client' }],
    ['towards the server', { kind: 'stall', direction: 'to_upstream' }],
  ])('a network that stalls %s for longer than the timeouts costs nothing but the pause', async ([, mode]) => {
    await using at = await behindProxy(await server(), 300);
    const { proxy, stage } = at;
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    await proxy.set(mode);
    await stage.write(4);
    const from = daemon.lines.length;
    await daemon.event('source_disconnected', { from });
    await proxy.set({ kind: 'pass' });
    await daemon.event('source_connected', { from });
    await stage.write(4);
    await stage.inStep(daemon);
    expectOnlyConnectionTrouble(daemon);
  });

  test('a network that stalls again and again while a table is read costs nothing but the pauses', async () => {
    await using at = await behindProxy(await server(), 30_000);
    const { proxy, stage } = at;
    await using daemon = await stage.daemon();
    await daemon.event('snapshot_planned');
    for (const ms of [200, LONG_MS, 50, LONG_MS]) {
      await proxy.set({ kind: 'stall' });
      await stage.write(2);
      await sleep(ms);
      await proxy.set({ kind: 'pass' });
      await sleep(150);
    }
    await stage.inStep(daemon);
    expectOnlyConnectionTrouble(daemon);
  });

  test('a network that cuts a large transaction again and again lets it through once, and once only', async () => {
    await using at = await behindProxy(await server(), 50);
    const { proxy, stage } = at;
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    await proxy.set({ kind: 'latency', ms: 20 });
    await stage.database.query("BEGIN; INSERT INTO items SELECT i, repeat('x', 200) FROM generate_series(1001, 40000) i; UPDATE items SET n = n + 1; DELETE FROM items WHERE id % 7 = 0; COMMIT");
    for (let i = 0; i < 6; i += 1) {
      const before = proxy.counters.toClientBytes;
      await eventually('some of it has come', 20_000, () => proxy.counters.toClientBytes > before + 300_000 * (i + 1));
      await proxy.set({ kind: 'cut' });
      await proxy.set({ kind: 'latency', ms: 20 });
    }
    await proxy.set({ kind: 'pass' });
    await stage.inStep(daemon);
    expectOnlyConnectionTrouble(daemon);
  });

  test('a server that refuses connections is asked again until it takes them', async () => {
    await using at = await behindProxy(await server(), 100);
    const { proxy, stage } = at;
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    const from = daemon.lines.length;
    await proxy.set({ kind: 'cut' });
    await proxy.set({ kind: 'refuse' });
    await daemon.event('source_disconnected', { from, where: ({ code }) => code === 'SRC_CONN' });
    await stage.write(3);
    await proxy.set({ kind: 'pass' });
    await stage.inStep(daemon);
    expectOnlyConnectionTrouble(daemon);
  });

  test('a server process that stops in its sleep is given up, and what it held is waited for', async () => {
    const running = await server();
    await using stage = await Stage.make(running, 300, impatient);
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    const [sender] = await running.query("SELECT active_pid FROM pg_replication_slots WHERE active");
    const pid = Number(sender?.['active_pid']);
    process.kill(pid, 'SIGSTOP');
    try {
      await stage.write(4);
      expect(await daemon.event('source_disconnected')).toMatchObject({ code: 'STALLED', error: { did: 'The connection was closed and opened again.' } });
      // The slot is held by the one that sleeps: nobody takes it away.
      await daemon.event('source_disconnected', { where: ({ code }) => code === 'SRC_SLOT_IN_USE' });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await stage.inStep(daemon);
    expectOnlyConnectionTrouble(daemon);
  });

  test('a daemon that sleeps while it reads a table goes on with what it was reading', async () => {
    await using stage = await Stage.make(await server(), 40_000, impatient);
    await using daemon = await stage.daemon();
    await daemon.event('snapshot_planned');
    daemon.kill('SIGSTOP');
    await stage.write(5);
    await stage.serverGaveUp();
    daemon.kill('SIGCONT');
    await stage.write(5);
    await stage.inStep(daemon);
    expectOnlyConnectionTrouble(daemon);
  });
});
