/**
 * Insert, Update and Delete messages: which row they are about and what it looks like now. Rows pass through as the bytes they came in;
 * only their columns' places are read.
 *
 * What the server sends of the old row depends on the table's replica identity: nothing while its columns stay as they are, the identity's
 * columns ('K') when one of them changes or lies out of line, the whole old row ('O') under FULL.
 * Source: PostgreSQL documentation, "Logical Replication Message Formats".
 */
import { EntryFlag } from '../../../../src/change/entry.ts';
import { Op } from '../../../../src/change/operation.ts';
import type { ChangeSink } from '../../../../src/connector/source.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { TupleMark } from '../pgoutput/message.ts';
import { KeyWriter, sameKey } from '../row-key.ts';
import { ColumnKindByte, TupleLayout } from '../tuple.ts';
import { GrowingBytes } from '../wire/growing-bytes.ts';

/** What is to be known of a relation to read its rows. */
export interface RowTable {
  readonly table: string;
  /** The id that the sink gave the rows' schema. */
  readonly schemaId: number;
  /** Places of the key's columns, in key order; empty when the whole row is the key. */
  readonly keyIndexes: readonly number[];
  readonly columnCount: number;
  /** For each column whether the old row carries it; all do under FULL. */
  readonly identity: readonly boolean[];
}

/** Tag byte and relation OID come before the first tuple's mark. */
const ROW_HEADER_BYTES = 5;

export class RowChanges {
  readonly #sink: ChangeSink;
  readonly #new = new TupleLayout();
  readonly #old = new TupleLayout();
  readonly #key = new KeyWriter();
  readonly #oldKey = new KeyWriter();
  /** A new row that was put together from what the server sent of it and of the old one. */
  readonly #merged = new GrowingBytes();

  constructor(sink: ChangeSink) {
    this.#sink = sink;
  }

  insert(table: RowTable, bytes: Buffer, start: number, end: number): void {
    const layout = this.#new;
    this.#readTuple(layout, table, bytes, start + ROW_HEADER_BYTES, end, TupleMark.new);
    this.#upsert(Op.insert, table, bytes, layout);
  }

  update(table: RowTable, bytes: Buffer, start: number, end: number): void {
    const mark = start + ROW_HEADER_BYTES;
    if (bytes[mark] === TupleMark.new) {
      this.#readTuple(this.#new, table, bytes, mark, end, TupleMark.new);
      this.#upsert(Op.update, table, bytes, this.#new);
      return;
    }
    const oldEnd = this.#readOld(table, bytes, mark, end);
    this.#readTuple(this.#new, table, bytes, oldEnd, end, TupleMark.new);
    const merged = this.#new.unchanged > 0;
    const row = merged ? this.#merge(table, bytes) : bytes;
    this.#oldKey.write(bytes, this.#old, table.keyIndexes, table.table);
    this.#key.write(row, this.#new, table.keyIndexes, table.table);
    if (!sameKey(this.#oldKey, this.#key)) this.#leave(table, bytes, this.#oldKey, EntryFlag.keyChanged);
    this.#push(Op.update, table, row, this.#new);
  }

  delete(table: RowTable, bytes: Buffer, start: number, end: number): void {
    const oldEnd = this.#readOld(table, bytes, start + ROW_HEADER_BYTES, end);
    if (oldEnd !== end) throw malformed(table, 'has more behind its row');
    this.#oldKey.write(bytes, this.#old, table.keyIndexes, table.table);
    this.#leave(table, bytes, this.#oldKey, 0);
  }

  #upsert(op: Op, table: RowTable, bytes: Buffer, layout: TupleLayout): void {
    this.#key.write(bytes, layout, table.keyIndexes, table.table);
    this.#push(op, table, bytes, layout);
  }

  #push(op: Op, table: RowTable, bytes: Buffer, layout: TupleLayout): void {
    this.#sink.change(op, 0, table.schemaId, this.#key.bytes, this.#key.length, bytes, layout.start, layout.end, layout.unchanged > 0);
  }

  /**
   * The row is no longer there under this key. A table without a key may hold the same row several times: the old row then goes out as
   * one to be completed, which finds whether another like it is left.
   */
  #leave(table: RowTable, bytes: Buffer, key: KeyWriter, flags: number): void {
    if (table.keyIndexes.length > 0) this.#sink.change(Op.delete, flags, table.schemaId, key.bytes, key.length, bytes, 0, 0, false);
    else this.#sink.change(Op.update, 0, table.schemaId, key.bytes, key.length, bytes, this.#old.start, this.#old.end, true);
  }

  #readOld(table: RowTable, bytes: Buffer, mark: number, end: number): number {
    const kind = bytes[mark];
    if (kind !== TupleMark.key && kind !== TupleMark.old) throw malformed(table, `marks its old row with ${kind}`);
    return this.#readColumns(this.#old, table, bytes, mark + 1, end);
  }

  /** Reads the last tuple of a message, which ends with it. */
  #readTuple(layout: TupleLayout, table: RowTable, bytes: Buffer, mark: number, end: number, expected: number): void {
    if (bytes[mark] !== expected) throw malformed(table, `marks its row with ${bytes[mark]}`);
    if (this.#readColumns(layout, table, bytes, mark + 1, end) !== end) throw malformed(table, 'has more behind its row');
  }

  #readColumns(layout: TupleLayout, table: RowTable, bytes: Buffer, start: number, end: number): number {
    const tupleEnd = layout.read(bytes, start, end);
    if (layout.count !== table.columnCount) throw malformed(table, `has ${layout.count} columns instead of ${table.columnCount}`);
    return tupleEnd;
  }

  /** Takes what the new row leaves out from the old one, as far as that carries it, and lays the layout over the result. */
  #merge(table: RowTable, bytes: Buffer): Buffer {
    const merged = this.#merged;
    merged.reset();
    merged.add(bytes, this.#new.start, this.#new.start + 2);
    for (let i = 0; i < this.#new.count; i += 1) {
      const column = this.#new.columns[i] as number;
      const old = this.#old.columns[i] as number;
      // An identity's column is null in the old row only under FULL, and then it is null in the new one too, not left out.
      const fromOld = bytes[column] === ColumnKindByte.unchanged && table.identity[i] === true && bytes[old] !== ColumnKindByte.null;
      if (fromOld) merged.add(bytes, old, this.#old.columns[i + 1] as number);
      else merged.add(bytes, column, this.#new.columns[i + 1] as number);
    }
    this.#new.read(merged.bytes, 0, merged.length);
    return merged.bytes;
  }
}

function malformed(table: RowTable, what: string): TailraceError {
  return new TailraceError('SRC_PROTOCOL', { message: `The server sent a change of ${table.table} that ${what}.`, entity: table.table });
}
