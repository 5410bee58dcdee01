/**
 * A piece of a relation's heap, by physical place: what a snapshot's ranges are made of. Durable, so it names the relation and the file that
 * the places belong to; in another file they mean nothing.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';

/** The place of a row: block and line of it. Lines count from 1. */
export interface TupleId {
  readonly block: number;
  readonly line: number;
}

export interface TidRange {
  /** Full name of the relation, for messages; it is found by its OID. */
  readonly relation: string;
  readonly oid: number;
  /** `pg_relation_filenode` when the range was planned. */
  readonly file: number;
  /** The first place that is to be read. */
  readonly from: TupleId;
  /** The first block that is not. */
  readonly to: number;
  /** SQL of the rows that are selected; without it, all are. */
  readonly predicate?: string | undefined;
}

export function encodeRange(range: TidRange): Buffer {
  return Buffer.from(JSON.stringify(range));
}

export function decodeRange(bytes: Uint8Array): TidRange {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as TidRange;
  } catch (cause) {
    throw new TailraceError('STATE_CORRUPT', { message: 'The progress of a snapshot of a Postgres source is not readable.', cause });
  }
}

/** Lines of a block are below this (16 bits). */
const LINES_MAX = 2 ** 16;

/** The place of an ordinal: places as one number each, `block * LINES_MAX + line`, in their order. */
export function tupleIdOf(ordinal: number): TupleId {
  return { block: Math.floor(ordinal / LINES_MAX), line: ordinal % LINES_MAX };
}

const ZERO = 48;
const COMMA = 44;

/** The ordinal of a `ctid`'s text `(block,line)`, which lies in `bytes` from `start` to `end`. */
export function ordinalOfText(bytes: Uint8Array, start: number, end: number): number {
  let at = start + 1;
  let block = 0;
  for (; bytes[at] !== COMMA; at += 1) block = block * 10 + (bytes[at] as number) - ZERO;
  let line = 0;
  for (at += 1; at < end - 1; at += 1) line = line * 10 + (bytes[at] as number) - ZERO;
  return block * LINES_MAX + line;
}
