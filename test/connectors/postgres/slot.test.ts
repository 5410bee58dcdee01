import { expect, test } from 'vitest';
import { KeptLog } from '../../../connectors/sources/postgres/slot/kept-log.ts';
import { adoptionProblem, resumeProblem, turnedBack, type GateFacts } from '../../../connectors/sources/postgres/slot/resume-gate.ts';
import { readHead } from '../../../connectors/sources/postgres/slot/source-head.ts';
import { slotBlocked, slotFacts, type SlotFacts } from '../../../connectors/sources/postgres/slot/slot.ts';
import { divergence, parseTimelineHistory } from '../../../connectors/sources/postgres/slot/timeline.ts';

const sound: SlotFacts = {
  plugin: 'pgoutput',
  database: 'shop',
  active: false,
  activePid: null,
  twoPhase: false,
  restartLsn: 50n,
  confirmedFlushLsn: 100n,
  walStatus: 'reserved',
  safeWalSize: null,
  invalidationReason: null,
  failover: null,
};

function gate(facts: Partial<SlotFacts> | null, insertLsn = 1_000n): GateFacts {
  return { source: 'shop', slot: 's', database: 'shop', facts: facts === null ? null : { ...sound, ...facts }, insertLsn, user: null };
}

test('a stream goes on exactly from positions between what was confirmed and the end of the log', () => {
  expect(resumeProblem(100n, gate({}))).toBeNull();
  expect(resumeProblem(1_000n, gate({}))).toBeNull();
  expect(resumeProblem(99n, gate({}))).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
  expect(resumeProblem(1_001n, gate({}))).toMatchObject({ code: 'SRC_DIVERGED' });
  expect(resumeProblem(1_001n, gate(null))).toMatchObject({ code: 'SRC_DIVERGED' });
  expect(resumeProblem(500n, gate(null))).toMatchObject({ code: 'SRC_HISTORY_LOST' });
});

test('a slot that is kept from further back than before tells of earlier files, on its own timeline', () => {
  const at = (keptFrom: bigint | null, facts: Partial<SlotFacts> | null = { restartLsn: 50n }, now = 3): unknown => turnedBack({ lsn: 200n, timeline: 3, keptFrom }, now, gate(facts));
  expect(at(51n)).toMatchObject({ code: 'SRC_DIVERGED', message: expect.stringContaining('from 0/32 on, and kept it from 0/33 on before') });
  expect([at(50n), at(49n), at(null), at(51n, null), at(51n, { restartLsn: null }), at(51n, {}, 4)]).toEqual([null, null, null, null, null, null]);
});

test('only what a server said a while ago is taken to be in its files, and it never goes back', () => {
  let nowMs = 0;
  const kept = new KeptLog({ monotonicMs: () => nowMs }, 10n);
  const says = (ms: number, lsn: bigint | null): bigint | null => {
    nowMs = ms;
    kept.saw(lsn);
    return kept.from;
  };
  expect([says(0, 20n), says(4_999, 30n), says(5_000, 40n), says(7_000, 50n), says(10_000, 5n), says(15_000, null), says(20_000, 60n), says(25_000, 60n)]).toEqual([10n, 10n, 20n, 20n, 40n, 40n, 40n, 60n]);
  expect(new KeptLog({ monotonicMs: () => 0 }, null).from).toBeNull();
});

test('a slot that cannot be used says why, before anything else about it', () => {
  expect(resumeProblem(500n, gate({ invalidationReason: 'rows_removed', active: true }))).toMatchObject({ code: 'SRC_HISTORY_LOST', message: expect.stringContaining('rows_removed') });
  expect(resumeProblem(500n, gate({ plugin: 'wal2json' }))).toMatchObject({ code: 'SRC_SETTING', message: expect.stringContaining('wal2json') });
  expect(resumeProblem(500n, gate({ plugin: null }))).toMatchObject({ code: 'SRC_SETTING', message: expect.stringContaining('physical') });
  expect(resumeProblem(500n, gate({ database: 'other' }))).toMatchObject({ code: 'SRC_SETTING', message: expect.stringContaining('other') });
  expect(resumeProblem(500n, gate({ twoPhase: true }))).toMatchObject({ code: 'SRC_SETTING' });
  expect(resumeProblem(500n, { ...gate({ active: true, activePid: 7 }), user: 'pid 7 (psql)' })).toMatchObject({ code: 'SRC_SLOT_IN_USE', message: expect.stringContaining('pid 7 (psql)') });
  expect(adoptionProblem({ ...gate({}), facts: sound })).toBeNull();
  expect(adoptionProblem({ ...gate({}), facts: { ...sound, walStatus: 'lost', invalidationReason: 'wal_removed' } })).toMatchObject({ code: 'SRC_HISTORY_LOST' });
});

