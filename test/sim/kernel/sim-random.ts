/** Chance from a seed: the same seed and the same questions give the same answers, on every machine. */
import type { Random } from '../../../src/runtime/random.ts';

const UINT32 = 2 ** 32;

export class SimRandom implements Random {
  readonly #path: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `path` names the stream: different paths of one seed are independent of each other. */
  constructor(path: string | number) {
    this.#path = String(path);
    [this.#a, this.#b, this.#c] = hashOf(this.#path);
    for (let i = 0; i < 12; i += 1) this.#next();
  }

  /** A stream of its own, which is the same however much was asked of this one. */
  fork(name: string): SimRandom {
    return new SimRandom(`${this.#path}/${name}`);
  }

  fraction(): number {
    return this.#next() / UINT32;
  }

  hex(length: number): string {
    let text = '';
    while (text.length < length * 2) text += this.#next().toString(16).padStart(8, '0');
    return text.slice(0, length * 2);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  /** A number in [low, high), not rounded. */
  real(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.fraction() * items.length)] as T;
  }

  /** One of the names, as often as its weight says. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const entries = Object.entries(weights) as [T, number][];
    let rest = this.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      rest -= weight;
      if (rest < 0) return name;
    }
    return (entries.at(-1) as [T, number])[0];
  }

  shuffled<T>(items: readonly T[]): T[] {
    const mixed = [...items];
    for (let i = mixed.length - 1; i > 0; i -= 1) {
      const j = this.between(0, i);
      [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
    }
    return mixed;
  }

  /** The pause until the next of events that come independently, `mean` apart. */
  pause(mean: number): number {
    return -Math.log(1 - this.fraction()) * mean;
  }

  /** sfc32. */
  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0;
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0;
    return sum;
  }
}

/** Three words from a text (xmur3). */
function hashOf(text: string): [number, number, number] {
  let hash = 1779033703 ^ text.length;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 3432918353);
    hash = (hash << 13) | (hash >>> 19);
  }
  const word = (): number => {
    hash = Math.imul(hash ^ (hash >>> 16), 2246822507);
    hash = Math.imul(hash ^ (hash >>> 13), 3266489909);
    hash ^= hash >>> 16;
    return hash >>> 0;
  };
  return [word(), word(), word()];
}
