/**
 * The rule for a row whose newest change makes no document, or one that the target refuses: it has a dead letter, and no document, whatever
 * came before and however the work was cut; it has a document, and no letter, as soon as that change or a later one goes through.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeadLetters } from '../../src/apply/dead-letters.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { simRuntime } from '../log/sim-runtime.ts';
import { ApplierScene, type Write } from './applier-scene.ts';

const natures = [true, false];
const bad = ['unbuildable', 'refused'] as const;
const codes = { unbuildable: 'DOC_FAILED', refused: 'TGT_REJECTED' } as const;

describe.each(natures)('a parked document (atomic cursor: %s)', (atomicCursor) => {
  describe.each(bad)('%s', (row) => {
    test('takes the place of the version that stands in the index, be it of the change just before', async () => {
      await using scene = await ApplierScene.open(atomicCursor);
      await scene.write(['a', 'good'], ['b', 'good']);
      await scene.apply();
      await scene.write(['b', row], ['a', row]);
      await scene.apply();
      expect([scene.documents(), scene.letters()]).toEqual([[], [`a ${codes[row]} 4`, `b ${codes[row]} 3`]]);
    });

    test('comes with a replay once its cause is mended, and its letter goes', async () => {
      await using scene = await ApplierScene.open(atomicCursor);
      await scene.write(['a', 'good']);
      await scene.apply();
      await scene.write(['a', row]);
      await scene.apply();
      scene.putBack(0);
      await scene.apply();
      expect([scene.documents(), scene.letters()]).toEqual([[], [`a ${codes[row]} 2`]]);
      scene.flaws.unbuildable = null;
      scene.flaws.refused = null;
      scene.putBack(1);
      await scene.apply();
      expect([scene.documents(), scene.letters()]).toEqual([[`a=${row} 2`], []]);
    });

    test('stays parked while its change is on its way again: until the target has answered a late request of another run may move the cursor past it', async () => {
      await using scene = await ApplierScene.open(atomicCursor);
      await scene.write(['a', row]);
      await scene.apply();
      scene.flaws.unbuildable = null;
      scene.flaws.refused = null;
      scene.putBack(0);
      const seen: string[][] = [];
      await scene.apply({ faults: { after: ({ operations }) => void (operations.length > 0 && seen.push(scene.letters())) } });
      expect([seen, scene.documents(), scene.letters()]).toEqual([[[`a ${codes[row]} 1`]], [`a=${row} 1`], []]);
    });

    test.each<[string, Write, string[]]>([
      ['a version that makes a document', ['a', 'good'], ['a=good 2', 'z=good 3']],
      ['a version that is filtered out', ['a', 'hidden'], ['z=good 3']],
      ['its delete', ['a', null], ['z=good 3']],
      ['a truncate', 'truncate', ['z=good 3']],
    ])('is closed by %s', async (_, later, documents) => {
      await using scene = await ApplierScene.open(atomicCursor);
      await scene.write(['a', row]);
      await scene.apply();
      expect(scene.letters()).toEqual([`a ${codes[row]} 1`]);
      await scene.write(later, ['z', 'good']);
      await scene.apply();
      expect([scene.documents(), scene.letters()]).toEqual([documents, []]);
    });

    test('is closed by a snapshot that its row is no longer in, and kept by one that it is in', async () => {
      await using scene = await ApplierScene.open(atomicCursor);
      await scene.write(['gone', row], ['still', row], ['mended', row]);
      await scene.apply();
      await scene.snapshot(1, 3, ['still', row], ['mended', 'good']);
      await scene.apply();
      expect([scene.documents(), scene.letters()]).toEqual([['mended=good 5'], [`still ${codes[row]} 4`]]);
    });

    test('that is parked behind a letter that is no longer true keeps its own', async () => {
      await using scene = await ApplierScene.open(atomicCursor);
      await scene.write(['a', row], ['b', 'good']);
      await scene.apply();
      await scene.write('truncate', ['a', row]);
      await scene.apply();
      scene.putBack(0);
      await scene.apply();
      expect([scene.documents(), scene.letters()]).toEqual([[], [`a ${codes[row]} 4`]]);
    });
  });

  test('stops the index before it is taken out, where errors are to stop it', async () => {
    await using scene = await ApplierScene.open(atomicCursor);
    await scene.write(['a', 'good']);
    await scene.apply();
    await scene.write(['a', 'refused']);
    await expect(scene.apply({ settings: { onError: 'stop' } })).rejects.toMatchObject({ code: 'TGT_REJECTED' });
    expect([scene.documents(), scene.letters()]).toEqual([['a=good 1'], []]);
  });
});

const rows = fc.constantFrom<(string | null)[]>('good', 'fine', 'hidden', 'unbuildable', 'refused', null);
const writes: fc.Arbitrary<Write> = fc.oneof({ weight: 20, arbitrary: fc.tuple(fc.constantFrom('a', 'b', 'c'), rows) }, { weight: 1, arbitrary: fc.constant('truncate' as const) });

/** What the rule says of a history. */
function expected(history: readonly Write[]): [documents: string[], letters: string[]] {
  const documents = new Map<string, string>();
  const letters = new Map<string, string>();
  for (const [i, write] of history.entries()) {
    if (typeof write === 'string') {
      documents.clear();
      letters.clear();
      continue;
    }
    const [key, row] = write;
    documents.delete(key);
    letters.delete(key);
    if (row === null || row === 'hidden') continue;
    if (row === 'unbuildable' || row === 'refused') letters.set(key, `${key} ${codes[row]} ${i + 1}`);
    else documents.set(key, `${key}=${row} ${i + 1}`);
  }
  return [[...documents.values()].toSorted(), [...letters.values()].toSorted()];
}

