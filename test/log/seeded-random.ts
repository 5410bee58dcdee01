/** Chance that one number decides. */
import type { Random } from '../../src/runtime/random.ts';

export interface SeededRandom extends Random {
  /** A whole number from 0 to `below - 1`. */
  below(below: number): number;
  pick<T>(from: readonly T[]): T;
}

/** The generator is mulberry32: small, fast, and good enough to choose with. */
export function seededRandom(seed: number): SeededRandom {
  let state = (seed * 0x9e3779b9 + 0x85ebca6b) | 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(fraction() * limit);
  return {
    fraction,
    below,
    pick: (from) => {
      const picked = from[below(from.length)];
      if (picked === undefined) throw new RangeError('there is nothing to pick from');
      return picked;
    },
    hex: (length) => Array.from({ length }, () => below(256).toString(16).padStart(2, '0')).join(''),
  };
}
