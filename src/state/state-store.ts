/**
 * Small durable state: which generations there are, how far each has applied, which documents are parked.
 *
 * All of it may be *behind* the change log and the targets, never ahead: a cursor is stored after its effects, a generation's readiness
 * after its documents. Positions, schemas and snapshot progress are not here but in the log's registers, durable with their changes.
 */
import type { Seq } from '../change/seq.ts';
import type { ErrorCode } from '../errors/catalogue.ts';

/**
 * - `building`: its snapshot is not applied yet;
 * - `ready`: whole, and readers do not see it;
 * - `serving`: readers see it, one of each index;
 * - `retired`: it served; it is still fed, and may serve again, until it is dropped;
 * - `dropping`: about to be removed at its target, or removed: it is never opened again.
 */
export type GenerationPhase = 'building' | 'ready' | 'serving' | 'retired' | 'dropping';

/** Why a generation was begun: its index is new; its definition changed; its target cannot take a new field as it is; somebody asked for it. */
export type GenerationReason = 'new' | 'config' | 'mapping' | 'resync' | 'rebuild';

export interface GenerationRecord {
  readonly index: string;
  readonly generation: number;
  readonly phase: GenerationPhase;
  /** Seq behind which this generation reads the log. */
  readonly startSeq: Seq;
  /** Hash of the part of the config that its documents are made by. */
  readonly fingerprint: string;
  /** JSON of the index's definition that it was begun with, by which it is fed whatever the config says now; empty where it was not kept yet. */
  readonly definition: string;
  /** As `TargetGeneration.incarnation`; empty until it was opened. */
  readonly incarnation: string;
  readonly reason: GenerationReason;
  /** Seq at which its snapshot was applied to its last row; null before. */
  readonly wholeSeq: Seq | null;
  /** It stays `ready` until somebody promotes it. */
  readonly held: boolean;
  /** The history that it would need is lost: it is fed no more. */
  readonly abandoned: boolean;
  readonly createdAtMs: number;
  /** When another one took its place; null of one that never served, and of the one that serves. */
  readonly retiredAtMs: number | null;
}

/** What the newest generation was begun with that an index ever had, be it dropped since. */
export interface LastBegun {
  readonly generation: number;
  readonly fingerprint: string;
}

/** Most jobs that are kept when they have ended. */
export const JOBS_ENDED_MAX = 100;

/** `running` also while nothing can be done for it at the moment. */
export type JobPhase = 'running' | 'done' | 'failed' | 'cancelled';

/** Long work that somebody asked for: it goes on after a restart. */
export interface JobRecord {
  readonly id: number;
  readonly index: string;
  readonly kind: string;
  /** What it is about, in terms of its kind; plain JSON. */
  readonly what: Readonly<Record<string, unknown>>;
  readonly phase: JobPhase;
  /** One sentence on how it ended; null before, and where there is nothing to say. */
  readonly outcome: string | null;
  readonly createdAtMs: number;
  readonly endedAtMs: number | null;
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
  /** Adds generations or replaces the records of the same index and number: all of them or none. */
  putGenerations(...records: readonly GenerationRecord[]): void;
  /** Null when the index never had one. A number is never used again: what is addressed to it in the log must not reach another. */
  lastBegun(index: string): LastBegun | null;
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

  /** In the order in which they were asked for. Of those that have ended only the newest are kept. */
  jobs(): JobRecord[];
  addJob(job: Omit<JobRecord, 'id'>): JobRecord;
  putJob(job: JobRecord): void;
}

/** Name of a generation in registers, holds and log lines: `products-g0001`. */
export function generationName(index: string, generation: number): string {
  return `${index}-g${String(generation).padStart(4, '0')}`;
}