test.each(natures)('of each row the newest change decides, however batches are cut and wherever a replay begins (atomic cursor: %s)', { timeout: 60_000 }, async (atomicCursor) => {
  const steps = fc.array(fc.record({ written: fc.array(writes, { minLength: 1, maxLength: 6 }), batchOperations: fc.integer({ min: 1, max: 4 }), back: fc.nat(8) }), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      await using scene = await ApplierScene.open(atomicCursor);
      const history: Write[] = [];
      for (const { written, batchOperations, back } of plan) {
        scene.putBack(Math.max(0, history.length - back));
        // A frame each: a batch ends only between frames.
        for (const write of written) await scene.write(write);
        history.push(...written);
        await scene.apply({ settings: { batchOperations } });
        expect([scene.documents(), scene.letters()]).toEqual(expected(history));
      }
    }),
    { numRuns: 40 },
  );
});

test('more letters than a call takes arguments are closed at once', () => {
  using state = openSqliteState({ path: ':memory:' });
  const letters = new DeadLetters({ index: 'things', generation: 1, state, runtime: simRuntime(), settings: { onError: 'dead_letter', deadLettersMax: 1_000_000 } });
  letters.park(Array.from({ length: 150_000 }, (_, i) => ({ id: String(i), seq: i + 1, code: 'DOC_FAILED', reason: 'The row makes no document.' })));
  letters.closeBelow(150_001);
  expect(state.deadLetterCount('things', 1)).toBe(0);
});

test('a document that the target took when a run ended is parked no more in the next, where the target keeps the cursor', async () => {
  await using scene = await ApplierScene.open(true);
  await scene.write(['a', 'good'], ['b', 'refused']);
  await scene.apply();
  scene.state.park([{ index: 'things', generation: 1, id: 'a', seq: 1, code: 'TGT_REJECTED', reason: 'The target refused it before.', parkedAtMs: 0 }]);
  expect(scene.letters()).toEqual(['a TGT_REJECTED 1', 'b TGT_REJECTED 2']);
  await scene.apply();
  expect([scene.documents(), scene.letters()]).toEqual([['a=good 1'], ['b TGT_REJECTED 2']]);
});
