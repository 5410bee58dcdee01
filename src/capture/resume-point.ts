/**
 * How far a source is in the log: after which transaction its stream is resumed, and how much of the next one is logged already.
 *
 * A huge transaction is appended in many frames. After a crash in its middle the source pushes it again from its first change; the changes
 * that are logged are then skipped by their count, table by table, so that every change is in the log exactly once, whatever tables are read
 * by then.
 */
import { TailraceError } from '../errors/tailrace-error.ts';

/** A transaction that is logged in part. */
export interface PartialTransaction {
  /** That of its commit, and its id: the same transaction has the same ones when it is pushed again. */
  readonly position: Uint8Array;
  readonly id: bigint;
  /** Changes that are logged. */
  readonly changes: number;
  /** The same by table. */
  readonly byTable: ReadonlyMap<string, number>;
}

export interface ResumePoint {
  /** Position behind the last transaction that is logged whole. */
  readonly position: Uint8Array;
  /** The first transaction behind it that is logged in part, if there is one. */
  readonly partial: PartialTransaction | null;
  /** Further ones, in the order of their positions: a table that was not read before may bring an earlier transaction. */
  readonly laterPartials: readonly PartialTransaction[];
}

/** Name of the register that holds a source's resume point. */
export function positionRegister(source: string): string {
  return `position:${source}`;
}

/** Name of the register that holds what a source's positions belong to. */
export function identityRegister(source: string): string {
  return `identity:${source}`;
}

/** Name of the register that holds the identity of the history that a first start sets out to begin, until the history has begun. */
export function beginningRegister(source: string): string {
  return `beginning:${source}`;
}

/** Name of the register that holds what a source wants to find again (`ChangeSink.remember`). */
export function stateRegister(source: string): string {
  return `state:${source}`;
}

/** Name of the register that holds which tables of a source are read up to its resume point. */
export function tablesRegister(source: string): string {
  return `tables:${source}`;
}

interface Stored {
  readonly position: string;
  readonly partials?: readonly { readonly position: string; readonly id: string; readonly changes: readonly (readonly [table: string, changes: number])[] }[];
}

export function encodeResumePoint(point: ResumePoint): Buffer {
  const partials = point.partial === null ? [] : [point.partial, ...point.laterPartials];
  const stored: Stored = {
    position: hex(point.position),
    ...(partials.length === 0 ? {} : { partials: partials.map(({ position, id, byTable }) => ({ position: hex(position), id: String(id), changes: [...byTable] })) }),
  };
  return Buffer.from(JSON.stringify(stored));
}

/** Throws LOG_CORRUPT when the register does not hold a resume point. */
export function decodeResumePoint(register: Uint8Array): ResumePoint {
  try {
    const { position, partials = [] } = JSON.parse(Buffer.from(register).toString()) as Stored;
    const [partial = null, ...laterPartials] = partials.map((stored) => partialTransaction(Buffer.from(stored.position, 'hex'), BigInt(stored.id), new Map(stored.changes)));
    return { position: Buffer.from(position, 'hex'), partial, laterPartials };
  } catch (cause) {
    throw new TailraceError('LOG_CORRUPT', { message: 'A source\'s position in the change log cannot be read.', cause });
  }
}

export function partialTransaction(position: Uint8Array, id: bigint, byTable: ReadonlyMap<string, number>): PartialTransaction {
  return { position, id, byTable, changes: [...byTable.values()].reduce((sum, changes) => sum + changes, 0) };
}

export function encodeTables(tables: Iterable<string>): Buffer {
  return Buffer.from(JSON.stringify([...tables].toSorted()));
}

/** Throws LOG_CORRUPT when the register does not hold names of tables. */
export function decodeTables(register: Uint8Array): ReadonlySet<string> {
  try {
    return new Set(JSON.parse(Buffer.from(register).toString()) as string[]);
  } catch (cause) {
    throw new TailraceError('LOG_CORRUPT', { message: 'The tables of a source in the change log cannot be read.', cause });
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
