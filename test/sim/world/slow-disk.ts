/** Gives the simulated disk the times of a real one, and faults when somebody asked for one. */
import type { Executor } from '../kernel/executor.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import type { SimDisk, SimFault, SimOperation } from '../sim-disk.ts';

export interface DiskTrouble {
  /** The next operation of this kind fails with EIO. */
  failNext: 'datasync' | 'write' | 'syncDirectory' | null;
}

/** Usual times in virtual milliseconds. Operations that are not named take none. */
const USUAL_MS: Partial<Record<SimOperation['kind'], number>> = { write: 0.1, datasync: 1, syncDirectory: 0.5, read: 0.1, create: 0.1, open: 0.05, truncate: 0.1, rename: 0.1, remove: 0.2 };

export function slowDisk(disk: SimDisk, executor: Executor, random: SimRandom, trouble: DiskTrouble, onOperation: (operation: SimOperation) => void): void {
  disk.onOperation = async (operation) => {
    const { kind, path, bytes } = operation;
    const usualMs = USUAL_MS[kind];
    if (usualMs !== undefined) {
      const over = Promise.withResolvers<void>();
      const slow = random.chance(0.02) ? 30 : 1;
      executor.after(random.real(0.5, 2) * usualMs * slow, `disk ${kind} ${path}${bytes === 0 ? '' : ` ${bytes}`}`, over.resolve);
      await over.promise;
    }
    onOperation(operation);
    return faultOf(operation, trouble, executor);
  };
}

function faultOf({ kind, path }: SimOperation, trouble: DiskTrouble, executor: Executor): SimFault | undefined {
  if (trouble.failNext !== kind) return undefined;
  trouble.failNext = null;
  executor.note(`disk fails ${kind} ${path}`);
  return 'EIO';
}
