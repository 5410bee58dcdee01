/** What happened at least once: a rare thing that no seed brings about is not tested, however many seeds there are. */
import type { SimOperationKind } from '../sim-disk.ts';
import type { FaultKind, TransactionKind } from '../world/plan.ts';

/** What the suite demands to have happened at least once over the seeds that it runs. */
export const KINDS = [
  // ends of the daemon, and what it was at
  'a daemon was killed',
  'a daemon was stopped',
  'a daemon ended with an error',
  'killed while it started',
  'killed while it stopped',
  'killed while a table was read',
  'killed while an index was built',
  'killed while a source was not connected',
  'killed while a target did not take what it was sent',
  'killed while the log was full',
  'killed while a transaction was logged in part',
  'killed by a loss of power',
  'killed in the middle of a write',
  'killed in the middle of a datasync',
  'killed in the middle of a create',
  'killed in the middle of a syncDirectory',
  'killed in the middle of a remove',
  'killed in the middle of a truncate',
  'a second daemon was turned away',
  // the disk
  'a torn tail healed',
  'a segment was cut',
  'a frame that was durable, but not known to be, when the process died',
  'the disk was full',
  'the disk failed',
  'the disk failed a write',
  'the disk failed a datasync',
  'the disk failed a syncDirectory',
  'a bit flipped in the log',
  'damage of the log was noticed',
  // the log
  'the log was full',
  'retention removed a segment',
  'a frame stood for removed ones',
  'a hold was evicted',
  'several transactions in one frame',
  'a transaction over several frames',
  // sources
  'a slot was made',
  'a slot was read by somebody else',
  'a source was disconnected',
  'a source stopped for a person',
  'a source began anew',
  'a source was built again',
  'another server was noticed',
  'a server that went back was noticed',
  'a slot that went ahead was noticed',
  'a lost log was noticed',
  'a transaction was hidden',
  'a row completed',
  'a source got back what it remembered',
  'what a source remembered was lost with what it had pushed',
  "a row to be completed was 'gone'",
  // snapshots
  'a snapshot was requested',
  'a snapshot was planned again',
  'a snapshot was done',
  'keys were read',
  'a condition was read',
  'a whole table was read for everyone',
  'a key was found absent',
  'a snapshot was paused',
  'a snapshot was resumed',
  'a snapshot was cancelled',
  'a snapshot failed',
  'rows were read as of a seq',
  'a key changed while rows were read as of a seq',
  'a frame of a snapshot',
  'a row changed while its chunk was read',
  'a chunk was read again',
  'an index was swept',
  'a sweep removed documents',
  // indices and targets
  'a generation was promoted',
  'an index was added later',
  'a generation took the place of another',
  'an index went back to an older generation',
  'a generation was dropped',
  'a retired generation was compared',
  'asked to resync',
  'asked to resync and hold',
  'asked to cancel',
  'asked to promote',
  'asked to drop',
  'an index stopped for a person',
  'documents were parked',
  'a truncate reached a target',
  'a target was in trouble',
  'a target recovered',
  'a batch did not reach its target',
  'a target blocked a batch',
  'an answer was lost',
  'a batch took effect in part',
  'an operation was to be sent again',
  'an operation was refused for good',
  'a request arrived whose process was dead',
  'an older cursor was restored',
  'an older target was restored',
  'a suffix of the log was replayed',
  'an index was compared while its table was written',
  'damage was found and repaired',
] as const;

const TRANSACTIONS: readonly TransactionKind[] = ['small', 'medium', 'huge', 'hammer', 'keyChange', 'swap', 'reinsert', 'empty', 'noise', 'truncate', 'addColumn', 'addColumnWithDefault', 'silent', 'rewrite'];

const FAULTS: readonly FaultKind[] = [
  'kill',
  'stop',
  'sourceCut',
  'sourceDown',
  'networkTrouble',
  'targetTrouble',
  'targetStall',
  'targetCrash',
  'forgetDeletes',
  'diskFull',
  'diskFails',
  'secondDaemon',
  'stateRestored',
  'targetRestored',
  'bitFlip',
  'historyLost',
  'clockJump',
  'generations',
  'selections',
  'verifications',
];

/** Killed in the middle of other disk operations: those that take no time, or that an opening log only does, may well not come about. */
export type Happening = (typeof KINDS)[number] | `workload: ${TransactionKind}` | `fault: ${FaultKind}` | `killed in the middle of a ${SimOperationKind}`;

export const DEMANDED: readonly Happening[] = [...KINDS, ...TRANSACTIONS.map((kind): Happening => `workload: ${kind}`), ...FAULTS.map((kind): Happening => `fault: ${kind}`)];

export class Coverage {
  readonly #counts = new Map<Happening, number>();

  saw(what: Happening): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }
}
