import { describe, expect, test } from 'vitest';
import { deliver, withdrawalOf } from '../../src/apply/delivery.ts';
import { seqOf, versionOf } from '../../src/change/seq.ts';
import type { Batch, ItemResult, Operation, TargetGeneration } from '../../src/connector/target.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { Notifier, untilAborted } from '../../src/runtime/abort.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeDisk } from '../../src/runtime/node/disk.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';

const never = new AbortController().signal;
const put = (id: string, seq: number): Operation => ({ kind: 'put', id, version: versionOf(1, seq), document: '{}' });

/** A target that answers by script, and a clock that only notes how long it was asked to sleep. */
function scripted(answers: readonly (ItemResult[] | Error)[]): { target: TargetGeneration; batches: Batch[]; sleeps: number[]; runtime: Runtime } {
  const batches: Batch[] = [];
  const sleeps: number[] = [];
  const target = {
    apply: async (batch: Batch) => {
      batches.push(batch);
      const answer = answers[batches.length - 1];
      if (answer === undefined) throw new TailraceError('INVARIANT', { message: 'asked too often' });
      if (answer instanceof Error) throw answer;
      return answer;
    },
  } as unknown as TargetGeneration;
  const clock = { nowMs: () => 0, monotonicMs: () => 0, schedule: () => () => {}, sleep: async (ms: number) => void sleeps.push(ms) };
  return { target, batches, sleeps, runtime: { clock, random: { fraction: () => 0, hex: () => '' }, disk: nodeDisk, logger: silentLogger } };
}

const request = (operations: readonly Operation[], clearBelow?: bigint): Parameters<typeof deliver>[0] => ({ operations, withdrawals: [], clearBelow, forgetBelow: 0n, cursor: 9 });

