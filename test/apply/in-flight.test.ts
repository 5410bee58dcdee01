import { describe, expect, test } from 'vitest';
import { InFlight } from '../../src/apply/in-flight.ts';

const never = new AbortController().signal;
const keys = (...names: string[]): Set<string> => new Set(names);

async function turns(n = 20): Promise<void> {
  for (let i = 0; i < n; i += 1) await Promise.resolve();
}

describe('batches in flight', () => {
  test('never hold one key twice, and never are more than the limit', async () => {
    const inFlight = new InFlight(2, never);
    const ends = new Map<string, () => void>();
    const started: string[] = [];
    const begin = (name: string, ...held: string[]): Promise<void> =>
      inFlight.start(keys(...held), async () => {
        started.push(name);
        await new Promise<void>((resolve) => ends.set(name, resolve));
      });
    await begin('first', 'a', 'b');
    const second = begin('second', 'b', 'c');
    await turns();
    expect(started).toEqual(['first']);
    ends.get('first')?.();
    await second;
    await begin('third', 'x');
    const fourth = begin('fourth', 'y');
    await turns();
    expect([started, inFlight.hasRoom]).toEqual([['first', 'second', 'third'], false]);
    ends.get('third')?.();
    await fourth;
    expect(started.at(-1)).toBe('fourth');
    ends.get('second')?.();
    ends.get('fourth')?.();
    await inFlight.idle();
    expect(inFlight.count).toBe(0);
  });

  test('end all with the first failure, which whoever waits is told', async () => {
    const inFlight = new InFlight(3, never);
    let told = false;
    await inFlight.start(keys('a'), async (signal) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      told = true;
    });
    await inFlight.start(keys('b'), async () => {
      throw new Error('target said no');
    });
    await expect(inFlight.idle()).rejects.toThrow('target said no');
    await inFlight.settled();
    expect([told, inFlight.count]).toEqual([true, 0]);
  });
});
