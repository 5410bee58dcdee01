import { describe, expect, test } from 'vitest';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import type { Target } from '../../src/connector/target.ts';
import { codeOf, TailraceError } from '../../src/errors/tailrace-error.ts';
import { chooseGeneration, dropSuperseded } from '../../src/pipeline/generations.ts';
import { silentLogger, type Logger } from '../../src/runtime/logger.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { MemoryStorage, MemoryTarget } from '../sim/memory-target.ts';

const index = { name: 'products' } as IndexDefinition;

describe('the generation that is fed', () => {
  test('is the first, behind what the log holds, for an index that is new', () => {
    using state = openSqliteState({ path: ':memory:' });
    const { record, superseded } = chooseGeneration(index, 'f1', state, 41, false);
    expect(record).toEqual({ index: 'products', generation: 1, phase: 'building', startSeq: 41, fingerprint: 'f1' });
    expect([superseded, state.generations()]).toEqual([[], [record]]);
  });

  test('stays the same while the definition makes the same documents', () => {
    using state = openSqliteState({ path: ':memory:' });
    const first = chooseGeneration(index, 'f1', state, 0, false).record;
    state.putGeneration({ ...first, phase: 'serving' });
    expect(chooseGeneration(index, 'f1', state, 99, false).record).toEqual({ ...first, phase: 'serving' });
    expect(state.generations()).toHaveLength(1);
  });

  test('is a new one when the definition makes others, or when a rebuild is asked for', () => {
    using state = openSqliteState({ path: ':memory:' });
    chooseGeneration(index, 'f1', state, 0, false);
    const changed = chooseGeneration(index, 'f2', state, 50, false);
    expect([changed.record.generation, changed.record.startSeq, changed.superseded.length]).toEqual([2, 50, 1]);
    const rebuilt = chooseGeneration(index, 'f2', state, 60, true);
    expect([rebuilt.record.generation, rebuilt.superseded.length]).toEqual([3, 2]);
  });
});

describe('a generation that another has taken the place of', () => {
  const binding = { logId: 'log', epoch: 1, fingerprint: 'f' };
  const record = (generation: number): GenerationRecord => ({ index: 'products', generation, phase: 'serving', startSeq: 0, fingerprint: 'f' });
  const { signal } = new AbortController();

  /** Three generations at the target and in the state, of which readers see `promoted`. */
  async function three(promoted: number, drop?: (target: MemoryTarget) => Target['drop']) {
    const state = openSqliteState({ path: ':memory:' });
    const target = new MemoryTarget('memory', new MemoryStorage({ atomicCursor: true }));
    for (const number of [1, 2, 3]) {
      state.putGeneration(record(number));
      state.putCursor('products', number, 7);
      const opened = await target.open({ index: 'products', generation: number, binding, fields: [], isBuilding: false, options: {} }, signal);
      if (number === promoted) await opened.promote(signal);
    }
    const logged: string[] = [];
    const logger: Logger = { ...silentLogger, info: (event, fields) => logged.push(`${event} ${String(fields?.['generation'])}`), warn: (event, { error } = {}) => logged.push(`${event} ${codeOf(error)}`) };
    if (drop !== undefined) target.drop = drop(target);
    const left = async (): Promise<number[][]> => [(await target.generations(signal)).map(({ generation }) => generation), state.generations().map(({ generation }) => generation)];
    return { state, target, logger, logged, left };
  }

  test('is dropped and forgotten; done again it changes nothing', async () => {
    const { logged, left, ...deps } = await three(3);
    await dropSuperseded([record(1), record(2)], deps, signal);
    expect(await left()).toEqual([[3], [3]]);
    expect([deps.state.cursor('products', 1), deps.state.cursor('products', 3)]).toEqual([null, 7]);
    await dropSuperseded([record(1), record(2)], deps, signal);
    expect(await left()).toEqual([[3], [3]]);
    expect(logged.slice(0, 2)).toEqual(['generation_dropped 1', 'generation_dropped 2']);
  });

  test('stays while readers see it after all', async () => {
    const { left, ...deps } = await three(2);
    await dropSuperseded([record(1), record(2)], deps, signal);
    expect(await left()).toEqual([[2, 3], [2, 3]]);
  });

  test('that cannot be dropped now is left, in the state too, and the index goes on', async () => {
    const { logged, left, ...deps } = await three(3, () => async () => Promise.reject(new TailraceError('TGT_BLOCKED', { message: 'Not now.' })));
    await dropSuperseded([record(1), record(2)], deps, signal);
    expect(await left()).toEqual([[1, 2, 3], [1, 2, 3]]);
    expect(logged).toEqual(['generation_not_dropped TGT_BLOCKED']);
  });

  test('is no reason to hide an error that ends the process, nor a stop', async () => {
    const { left: _, ...deps } = await three(3, () => async () => Promise.reject(new TailraceError('DISK_FAILED', { message: 'The disk failed.' })));
    await expect(dropSuperseded([record(1)], deps, signal)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    const reason = new Error('enough');
    await expect(dropSuperseded([record(1)], deps, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