test('a slot is read from whatever columns the server\'s version has', () => {
  const old = { slot_name: 's', plugin: 'pgoutput', database: 'shop', active: true, active_pid: 7, restart_lsn: '0/10', confirmed_flush_lsn: '0/20', wal_status: 'extended', safe_wal_size: 4096 };
  expect(slotFacts({ slot: JSON.stringify(old) })).toEqual({ ...sound, active: true, activePid: 7, restartLsn: 0x10n, confirmedFlushLsn: 0x20n, walStatus: 'extended', safeWalSize: 4096 });
  expect(slotFacts({ slot: JSON.stringify({ ...old, wal_status: 'lost', restart_lsn: null }) })).toMatchObject({ invalidationReason: 'wal_removed', restartLsn: null });
  expect(slotFacts({ slot: JSON.stringify({ ...old, conflicting: true }) })).toMatchObject({ invalidationReason: 'conflict with recovery' });
  expect(slotFacts({ slot: JSON.stringify({ ...old, wal_status: 'lost', invalidation_reason: 'idle_timeout', two_phase: true, failover: true }) })).toMatchObject({ invalidationReason: 'idle_timeout', twoPhase: true, failover: true });
  expect(slotFacts({ slot: null })).toBeNull();
  expect(slotFacts(undefined)).toBeNull();
});

test('a later timeline goes on from positions up to its switch point only', () => {
  const history = parseTimelineHistory("1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\tbefore 2026-01-01 00:00:00+00\n");
  expect([...history]).toEqual([
    [1, 0x300_0148n],
    [2, 0x500_0000n],
  ]);
  const at = (lsn: bigint, timeline: number, now = 3): unknown => divergence({ lsn, timeline, keptFrom: null }, now, history, 'shop');
  expect(at(0x300_0148n, 1)).toBeNull();
  expect(at(0x300_0149n, 1)).toMatchObject({ code: 'SRC_DIVERGED' });
  expect(at(0x500_0000n, 2)).toBeNull();
  expect(at(0x500_0001n, 2)).toMatchObject({ code: 'SRC_DIVERGED' });
  expect(at(0x900_0000n, 3)).toBeNull();
  expect(at(0x100_0000n, 4)).toMatchObject({ code: 'SRC_DIVERGED' });
  expect(at(0x100_0000n, 1, 2)).toBeNull();
  expect(divergence({ lsn: 1n, timeline: 1, keptFrom: null }, 2, new Map(), 'shop')).toMatchObject({ code: 'SRC_DIVERGED' });
});

test('a message names a few transactions, each once, with the statement that ends them', () => {
  const open = [1, 1, 2, 3, 4, 5, 6].map((pid, i) => ({ pid, xid: i, seconds: 10, here: true, description: `pid ${pid}` }));
  const error = slotBlocked('It waits', [...open, { pid: null, xid: 9, seconds: null, here: true, description: 'prepared transaction "p"' }]);
  expect(error.message).toBe('It waits: pid 1; pid 2; pid 3; pid 4; pid 5.');
  expect(error.hint).toContain('SELECT pg_terminate_backend(5);');
  expect(slotBlocked('It waits', []).message).toBe('It waits.');
});

test('a server that is about to remove what is needed is told of, as are transactions that hold it up', async () => {
  const slot = { slot_name: 's', plugin: 'pgoutput', database: 'shop', active: true, active_pid: 7, restart_lsn: '0/1000000', confirmed_flush_lsn: '0/5000000', wal_status: 'unreserved', safe_wal_size: -5 };
  const head = async (open: Record<string, string | null>[]): Promise<readonly string[]> => {
    const query = async (sql: string): Promise<Record<string, string | null>[]> => (sql.includes('pg_locks') ? open : [{ inserted: '0/6000000', now_ms: '1', slot: JSON.stringify(slot) }]);
    return (await readHead({ query, slot: 's', geometry: { blockBytes: 8192, segmentBytes: 16 * 2 ** 20 }, timeline: 1, keptLog: { saw: () => {} } }, new AbortController().signal)).notes;
  };
  expect(await head([])).toEqual([expect.stringContaining('max_slot_wal_keep_size')]);
  const open = { pid: '9', xid: '700', usename: 'app', application_name: 'psql', gid: null, here: 'true' };
  expect((await head([{ ...open, seconds: '1' }]))[1]).toContain(`64.0 MiB of log that was read already, because of an open transaction: pid 9 (psql, app), open for 1 s`);
});
