/** Backups of the state store and of targets, and what comes of restoring them. */
import type { SimRandom } from '../kernel/sim-random.ts';
import type { MemoryStorage } from '../memory-target.ts';
import { DATA_DIRECTORY } from './daemon.ts';
import type { World } from './world.ts';

type KeptGeneration = NonNullable<ReturnType<MemoryStorage['promoted']>>;

interface TargetBackup {
  readonly target: string;
  readonly generations: ReadonlyMap<string, Pick<KeptGeneration, 'cursor' | 'floor' | 'documents'>>;
}

export class Backups {
  readonly #world: World;
  readonly #random: SimRandom;
  #cursors: ReadonlyMap<string, number> | null = null;
  #target: TargetBackup | null = null;

  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
  }

  /** Takes one of each. */
  take(): void {
    this.#cursors = this.#world.machine.state(`${DATA_DIRECTORY}/state.db`).cursorsNow();
    // A target that keeps no cursor of its own cannot be restored alone: nobody would know what it lacks.
    const targets = [...this.#world.targets.values()].filter(({ storage }) => storage.atomicCursor);
    if (targets.length === 0) return;
    const target = this.#random.pick(targets);
    const generations = new Map<string, Pick<KeptGeneration, 'cursor' | 'floor' | 'documents'>>();
    for (const { name, generation, kept } of this.#generations(target.name)) {
      generations.set(`${name} ${generation}`, { cursor: kept.cursor, floor: kept.floor, documents: new Map(kept.documents) });
    }
    this.#target = { target: target.name, generations };
  }

  /** Cursors of indices that keep them in the state store go back; false when there is no backup. */
  restoreState(): boolean {
    if (this.#cursors === null) return false;
    const state = this.#world.machine.state(`${DATA_DIRECTORY}/state.db`);
    for (const [name, seq] of this.#cursors) {
      if (!state.cursors.has(name)) continue;
      state.cursors.set(name, seq);
      const [index, generation] = name.split(' ') as [string, string];
      this.#world.cursors.putBack({ index, generation: Number(generation) });
    }
    return true;
  }

  restoreTarget(): boolean {
    const backup = this.#target;
    if (backup === null) return false;
    for (const { name, generation, kept } of this.#generations(backup.target)) {
      const before = backup.generations.get(`${name} ${generation}`) ?? { cursor: null, floor: 0n, documents: new Map<string, never>() };
      kept.cursor = before.cursor;
      kept.floor = before.floor;
      kept.documents.clear();
      for (const [id, document] of before.documents) kept.documents.set(id, document);
      kept.unanswered.length = 0;
      this.#world.cursors.putBack({ index: name, generation });
    }
    this.#world.versions.wentBack();
    return true;
  }

  *#generations(target: string): Iterable<{ readonly name: string; readonly generation: number; readonly kept: KeptGeneration }> {
    for (const index of this.#world.plan.indices) {
      if (index.target !== target) continue;
      for (const [generation, kept] of this.#world.storage(index).index(index.name).generations) yield { name: index.name, generation, kept };
    }
  }
}
