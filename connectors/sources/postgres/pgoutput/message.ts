/**
 * pgoutput's messages, protocol version 1, but for the rows, which `../stream/row-changes.ts` reads.
 * Source: PostgreSQL documentation, "Logical Replication Message Formats". OIDs and transaction ids are unsigned.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { timestampMs } from '../wire/replication-message.ts';
import type { Relation, RelationColumn, TypeName } from './relation.ts';

/** First byte of a message. */
export const MessageTag = {
  begin: 0x42, // B
  commit: 0x43, // C
  origin: 0x4f, // O
  relation: 0x52, // R
  type: 0x59, // Y
  insert: 0x49, // I
  update: 0x55, // U
  delete: 0x44, // D
  truncate: 0x54, // T
} as const;

/** The byte before a tuple: the new row, the old row's replica identity, the whole old row (REPLICA IDENTITY FULL). */
export const TupleMark = { new: 0x4e, key: 0x4b, old: 0x4f } as const;

export interface Begin {
  /** Start of the commit record. */
  readonly commitLsn: bigint;
  readonly commitTimeMs: number;
  readonly xid: number;
}

interface Commit {
  readonly commitLsn: bigint;
  /** End of the commit record: where the stream is resumed. */
  readonly endLsn: bigint;
}

export interface Truncate {
  readonly relationOids: readonly number[];
}

/** Reads fields one after the other and refuses to read beyond the message. */
class FieldReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.#at === this.#end;
  }

  uint8(): number {
    return this.#bytes[this.#step(1)] as number;
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#step(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#step(4));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#step(4));
  }

  lsn(): bigint {
    return this.#bytes.readBigUInt64BE(this.#step(8));
  }

  timeMs(): number {
    return timestampMs(this.#bytes, this.#step(8));
  }

  /** Text that ends with a zero byte. */
  text(): string {
    const start = this.#at;
    const zero = this.#bytes.indexOf(0, start);
    if (zero < 0 || zero >= this.#end) throw tooShort();
    this.#at = zero + 1;
    return this.#bytes.toString('utf8', start, zero);
  }

  #step(size: number): number {
    const at = this.#at;
    if (at + size > this.#end) throw tooShort();
    this.#at = at + size;
    return at;
  }
}

function tooShort(): TailraceError {
  return new TailraceError('SRC_PROTOCOL', { message: 'The server sent a message of its stream that ends before it is complete.' });
}

/** Each reader gets the message with its tag byte at `start`. */
function fieldsOf(bytes: Buffer, start: number, end: number): FieldReader {
  return new FieldReader(bytes, start + 1, end);
}

export function readBegin(bytes: Buffer, start: number, end: number): Begin {
  const fields = fieldsOf(bytes, start, end);
  return { commitLsn: fields.lsn(), commitTimeMs: fields.timeMs(), xid: fields.uint32() };
}

export function readCommit(bytes: Buffer, start: number, end: number): Commit {
  const fields = fieldsOf(bytes, start, end);
  fields.uint8();
  return { commitLsn: fields.lsn(), endLsn: fields.lsn() };
}

export function readTruncate(bytes: Buffer, start: number, end: number): Truncate {
  const fields = fieldsOf(bytes, start, end);
  const count = fields.uint32();
  // CASCADE and RESTART IDENTITY: neither changes which rows are gone, for every table that was emptied is in the list.
  fields.uint8();
  const relationOids: number[] = [];
  for (let i = 0; i < count; i += 1) relationOids.push(fields.uint32());
  return { relationOids };
}

export function readType(bytes: Buffer, start: number, end: number): TypeName & { readonly oid: number } {
  const fields = fieldsOf(bytes, start, end);
  return { oid: fields.uint32(), namespace: namespaceOf(fields.text()), name: fields.text() };
}

export function readRelation(bytes: Buffer, start: number, end: number, typeNames: ReadonlyMap<number, TypeName>): Relation {
  const fields = fieldsOf(bytes, start, end);
  const oid = fields.uint32();
  const namespace = namespaceOf(fields.text());
  const name = fields.text();
  const replicaIdentity = String.fromCharCode(fields.uint8());
  if (replicaIdentity !== 'd' && replicaIdentity !== 'n' && replicaIdentity !== 'f' && replicaIdentity !== 'i') {
    throw new TailraceError('SRC_PROTOCOL', { message: `The server described ${namespace}.${name} with the replica identity ${JSON.stringify(replicaIdentity)}.` });
  }
  const columns: RelationColumn[] = [];
  const count = fields.uint16();
  for (let i = 0; i < count; i += 1) {
    const identity = (fields.uint8() & 1) === 1;
    columns.push({ identity, name: fields.text(), typeOid: fields.uint32(), typeModifier: fields.int32() });
  }
  return { oid, namespace, name, replicaIdentity, columns, typeNames };
}

/** OID of the relation that a message with rows is about. */
export function relationOidOf(bytes: Buffer, start: number): number {
  return bytes.readUInt32BE(start + 1);
}

/** An empty namespace stands for `pg_catalog`. */
function namespaceOf(sent: string): string {
  return sent === '' ? 'pg_catalog' : sent;
}