describe('a delivery', () => {
  test('files each operation under the outcome at its place', async () => {
    const { target, runtime } = scripted([[{ outcome: 'applied' }, { outcome: 'stale' }, { outcome: 'poison', code: 'TGT_REJECTED', reason: 'too odd' }], [{ outcome: 'applied' }]]);
    const delivered = await deliver(request([put('a', 1), put('b', 2), put('c', 3)]), { target, runtime, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: () => {} }, never);
    expect(delivered.applied.map(({ id }) => id)).toEqual(['a']);
    expect(delivered.stale.map(({ id }) => id)).toEqual(['b']);
    expect(delivered.refused).toEqual([{ id: 'c', seq: 3, code: 'TGT_REJECTED', reason: 'too odd' }]);
  });

  test('tells of refused operations before a target that keeps the cursor may move it, and takes out what stands in their place', async () => {
    const poison: ItemResult = { outcome: 'poison', code: 'TGT_REJECTED', reason: 'too odd' };
    const { target, runtime, batches } = scripted([[poison, { outcome: 'retry' }], [poison, { outcome: 'stale' }], [{ outcome: 'applied' }]]);
    const told: string[] = [];
    const onRefused = (refused: readonly { readonly id: string }[]): void => void told.push(`${refused.map(({ id }) => id).join()} after ${batches.length}`);
    const delivered = await deliver(request([put('a', 1), put('b', 2)]), { target, runtime, atomicCursor: true, onRefused, recovered: new Notifier(), onTrouble: () => {} }, never);
    expect(told).toEqual(['a after 1', 'b after 2']);
    expect(batches.map(({ operations, cursor }) => [...operations.map(({ kind, id, version }) => `${kind} ${id} ${seqOf(version)}`), cursor])).toEqual([['put a 1', 'put b 2', 9], ['put b 2', 'delete a 0', 9], ['delete b 1', 9]]);
    expect([delivered.applied, delivered.stale]).toEqual([[], []]);
  });

  test('takes out what stands in the place of documents that could not be built, and does not count that', async () => {
    const { target, runtime, batches } = scripted([[{ outcome: 'applied' }, { outcome: 'retry' }], [{ outcome: 'applied' }]]);
    const withdrawals = [withdrawalOf('b', versionOf(1, 2))];
    const delivered = await deliver({ ...request([put('a', 1)]), withdrawals }, { target, runtime, atomicCursor: true, onRefused: () => {}, recovered: new Notifier(), onTrouble: () => {} }, never);
    expect(batches.map(({ operations }) => operations.map(({ kind, id, version }) => `${kind} ${id} ${seqOf(version)}`))).toEqual([['put a 1', 'delete b 1'], ['delete b 1']]);
    expect([delivered.applied.length, delivered.stale.length, delivered.refused.length]).toEqual([1, 0, 0]);
  });

  test('an id that the target takes in no operation is told of once, and the cursor moves past it', async () => {
    const poison: ItemResult = { outcome: 'poison', code: 'TGT_REJECTED', reason: 'no Unicode' };
    const { target, runtime, batches } = scripted([[poison], [poison], []]);
    const told: number[] = [];
    await deliver(request([put('a', 1)]), { target, runtime, atomicCursor: true, onRefused: (refused) => told.push(refused.length), recovered: new Notifier(), onTrouble: () => {} }, never);
    expect([told, batches.map(({ operations }) => operations.length)]).toEqual([[1], [1, 1, 0]]);
  });

  test('sends again only what the target wants again, not before the pause it asks for', async () => {
    const { target, runtime, batches, sleeps } = scripted([[{ outcome: 'retry', afterMs: 700 }, { outcome: 'applied' }], [{ outcome: 'retry' }], [{ outcome: 'applied' }]]);
    await deliver(request([put('a', 1), put('b', 2)]), { target, runtime, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: () => {} }, never);
    expect(batches.map(({ operations }) => operations.map(({ id }) => id))).toEqual([['a', 'b'], ['a'], ['a']]);
    expect(sleeps[0]).toBe(700);
  });

  test('sends a batch that failed as a whole again as a whole, its clearing too', async () => {
    const lost = new TailraceError('TGT_CONN', { message: 'the answer was lost' });
    const { target, runtime, batches } = scripted([lost, [{ outcome: 'retry' }], [{ outcome: 'applied' }]]);
    const trouble: unknown[] = [];
    await deliver(request([put('a', 5)], 7n), { target, runtime, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: (error) => trouble.push(error) }, never);
    expect(batches.map(({ clearBelow }) => clearBelow)).toEqual([7n, 7n, undefined]);
    expect(trouble).toEqual([lost, null]);
  });

  test('tells of a target that puts off everything for long, until it takes something, and then begins with short pauses again', async () => {
    const retry: ItemResult = { outcome: 'retry', reason: 'no_room' };
    const isLate = (i: number): ItemResult[] => [retry, i === 8 ? { outcome: 'applied' } : retry];
    const { target, runtime } = scripted([...Array.from({ length: 9 }, (_, i) => isLate(i)), [retry], [{ outcome: 'applied' }]]);
    let nowMs = 0;
    const sleeps: number[] = [];
    const clock = { ...runtime.clock, monotonicMs: () => nowMs, sleep: async (ms: number) => void ((nowMs += ms), sleeps.push(ms)) };
    const trouble: unknown[] = [];
    await deliver(request([put('a', 1), put('b', 2)]), { target, runtime: { ...runtime, clock }, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: (error) => trouble.push([Math.round(nowMs / 1000), error]) }, never);
    const told = expect.objectContaining({ code: 'TGT_CONN', message: 'The target puts off everything that it is sent (no_room).' }) as unknown;
    expect(trouble).toEqual([[6, told], [13, null], [13, null]]);
    expect(sleeps.slice(-2)).toEqual([50, 100]);
  });

  test('does not wait for its pause to end when another batch was taken', async () => {
    const lost = new TailraceError('TGT_CONN', { message: 'the answer was lost' });
    const { target, runtime, batches } = scripted([lost, [{ outcome: 'applied' }]]);
    const asleep = Promise.withResolvers<void>();
    const clock = { ...runtime.clock, sleep: async (_ms: number, signal?: AbortSignal) => (asleep.resolve(), untilAborted(new Promise<never>(() => {}), signal as AbortSignal)) };
    const recovered = new Notifier();
    const delivered = deliver(request([put('a', 5)]), { target, runtime: { ...runtime, clock }, atomicCursor: false, onRefused: () => {}, recovered, onTrouble: () => {} }, never);
    await asleep.promise;
    expect(batches).toHaveLength(1);
    recovered.notify();
    await delivered;
    expect(batches).toHaveLength(2);
  });

  test('gives up at once on what a pause does not mend', async () => {
    const { target, runtime, batches } = scripted([new TailraceError('TGT_IDENTITY', { message: 'not ours' })]);
    await expect(deliver(request([put('a', 1)]), { target, runtime, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: () => {} }, never)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    expect(batches).toHaveLength(1);
  });

  test('takes a target that answers fewer operations than it got for a defect', async () => {
    const { target, runtime } = scripted([[{ outcome: 'applied' }]]);
    await expect(deliver(request([put('a', 1), put('b', 2)]), { target, runtime, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: () => {} }, never)).rejects.toMatchObject({ code: 'INVARIANT' });
  });

  test('ends when it is told to stop', async () => {
    const controller = new AbortController();
    const { target, runtime } = scripted([new TailraceError('TGT_CONN', { message: 'down' })]);
    await expect(deliver(request([put('a', 1)]), { target, runtime, atomicCursor: false, onRefused: () => {}, recovered: new Notifier(), onTrouble: () => controller.abort() }, controller.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });
});
