import { describe, expect, test } from 'vitest';
import { first, Notifier, together, untilAborted } from '../../src/runtime/abort.ts';

const never = new AbortController().signal;

describe('untilAborted', () => {
  test('gives the promise\'s outcome', async () => {
    await expect(untilAborted(Promise.resolve(7), never)).resolves.toBe(7);
    await expect(untilAborted(Promise.reject(new Error('x')), never)).rejects.toThrow('x');
  });

  test('rejects with the signal\'s reason as soon as that is aborted', async () => {
    const controller = new AbortController();
    const waiting = untilAborted(new Promise(() => {}), controller.signal);
    controller.abort(new Error('told to stop'));
    await expect(waiting).rejects.toThrow('told to stop');
    await expect(untilAborted(Promise.resolve(1), controller.signal)).rejects.toThrow('told to stop');
  });
});

describe('a notifier', () => {
  test('wakes those who wait and keeps nothing for those who come later', async () => {
    const notifier = new Notifier();
    const waiting = notifier.wait(never);
    notifier.notify();
    await waiting;
    const controller = new AbortController();
    const second = notifier.wait(controller.signal);
    controller.abort(new Error('nothing came'));
    await expect(second).rejects.toThrow('nothing came');
  });
});

describe('a wait for a notifier', () => {
  test('that is given up leaves nothing behind', async () => {
    const notifier = new Notifier();
    const stop = new AbortController();
    const waits = Array.from({ length: 3 }, async () => notifier.wait(stop.signal));
    expect(notifier.waiting).toBe(3);
    stop.abort(new Error('given up'));
    for (const wait of waits) await expect(wait).rejects.toThrow('given up');
    expect(notifier.waiting).toBe(0);
  });

  test('ends at once when something has changed since it was looked', async () => {
    const notifier = new Notifier();
    const { times } = notifier;
    notifier.notify();
    await notifier.wait(never, times);
    expect(notifier.times).toBe(times + 1);
    const waiting = notifier.wait(never, notifier.times);
    expect(notifier.waiting).toBe(1);
    notifier.notify();
    await waiting;
  });
});

describe('the first of several tasks', () => {
  test('counts when it ends, and the others are told', async () => {
    const told: unknown[] = [];
    const forever = async (signal: AbortSignal): Promise<void> => {
      signal.addEventListener('abort', () => told.push('told'));
      await untilAborted(new Promise(() => {}), signal);
    };
    await first(never, [forever, async () => {}]);
    await expect(first(never, [forever, async () => Promise.reject(new Error('broken'))])).rejects.toThrow('broken');
    const stop = new AbortController();
    const waiting = first(stop.signal, [forever]);
    stop.abort(new Error('told to stop'));
    await expect(waiting).rejects.toThrow('told to stop');
    expect(told).toHaveLength(3);
  });
});

describe('tasks together', () => {
  test('end with the first error, after all others have been told and have ended', async () => {
    const ended: string[] = [];
    const slow = async (signal: AbortSignal): Promise<void> => {
      await untilAborted(new Promise(() => {}), signal).catch(() => ended.push('slow'));
    };
    const failing = async (): Promise<void> => {
      await Promise.resolve();
      throw new Error('first');
    };
    await expect(together(never, [slow, failing])).rejects.toThrow('first');
    expect(ended).toEqual(['slow']);
  });

  test('resolve when all have ended', async () => {
    await expect(together(never, [async () => {}, async () => {}])).resolves.toBeUndefined();
  });
});
