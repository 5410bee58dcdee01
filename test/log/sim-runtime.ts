/** A runtime on the simulated disk, with a clock that stands still. */
import type { Runtime } from '../../src/runtime/runtime.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { seededRandom } from './seeded-random.ts';
import { TestClock } from './test-clock.ts';

export interface SimRuntime extends Runtime {
  readonly sim: SimDisk;
  readonly clock: TestClock;
}

/** One process on a disk; another call with the same disk is the next process. */
export function simRuntime(sim = new SimDisk({ random: seededRandom(1) }), clock = new TestClock()): SimRuntime {
  return { sim, clock, random: seededRandom(sim.operations), disk: sim.mount(), logger: silentLogger };
}

/** What a disk's files hold, to be put back with `restore`. */
export function imageOf(sim: SimDisk): ReadonlyMap<string, Buffer> {
  return new Map(sim.files().map((path) => [path, sim.contents(path)]));
}

/** A new disk with exactly these files, durable. */
export function diskWith(image: ReadonlyMap<string, Uint8Array>): SimDisk {
  const sim = new SimDisk({ random: seededRandom(1) });
  for (const [path, bytes] of image) sim.place(path, bytes);
  return sim;
}
