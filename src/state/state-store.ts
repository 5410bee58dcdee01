/**
 * Small durable state: which generations there are, how far each has applied, which documents are parked.
 *
 * All of it may be *behind* the change log and the targets, never ahead: a cursor is stored after its effects, a generation's readiness
 * after its documents. Positions, schemas and snapshot progress are not here but in the log's registers, durable with their changes.
 */
import type { Seq } from '../change/seq.ts';
import type { ErrorCode } from '../errors/catalogue.ts';

/** `building`: its snapshot is not applied yet; `serving`: readers see it. */
export type GenerationPhase = 'building' | 'serving';

export interface GenerationRecord {
  readonly index: string;
  readonly generation: number;
  readonly phase: GenerationPhase;
  /** Seq behind which this generation reads the log. */
  readonly startSeq: Seq;
  /** Hash of the part of the config that its documents are made by. */
  readonly fingerprint: string;
}

export interface DeadLetter {
  readonly index: string;
  readonly generation: number;
  /** Document id. */
  readonly id: string;
  readonly seq: Seq;
  readonly code: ErrorCode;
  /** Why, in one sentence, without row values. */
  readonly reason: string;
  readonly parkedAtMs: number;
}

/** Where a dead letter stands in the order of all: by index, generation and seq. */
export type DeadLetterPlace = Pick<DeadLetter, 'index' | 'generation' | 'seq'>;

/** Some of the dead letters; without any of these, all. */
export interface DeadLetterFilter {
  /** Of this index only. */
  readonly index?: string | undefined;
  /** Of this document only. */
  readonly id?: string | undefined;
  /** With this code only. */
  readonly code?: string | undefined;
}

export interface DeadLetterRequest extends DeadLetterFilter {
  /** Behind this one. */
  readonly after?: DeadLetterPlace | undefined;
  readonly limit: number;
}

export interface StateStore extends Disposable {
  /** The log that this state belongs to, or null in a fresh store. */
  readonly logId: string | null;
  bindLog(logId: string): void;

  generations(): GenerationRecord[];
  /** Adds a generation or replaces the record of the same index and number. */
  putGeneration(record: GenerationRecord): void;
  /** Forgets a generation that is no more, with its cursor and its parked documents. */
  forgetGeneration(index: string, generation: number): void;

  /** Where a generation goes on. Of one whose target keeps the cursor: where it is to begin again, when that is before what its target says. */
  cursor(index: string, generation: number): Seq | null;
  /** Null forgets it. */
  putCursor(index: string, generation: number, seq: Seq | null): void;

  /** Parks documents; a later letter for the same document replaces the earlier one. */
  park(letters: readonly DeadLetter[]): void;
  /** Forgets parked documents of these ids up to `seq`: a newer version is in the index. */
  unpark(index: string, generation: number, ids: readonly string[], seq: Seq): void;
  deadLetters(index?: string): DeadLetter[];
  /** In their order, at most `limit`. */
  someDeadLetters(request: DeadLetterRequest): DeadLetter[];
  /** How many there are. */
  deadLetterTotal(filter: DeadLetterFilter): number;
  deadLetterCount(index: string, generation: number): number;
}

/** Name of a generation in registers, holds and log lines: `products-g0001`. */
export function generationName(index: string, generation: number): string {
  return `${index}-g${String(generation).padStart(4, '0')}`;
}
