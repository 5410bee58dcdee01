/** What is verified: one generation of an index, as whoever feeds it knows it. */
import type { Connection } from '../capture/capture.ts';
import type { Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { TargetGeneration } from '../connector/target.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { StateStore } from '../state/state-store.ts';
import type { DocumentsOf } from './expected-rows.ts';

/** How many rows the source takes its table to have; null when it does not say. */
export function estimatedRows({ definition: { from } }: Pick<VerifySubject, 'definition'>, { tables }: Connection): number | null {
  return tables.find(({ table }) => table === from.table)?.estimatedRows ?? null;
}

/** How far a generation's target has everything. */
export interface Applied {
  readonly cursor: Seq;
}

export interface VerifySubject extends DocumentsOf {
  readonly index: string;
  readonly generation: number;
  /** Name of the generation. */
  readonly name: string;
  /** Seq behind which the generation reads the log. */
  readonly startSeq: Seq;
  readonly log: LogStore;
  readonly state: Pick<StateStore, 'someDeadLetters' | 'deadLetters' | 'deadLetterCount'>;
  readonly runtime: Runtime;
  /** The source as soon as it streams. Rejects with the error that it has stopped with. */
  readonly connection: (signal: AbortSignal) => Promise<Connection>;
  /**
   * Resolves as soon as everything up to `seq` is applied and no end of a snapshot is being acted upon. Rejects with the error that the generation has
   * stopped with, and with what its target does not work with at the moment.
   */
  readonly applied: (seq: Seq, signal: AbortSignal) => Promise<Applied>;
  /** The generation as it is open now, for reading and for `remove`. Rejects as `applied` does. */
  readonly opened: (signal: AbortSignal) => Promise<TargetGeneration>;
}
