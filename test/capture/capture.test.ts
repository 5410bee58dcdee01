import { describe, expect, test } from 'vitest';
import { EVERYONE } from '../../src/capture/snapshot-state.ts';
import { CaptureScene, TABLE } from './capture-scene.ts';

const never = new AbortController().signal;
const MINUTES_MS = 60_000;

describe('a snapshot that cannot show yet that it sees what is in the log', () => {
  test('waits beside the stream, which goes on; that it waits is told once, and once that it is over', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    scene.insert('1', '2');
    const show = scene.insertUnseen('3');
    await scene.until(() => scene.log.durableSeq === 3);
    const requested = connection.requestSnapshot({ table: TABLE, selection: { kind: 'all' }, for: [EVERYONE], reason: 'build', sweep: false }, never);
    await scene.until(() => scene.status.notes.length > 0);
    expect((await requested).table).toBe(TABLE);
    await scene.pass(5 * MINUTES_MS);
    scene.insert('4');
    await scene.until(() => scene.log.durableSeq === 4);
    expect(scene.status).toMatchObject({ phase: 'streaming', error: null, notes: ['A transaction that is in the log cannot be seen.'] });
    expect(scene.status.snapshots).toHaveLength(1);
    expect(scene.said('read_stalled', 'read_goes_on', 'source_disconnected')).toEqual([1, 0, 0]);
    show();
    await scene.until(() => scene.status.snapshots.length === 0);
    expect(scene.status.notes).toEqual([]);
    expect(scene.said('read_stalled', 'read_goes_on', 'source_disconnected', 'snapshot_done')).toEqual([1, 1, 0, 1]);
  });

  test('ends with its connection', async () => {
    await using scene = await CaptureScene.open();
    const connection = await scene.start();
    scene.insertUnseen('1');
    await scene.until(() => scene.log.durableSeq === 1);
    const requested = connection.requestSnapshot({ table: TABLE, selection: { kind: 'all' }, for: [EVERYONE], reason: 'build', sweep: false }, never);
    await scene.until(() => scene.status.notes.length > 0);
    await requested;
    await scene[Symbol.asyncDispose]();
    expect(scene.status.notes).toEqual([]);
    expect(scene.said('read_goes_on')).toEqual([0]);
  });
});

test('rows that the stream left incomplete, and that cannot be read yet, wait without an end of the connection', async () => {
  await using scene = await CaptureScene.open();
  scene.insert('1');
  await scene.start();
  const show = scene.updateUnseen('1');
  await scene.until(() => scene.status.notes.length > 0);
  await scene.pass(5 * MINUTES_MS);
  expect(scene.said('read_stalled', 'source_disconnected')).toEqual([1, 0]);
  expect(scene.log.durableSeq).toBe(0);
  show();
  await scene.until(() => scene.log.durableSeq === 1);
  expect(scene.said('read_stalled', 'read_goes_on', 'source_disconnected')).toEqual([1, 1, 0]);
});

test('a table that is to be read again is in the status from the moment on that the stream says so, before the log has it', async () => {
  await using scene = await CaptureScene.open();
  scene.insert('1');
  await scene.start();
  const release = scene.holdAppends();
  scene.changeSilently('1', '2');
  await scene.until(() => !scene.isIdle);
  await scene.pass(1_000);
  expect(scene.status.snapshots.map(({ snapshot }) => [snapshot.table, snapshot.phase, snapshot.reason])).toEqual([[TABLE, 'planned', 'rows were rewritten']]);
  expect(scene.said('snapshot_requested')).toEqual([0]);
  release();
  await scene.until(() => scene.status.snapshots.length === 0);
  expect([scene.log.durableSeq, ...scene.said('snapshot_requested', 'snapshot_done')]).toEqual([2, 1, 1]);
});

test('a snapshot that is not done is in the status while the source is not connected, too', async () => {
  await using scene = await CaptureScene.open();
  const rows = Array.from({ length: 200 }, (_, i) => `row ${i}`);
  scene.insert(...rows);
  const connection = await scene.start();
  const requested = connection.requestSnapshot({ table: TABLE, selection: { kind: 'all' }, for: [EVERYONE], reason: 'build', sweep: false }, never);
  await scene.until(() => (scene.status.snapshots[0]?.rows ?? 0) > 0);
  await requested;
  const comeBack = scene.loseServer();
  await scene.until(() => scene.status.phase === 'waiting');
  expect(scene.status.snapshots).toMatchObject([{ snapshot: { table: TABLE, phase: 'reading' } }]);
  comeBack();
  await scene.until(() => scene.status.snapshots.length === 0);
  expect(scene.said('snapshot_requested', 'snapshot_done')).toEqual([1, 1]);
  expect(scene.log.durableSeq).toBeGreaterThanOrEqual(rows.length);
});

describe('a source that stops', () => {
  test('for what a person mends at the server looks again once a minute, says so once, and goes on by itself', async () => {
    await using scene = await CaptureScene.open();
    await scene.start();
    const makeAgain = scene.dropTable();
    await scene.until(() => scene.status.phase === 'stopped');
    expect(scene.status).toMatchObject({ error: { code: 'SRC_TABLE_MISSING' }, retryInMs: 60_000 });
    for (let minute = 0; minute < 5; minute += 1) {
      await scene.pass(MINUTES_MS);
      expect(scene.status).toMatchObject({ phase: 'stopped', error: { code: 'SRC_TABLE_MISSING' } });
    }
    expect(scene.said('source_stopped')).toEqual([1]);
    makeAgain();
    scene.insert('1');
    await scene.until(() => scene.log.durableSeq === 1);
    expect(scene.status).toMatchObject({ phase: 'streaming', error: null, retryInMs: null });
  });

  test('for lost history is not tried again', async () => {
    await using scene = await CaptureScene.open();
    await scene.start();
    scene.insert('1');
    await scene.until(() => scene.log.durableSeq === 1);
    scene.dropSlot();
    await scene.until(() => scene.status.phase === 'stopped');
    await scene.pass(5 * MINUTES_MS);
    expect(scene.status).toMatchObject({ phase: 'stopped', error: { code: 'SRC_HISTORY_LOST' }, retryInMs: null });
    expect(scene.said('source_stopped', 'source_connected')).toEqual([1, 1]);
  });
});
