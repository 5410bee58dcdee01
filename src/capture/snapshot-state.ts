/**
 * What is known of a source's snapshots, folded from the log's registers: a register for each snapshot and one for each range that is not
 * read to its end. Progress is durable in the same frame as the rows it is about.
 */
import type { Seq } from '../change/seq.ts';
import type { RegisterUpdate } from '../connector/log-store.ts';
import { TailraceError } from '../errors/tailrace-error.ts';

/** Every generation of every index that has the table. */
export const EVERYONE = '*';

/** Which rows a snapshot reads. The keys themselves are in its ranges: a register is written again and again. */
export type SelectionNote = { readonly kind: 'all' } | { readonly kind: 'keys'; readonly keys: number } | { readonly kind: 'where'; readonly predicate: string };

/** Why a snapshot ended before its end. */
export interface SnapshotFailure {
  readonly code: string;
  readonly message: string;
}

export interface Snapshot {
  readonly source: string;
  /** Unique among those of its source. */
  readonly number: number;
  readonly table: string;
  /** Names of the generations that take its rows, or `[EVERYONE]`. */
  readonly for: readonly string[];
  readonly reason: string;
  readonly selection: SelectionNote;
  /** Whether documents that are older than the snapshot and that it did not see are removed at its end. */
  readonly sweep: boolean;
  /** Everything up to here was in the log before the ranges were planned: a document that is no newer, and that the snapshot does not read, is gone. */
  readonly startSeq: Seq;
  /** `cancelled` and `failed`: no more of it is read; what was read holds true, and nothing is swept. */
  readonly phase: 'planned' | 'reading' | 'done' | 'cancelled' | 'failed';
  /** Told to wait: nothing is read of it until it is resumed, whatever restarts come in between. */
  readonly paused: boolean;
  /** Null unless it failed. */
  readonly failure: SnapshotFailure | null;
  /** Rows of ranges that are read to their end; of keys, those that were looked up. */
  readonly rows: number;
  /** Exact for keys. */
  readonly estimatedRows: number | null;
  /** All of its rows have seqs up to this; null until it is done. */
  readonly doneSeq: Seq | null;
}

export interface Range {
  readonly number: number;
  /** Where the next chunk begins. */
  readonly next: Uint8Array;
  readonly rows: number;
}

function snapshotRegister(source: string, number: number): string {
  return `snapshot:${source}:${number}`;
}

function rangeRegister(source: string, snapshot: number, range: number): string {
  return `range:${source}:${snapshot}:${range}`;
}

export function setSnapshot(snapshot: Snapshot): RegisterUpdate {
  return [snapshotRegister(snapshot.source, snapshot.number), Buffer.from(JSON.stringify(snapshot))];
}

export function removeSnapshot(snapshot: Snapshot): RegisterUpdate {
  return [snapshotRegister(snapshot.source, snapshot.number), null];
}

export function setRange(snapshot: Snapshot, range: Range): RegisterUpdate {
  const value = { next: Buffer.from(range.next).toString('hex'), rows: range.rows };
  return [rangeRegister(snapshot.source, snapshot.number, range.number), Buffer.from(JSON.stringify(value))];
}

export function removeRange(snapshot: Snapshot, range: number): RegisterUpdate {
  return [rangeRegister(snapshot.source, snapshot.number, range), null];
}

/** The snapshot that a register update sets; undefined for other registers and for removals. */
export function snapshotOfRegister([name, value]: RegisterUpdate): Snapshot | undefined {
  if (!name.startsWith('snapshot:') || value === null) return undefined;
  const { selection = { kind: 'all' }, paused = false, failure = null, ...rest } = parse<Partial<Snapshot>>(value);
  return { ...rest, selection, paused, failure } as Snapshot;
}

export function snapshotsIn(registers: ReadonlyMap<string, Uint8Array>): Snapshot[] {
  const snapshots: Snapshot[] = [];
  for (const register of registers) {
    const snapshot = snapshotOfRegister(register);
    if (snapshot !== undefined) snapshots.push(snapshot);
  }
  return snapshots.toSorted((a, b) => a.number - b.number);
}

/** The ranges of a snapshot that are not read to their end. */
export function rangesIn(registers: ReadonlyMap<string, Uint8Array>, snapshot: Snapshot): Range[] {
  const prefix = `range:${snapshot.source}:${snapshot.number}:`;
  const ranges: Range[] = [];
  for (const [name, value] of registers) {
    if (!name.startsWith(prefix)) continue;
    const { next, rows } = parse<{ next: string; rows: number }>(value);
    ranges.push({ number: Number(name.slice(prefix.length)), next: Buffer.from(next, 'hex'), rows });
  }
  return ranges.toSorted((a, b) => a.number - b.number);
}

/** True when nothing more is read of it. */
export function isOver({ phase }: Pick<Snapshot, 'phase'>): boolean {
  return phase !== 'planned' && phase !== 'reading';
}

/** True for one that brings all rows of its table to everyone, and that nobody has paused: what the log has of the table is not all until it is over. */
export function rereads({ selection, paused, for: names }: Snapshot): boolean {
  return selection.kind === 'all' && !paused && names.includes(EVERYONE);
}

/** True for a snapshot that makes a generation of this name whole, unless it was given up: all rows, addressed to it. */
export function builds({ selection, phase, for: names }: Snapshot, generation: string): boolean {
  return selection.kind === 'all' && phase !== 'cancelled' && phase !== 'failed' && names.includes(generation);
}

/** True when the generation of this name takes the snapshot's rows. */
export function isFor(snapshot: Snapshot, generation: string): boolean {
  return snapshot.for.includes(EVERYONE) || snapshot.for.includes(generation);
}

function parse<T>(value: Uint8Array): T {
  try {
    return JSON.parse(Buffer.from(value).toString()) as T;
  } catch (cause) {
    throw new TailraceError('LOG_CORRUPT', { message: 'The progress of a snapshot in the change log cannot be read.', cause });
  }
}
