/** When the cursor of a target that keeps none itself is stored: the log is released no further, and a full log waits for it. */
import { expect, test, vi } from 'vitest';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import type { FrameDraft, LogCondition } from '../../src/connector/log-store.ts';
import { draftOf, never } from '../log/fixtures.ts';
import { ApplierScene } from './applier-scene.ts';

/** A change with a schema that is not of the index's table. */
function ofAnotherTable(): FrameDraft {
  const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES);
  writeEntry(entry, 0, Op.delete, 0, 9, entry, 0, 0, entry, 0, 0);
  return draftOf('other', 1, { entries: entry });
}

/** The applier waits for the log, with everything that is in it applied. */
async function atRest(scene: ApplierScene, applied: () => number): Promise<void> {
  await expect.poll(() => [applied(), scene.clock.waiting]).toEqual([scene.log.durableSeq, 1]);
}

/** A scene whose first change is applied and whose cursor was stored at this moment. */
async function begun(condition: LogCondition): Promise<{ scene: ApplierScene; stored: () => number | null; held: () => number | undefined; applied: () => number; end: () => Promise<void> }> {
  const scene = await ApplierScene.open(false);
  vi.spyOn(scene.log, 'condition', 'get').mockReturnValue(condition);
  await scene.write(['a', 'one']);
  const stop = new AbortController();
  const { applier, running } = await scene.start(stop.signal);
  const applied = (): number => applier.status().cursor ?? Number.NaN;
  const stored = (): number | null => scene.state.cursor('things', 1);
  await expect.poll(stored).toBe(1);
  await scene.write(['b', 'two']);
  await atRest(scene, applied);
  const end = async (): Promise<void> => {
    stop.abort();
    await running.catch(() => {});
  };
  return { scene, stored, held: () => scene.log.stats().holds.find(({ name }) => name === 'things-g0001')?.seq, applied, end };
}

test('between two stores of a cursor there are 200 ms, however many batches are applied', async () => {
  const { scene, stored, held, applied, end } = await begun('ok');
  await using _ = scene;
  scene.clock.advance(199);
  await scene.write(['c', 'three']);
  await atRest(scene, applied);
  expect([stored(), held()]).toEqual([1, 1]);
  scene.clock.advance(1);
  await scene.write(['d', 'four']);
  await expect.poll(() => [stored(), held()]).toEqual([4, 4]);
  await end();
});

test('a cursor that is not stored when the log falls silent is stored after a second', async () => {
  const { scene, stored, held, applied, end } = await begun('ok');
  await using _ = scene;
  for (let waits = 0; waits < 4; waits += 1) {
    scene.clock.advance(200);
    await atRest(scene, applied);
    expect(stored()).toBe(1);
  }
  scene.clock.advance(200);
  await expect.poll(() => [stored(), held()]).toEqual([2, 2]);
  await end();
});

test('while the log is full it is stored after 200 ms: sources wait for it', async () => {
  const { scene, stored, held, applied, end } = await begun('full');
  await using _ = scene;
  scene.clock.advance(199);
  await atRest(scene, applied);
  expect([stored(), held()]).toEqual([1, 1]);
  scene.clock.advance(1);
  await expect.poll(() => [stored(), held()]).toEqual([2, 2]);
  await end();
});

test('while the log is full, so is a cursor that moves over changes of other tables only', async () => {
  const { scene, stored, held, applied, end } = await begun('full');
  await using _ = scene;
  scene.clock.advance(200);
  await expect.poll(stored).toBe(2);
  await scene.log.append(ofAnotherTable(), never);
  await expect.poll(() => scene.clock.waiting).toBe(1);
  expect([stored(), applied()]).toEqual([2, 2]);
  scene.clock.advance(200);
  await expect.poll(() => [stored(), held()]).toEqual([3, 3]);
  await end();
});

test('the end of work stores it whatever the time', async () => {
  const { scene, stored, end } = await begun('ok');
  await using _ = scene;
  await end();
  expect(stored()).toBe(2);
});
