/** Snapshots of a part of a table, steered while they run, and rows read as of a seq: with a source, a log and time as the test says. */
import { describe, expect, test } from 'vitest';
import type { RowsAt } from '../../src/capture/rows-at.ts';
import { EVERYONE, snapshotsIn } from '../../src/capture/snapshot-state.ts';
import { windowKey } from '../../src/capture/chunk-window.ts';
import { decodeKey } from '../../src/change/key.ts';
import { EntryCursor } from '../../src/change/entry.ts';
import { opName } from '../../src/change/operation.ts';
import type { Selection } from '../../src/connector/source.ts';
import { FrameKind } from '../../src/connector/log-store.ts';
import { encodeKey } from '../change/encode-key.ts';
import { CaptureScene, TABLE } from './capture-scene.ts';
import { keysOf } from './chunk-keys.ts';

const never = new AbortController().signal;

const keyOf = (id: string): Buffer => encodeKey([Buffer.from(id)]);
const idOf = (key: Uint8Array): string => String(decodeKey(key).map((part) => Buffer.from(part ?? []).toString()));
const keys = (...ids: string[]): Selection => ({ kind: 'keys', keys: ids.map((id) => keyOf(id)) });
const everything: Selection = { kind: 'all' };
const manyIds = Array.from({ length: 200 }, (_, i) => `row ${i}`);

const request = (selection: Selection) => ({ table: TABLE, selection, for: [EVERYONE], reason: 'resync', sweep: false }) as const;

/** `read a`, `delete b`: what snapshots put into the log, in order. */
async function snapshotEntries(scene: CaptureScene): Promise<string[]> {
  const entries: string[] = [];
  await using reader = scene.log.reader(0);
  for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) {
    if (frame.kind !== FrameKind.snapshot) continue;
    const cursor = new EntryCursor(frame.entries, frame.firstSeq);
    while (cursor.next()) entries.push(`${opName(cursor.op)} ${idOf(cursor.key())}`);
  }
  return entries;
}

const recorded = (scene: CaptureScene, number: number) => snapshotsIn(scene.log.registers).find((snapshot) => snapshot.number === number);

const rangesOf = (scene: CaptureScene): string[] => [...scene.log.registers.keys()].filter((name) => name.startsWith('range:'));

describe('a snapshot of keys', () => {
  test('logs their rows and deletes for those that nobody has, says so once, and counts exactly', async () => {
    await using scene = await CaptureScene.open();
    scene.insert('a', 'b', 'c');
    const connection = await scene.start();
    const { number } = await scene.settled(connection.requestSnapshot(request(keys('a', 'x', 'c', 'y', 'a')), never));
    await scene.until(() => scene.status.snapshots.length === 0);
    expect((await snapshotEntries(scene)).toSorted()).toEqual(['delete x', 'delete y', 'read a', 'read c']);
    expect(recorded(scene, number)).toMatchObject({ phase: 'done', selection: { kind: 'keys', keys: 4 }, rows: 4, estimatedRows: 4, paused: false, failure: null });
    expect(rangesOf(scene)).toEqual([]);
  });

  test('keeps keys only as long as they wait, in ranges of which each goes when it is read', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    const { number } = await scene.settled(connection.requestSnapshot(request(keys(...manyIds)), never));
    await scene.settled(connection.pauseSnapshot(number, never));
    expect(rangesOf(scene).length).toBeGreaterThan(0);
    expect(JSON.stringify(recorded(scene, number))).not.toContain(keyOf('row 7').toString('hex'));
    await scene.settled(connection.resumeSnapshot(number, never));
    await scene.until(() => scene.status.snapshots.length === 0);
    expect(rangesOf(scene)).toEqual([]);
    expect(new Set(await snapshotEntries(scene))).toEqual(new Set(manyIds.map((id) => `delete ${id}`)));
  });

  test('that came to be while it was looked up takes nothing back', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    let inserted = false;
    scene.onRead(() => {
      if (inserted) return;
      inserted = true;
      // Behind the read, and before the source says where its history ends.
      queueMicrotask(() => scene.insert('new'));
    });
    await scene.settled(connection.requestSnapshot(request(keys('new', 'old')), never));
    await scene.until(() => scene.status.snapshots.length === 0);
    expect(inserted).toBe(true);
    expect(await snapshotEntries(scene)).toEqual(['delete old']);
  });

  test('of none is done at once; of more than may wait is refused with nothing put into the log', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    expect(await scene.settled(connection.requestSnapshot(request(keys()), never))).toMatchObject({ phase: 'done', rows: 0 });
    const large = Array.from({ length: 90 }, (_, i) => encodeKey([Buffer.alloc(50_000, i + 40)]));
    await expect(scene.settled(connection.requestSnapshot(request({ kind: 'keys', keys: large }), never))).rejects.toMatchObject({ code: 'USAGE' });
    expect(snapshotsIn(scene.log.registers).map(({ number }) => number)).toEqual([1]);
  });

  test('goes on with the next connection where this one ended', async () => {
    await using scene = await CaptureScene.open();
    scene.insert(...manyIds.slice(0, 100));
    const connection = await scene.start();
    await scene.settled(connection.requestSnapshot(request(keys(...manyIds)), never));
    await scene.until(() => (scene.status.snapshots[0]?.rows ?? 0) > 20);
    scene.loseServer()();
    await scene.until(() => scene.status.snapshots.length === 0 && scene.said('snapshot_done')[0] === 1);
    const entries = new Set(await snapshotEntries(scene));
    expect(entries).toEqual(new Set([...manyIds.slice(0, 100).map((id) => `read ${id}`), ...manyIds.slice(100).map((id) => `delete ${id}`)]));
  });
});

