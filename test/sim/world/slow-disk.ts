/** Gives the simulated disk the times of a real one, and faults when somebody asked for one. */
import type { Executor } from '../kernel/executor.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import type { SimDisk, SimFault, SimOperation } from '../sim-disk.ts';

export interface DiskTrouble {
  /** The next operation of this kind fails with EIO. */
  failNext: 'datasync' | 'write' | 'syncDirectory' | null;
  /** The next operation of this kind is cut short. */
  killAt: SimOperation['kind'] | null;
  /** Operations that have begun and have had no effect yet. A crash cuts them short. */
  readonly underWay: Set<SimOperation>;
}

/** What the auditors are told. */
export interface DiskListener {
  /** The operation is about to have its effect. */
  operation(operation: SimOperation): void;
  /** The machine is to die now, in the middle of the operation. */
  killed(): void;
  failed(kind: 'datasync' | 'write' | 'syncDirectory'): void;
}

/** Usual times in virtual milliseconds. Operations that are not named take none. */
const USUAL_MS: Partial<Record<SimOperation['kind'], number>> = { write: 0.1, datasync: 1, syncDirectory: 0.5, read: 0.1, create: 0.1, open: 0.05, truncate: 0.1, rename: 0.1, remove: 0.2 };

export function slowDisk(disk: SimDisk, executor: Executor, random: SimRandom, trouble: DiskTrouble, on: DiskListener): void {
  disk.onOperation = async (operation) => {
    const { kind, path, bytes } = operation;
    const usualMs = USUAL_MS[kind];
    if (usualMs !== undefined) {
      const over = Promise.withResolvers<void>();
      const slow = random.chance(0.02) ? 30 : 1;
      executor.after(random.real(0.5, 2) * usualMs * slow, `disk ${kind} ${path}${bytes === 0 ? '' : ` ${bytes}`}`, over.resolve);
      trouble.underWay.add(operation);
      if (trouble.killAt === kind) {
        trouble.killAt = null;
        executor.after(random.real(0, 0.5) * usualMs, `death within ${kind}`, () => on.killed());
      }
      await over.promise;
      // After a crash it is gone already, with everything that its life had begun.
      if (!trouble.underWay.delete(operation)) return undefined;
    }
    on.operation(operation);
    return faultOf(operation, trouble, executor, on);
  };
}

function faultOf({ kind, path }: SimOperation, trouble: DiskTrouble, executor: Executor, on: DiskListener): SimFault | undefined {
  if (trouble.failNext === null || trouble.failNext !== kind) return undefined;
  on.failed(trouble.failNext);
  trouble.failNext = null;
  executor.note(`disk fails ${kind} ${path}`);
  return 'EIO';
}