describe('a snapshot of a condition', () => {
  test('logs the rows of which it is true, and keeps it in the register', async () => {
    await using scene = await CaptureScene.open();
    scene.insert('a', 'b', 'c');
    const connection = await scene.start();
    const { number } = await scene.settled(connection.requestSnapshot(request({ kind: 'where', predicate: 'id >= "b"' }), never));
    await scene.until(() => scene.status.snapshots.length === 0);
    expect((await snapshotEntries(scene)).toSorted()).toEqual(['read b', 'read c']);
    expect(recorded(scene, number)).toMatchObject({ phase: 'done', selection: { kind: 'where', predicate: 'id >= "b"' } });
  });

  test('that is none is refused before anything is put into the log', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    await expect(scene.settled(connection.requestSnapshot(request({ kind: 'where', predicate: 'nothing' }), never))).rejects.toMatchObject({ code: 'SRC_SELECTION' });
    expect(snapshotsIn(scene.log.registers)).toEqual([]);
  });

  test('that fails on a row fails alone: the stream and other snapshots go on', async () => {
    await using scene = await CaptureScene.open();
    scene.insert('a');
    const connection = await scene.start();
    const { number } = await scene.settled(connection.requestSnapshot(request({ kind: 'where', predicate: 'fails = 1' }), never));
    await scene.settled(connection.requestSnapshot(request(everything), never));
    await scene.until(() => scene.status.snapshots.length === 0);
    expect(recorded(scene, number)).toMatchObject({ phase: 'failed', failure: { code: 'SRC_SELECTION', message: expect.stringContaining('fails on a row') as string } });
    expect(scene.said('snapshot_failed', 'snapshot_done', 'source_disconnected')).toEqual([1, 1, 0]);
    expect(await snapshotEntries(scene)).toEqual(['read a']);
    expect(rangesOf(scene)).toEqual([]);
  });
});

describe('a snapshot under way', () => {
  test('reads nothing while it is paused, over a lost connection too, and everything once it is resumed', async () => {
    await using scene = await CaptureScene.open();
    scene.insert(...manyIds);
    const connection = await scene.start();
    const { number } = await scene.settled(connection.requestSnapshot(request(everything), never));
    await scene.until(() => (scene.status.snapshots[0]?.rows ?? 0) > 20);
    expect(scene.status.snapshots[0]?.rowsPerSecond).toBeGreaterThan(0);
    expect(await scene.settled(connection.pauseSnapshot(number, never))).toMatchObject({ paused: true, phase: 'reading' });
    const { rows } = scene.status.snapshots[0] ?? { rows: -1 };
    await scene.pass(60_000);
    scene.loseServer()();
    await scene.pass(60_000);
    await scene.until(() => scene.status.phase === 'streaming');
    expect(scene.status.snapshots).toMatchObject([{ rows, rowsPerSecond: null, snapshot: { paused: true } }]);
    expect(rows).toBeLessThan(manyIds.length);
    await scene.settled((await scene.settled(scene.connected())).resumeSnapshot(number, never));
    await scene.until(() => scene.status.snapshots.length === 0);
    expect(recorded(scene, number)).toMatchObject({ phase: 'done', paused: false, rows: manyIds.length });
    expect(new Set(await snapshotEntries(scene))).toEqual(new Set(manyIds.map((id) => `read ${id}`)));
  });

  test('is read no further once it is cancelled, and leaves nothing behind but what it read', async () => {
    await using scene = await CaptureScene.open();
    scene.insert(...manyIds);
    const connection = await scene.start();
    const { number } = await scene.settled(connection.requestSnapshot(request(everything), never));
    await scene.until(() => (scene.status.snapshots[0]?.rows ?? 0) > 20);
    expect(await scene.settled(connection.cancelSnapshot(number, never))).toMatchObject({ phase: 'cancelled' });
    const read = (await snapshotEntries(scene)).length;
    await scene.pass(60_000);
    expect((await snapshotEntries(scene)).length).toBe(read);
    expect([rangesOf(scene), scene.status.snapshots, scene.said('snapshot_done')]).toEqual([[], [], [0]]);
    for (const what of ['pauseSnapshot', 'resumeSnapshot', 'cancelSnapshot'] as const) await expect(scene.settled(connection[what](number, never))).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('can be cancelled while its read waits for something that does not come', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    scene.insertUnseen('1');
    await scene.until(() => scene.log.durableSeq === 1);
    const { number } = await scene.settled(connection.requestSnapshot(request(keys('1')), never));
    await scene.until(() => scene.status.notes.length > 0);
    await scene.settled(connection.cancelSnapshot(number, never));
    await scene.until(() => scene.status.notes.length === 0);
    expect(scene.said('source_disconnected')).toEqual([0]);
  });
});

describe('rows read as of a seq', () => {
  /** Everything that the reading gives; `between` is called for each part, before the next is asked for. */
  const collect = async (scene: CaptureScene, reading: AsyncIterable<RowsAt>, between: () => void = () => {}): Promise<RowsAt[]> => {
    const all: RowsAt[] = [];
    await scene.settled((async () => {
      for await (const rows of reading) {
        all.push(rows);
        between();
      }
    })());
    return all;
  };

  test('are as the log has them there, and nothing is written', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    scene.insert(...manyIds);
    await scene.until(() => scene.log.durableSeq === manyIds.length);
    const before = [...scene.log.registers.keys()];
    const parts = await collect(scene, connection.readAt({ table: TABLE, selection: everything }, never));
    expect(parts.flatMap(({ chunk }) => keysOf(chunk).map((key) => idOf(key))).toSorted()).toEqual(manyIds.toSorted());
    expect(new Set(parts.map(({ seq }) => seq))).toEqual(new Set([manyIds.length]));
    expect([scene.log.durableSeq, [...scene.log.registers.keys()]]).toEqual([manyIds.length, before]);
  });

  test('say which keys changed meanwhile, and hold for all others at their seq', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    scene.insert(...manyIds);
    await scene.until(() => scene.log.durableSeq === manyIds.length);
    let n = 0;
    scene.onRead(() => scene.insert(`new ${(n += 1)}`, manyIds[n % manyIds.length] as string));
    const parts = await collect(scene, connection.readAt({ table: TABLE, selection: keys(...manyIds, 'new 1', 'new 5', 'never') }, never), () => scene.insert(`new ${(n += 1)}`));
    const state = await scene.statesBySeq();
    expect(parts.some(({ changed }) => changed.size > 0)).toBe(true);
    for (const { chunk, seq, changed } of parts) {
      const at = state(seq);
      for (const key of keysOf(chunk)) if (!changed.has(windowKey(key))) expect(at.has(idOf(key)), `${idOf(key)} at ${seq}`).toBe(true);
      for (const key of chunk.absentKeys) if (!changed.has(windowKey(key))) expect(at.has(idOf(key)), `${idOf(key)} at ${seq}`).toBe(false);
    }
    expect(parts.flatMap(({ chunk }) => chunk.absentKeys.map((key) => idOf(key)))).toContain('never');
  });

  test('wait while the log lacks what the stream only said to be read again', async () => {
    await using scene = await CaptureScene.open();
    scene.insert('1');
    const connection = await scene.start();
    const release = scene.holdAppends();
    scene.changeSilently('1', '2');
    await scene.until(() => scene.status.snapshots.length === 1);
    const reading = collect(scene, connection.readAt({ table: TABLE, selection: everything }, never));
    release();
    const parts = await reading;
    expect(parts.flatMap(({ chunk }) => keysOf(chunk).map((key) => idOf(key))).toSorted()).toEqual(['1', '2']);
    const done = snapshotsIn(scene.log.registers).find(({ reason }) => reason === 'rows were rewritten');
    for (const { seq } of parts) expect(seq).toBeGreaterThanOrEqual(done?.doneSeq ?? Infinity);
  });

  test('end when nobody wants more of them, and with the connection', async () => {
    await using scene = await CaptureScene.open();
    scene.insert(...manyIds);
    const connection = await scene.start();
    const reading = connection.readAt({ table: TABLE, selection: everything }, never)[Symbol.asyncIterator]();
    expect((await scene.settled(reading.next())).done).toBe(false);
    await scene.settled((async () => reading.return?.())());
    const other = connection.readAt({ table: TABLE, selection: everything }, never)[Symbol.asyncIterator]();
    await scene.settled(other.next());
    scene.loseServer()();
    const rest = async (): Promise<void> => {
      while ((await other.next()).done !== true);
    };
    await expect(scene.settled(rest())).rejects.toMatchObject({ code: 'SRC_CONN' });
  });

  test('of a selection that is none are refused', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    await expect(collect(scene, connection.readAt({ table: TABLE, selection: { kind: 'where', predicate: 'nothing' } }, never))).rejects.toMatchObject({ code: 'SRC_SELECTION' });
  });
});
