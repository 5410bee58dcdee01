/**
 * Everything that the log ever held, as the auditors saw it become durable. The log forgets what has been applied; the book does not.
 */
import { crc32 } from 'node:zlib';
import { schemaOfRegister } from '../../../src/capture/schema-registry.ts';
import { snapshotOfRegister, type Snapshot } from '../../../src/capture/snapshot-state.ts';
import { EntryCursor } from '../../../src/change/entry.ts';
import { decodeKey } from '../../../src/change/key.ts';
import { Op } from '../../../src/change/operation.ts';
import type { RowSchema } from '../../../src/change/schema.ts';
import type { FrameDraft } from '../../../src/connector/log-store.ts';
import { decodeRow, type DecodedRow } from '../source/sim-row.ts';
import type { Findings } from './findings.ts';

export interface LoggedEntry {
  readonly kind: 'entry';
  readonly seq: number;
  /** The same: items are in the order of this. */
  readonly behind: number;
  readonly op: Op;
  readonly flags: number;
  readonly schemaId: number;
  /** Of its schema; undefined when the log does not hold that yet, which is a finding. */
  readonly schema: RowSchema | undefined;
  readonly key: string;
  readonly row: DecodedRow | null;
  readonly source: string;
  /** Number of the snapshot that read it; 0 for a change of the stream. */
  readonly snapshot: number;
  /** Of its transaction; null for a row of a snapshot. */
  readonly commitTimeMs: number | null;
}

/** A snapshot ended here: everything that it read lies before. */
export interface SnapshotEnd {
  readonly kind: 'done';
  readonly snapshot: Snapshot;
  /** Seq of the last change before it. */
  readonly behind: number;
  /** In a frame without changes: a cursor of this seq may stand before it or behind it. */
  readonly isAlone: boolean;
}

export type LoggedItem = LoggedEntry | SnapshotEnd;

export interface ObservedFrame extends Pick<FrameDraft, 'kind' | 'source' | 'snapshot' | 'count' | 'transactions' | 'registers'> {
  readonly firstSeq: number;
  readonly entries: readonly LoggedEntry[];
}

export class LogBook {
  readonly items: LoggedItem[] = [];
  readonly registers = new Map<string, Uint8Array>();
  readonly schemas = new Map<number, RowSchema>();
  readonly snapshots = new Map<string, Snapshot>();
  readonly #findings: Findings;
  readonly #crcs = new Map<number, { readonly count: number; readonly crc: number }>();
  #lastSeq = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Last seq that became durable. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** A frame became durable. */
  add(draft: FrameDraft, firstSeq: number, lastSeq: number): ObservedFrame {
    this.#findings.expect('G1', firstSeq === this.#lastSeq + 1 && lastSeq === firstSeq + draft.count - 1, () => `a frame of ${draft.count} changes got the seqs ${firstSeq} to ${lastSeq}, behind ${this.#lastSeq}`);
    if (draft.count > 0) this.#crcs.set(firstSeq, { count: draft.count, crc: crc32(draft.entries) });
    for (const [name, value] of draft.registers) this.#fold(name, value);
    const entries = this.#entriesOf(draft, firstSeq);
    for (const entry of entries) this.items.push(entry);
    for (const register of draft.registers) {
      const snapshot = snapshotOfRegister(register);
      if (snapshot?.phase === 'done') this.items.push({ kind: 'done', snapshot, behind: lastSeq, isAlone: draft.count === 0 });
    }
    this.#lastSeq = lastSeq;
    return { kind: draft.kind, source: draft.source, snapshot: draft.snapshot, count: draft.count, transactions: draft.transactions, registers: draft.registers, firstSeq, entries };
  }

  /** Place of the first item behind `seq`. */
  placeBehind(seq: number): number {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const item = this.items[middle] as LoggedItem;
      if (item.behind <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A frame was read back: it must be the one that was appended. */
  checkRead(firstSeq: number, count: number, entries: Uint8Array): void {
    if (count === 0) return;
    const known = this.#crcs.get(firstSeq);
    this.#findings.expect('G13', known !== undefined && known.count === count && known.crc === crc32(entries), () => `the frame read at seq ${firstSeq} is not the one that was appended there`);
  }

  /** What a source's table has in the log: its own schemas. */
  belongs(entry: LoggedEntry, source: string, table: string): boolean {
    return entry.schema?.source === source && entry.schema.table === table;
  }

  #fold(name: string, value: Uint8Array | null): void {
    if (value === null) {
      this.registers.delete(name);
      return;
    }
    this.registers.set(name, value);
    const schema = schemaOfRegister([name, value]);
    if (schema !== undefined) {
      const before = this.schemas.get(schema.id);
      this.#findings.expect('G1', before === undefined || JSON.stringify(before) === JSON.stringify(schema), () => `schema ${schema.id} was given to two shapes`);
      this.schemas.set(schema.id, schema);
    }
    const snapshot = snapshotOfRegister([name, value]);
    if (snapshot === undefined) return;
    const key = `${snapshot.source} ${snapshot.number}`;
    const same = this.snapshots.get(key) ?? snapshot;
    this.#findings.expect('G7', same.table === snapshot.table && same.for.join() === snapshot.for.join(), () => `the number ${snapshot.number} of a snapshot of ${same.table} was given to one of ${snapshot.table}`);
    this.snapshots.set(key, snapshot);
  }

  #entriesOf(draft: FrameDraft, firstSeq: number): LoggedEntry[] {
    const cursor = new EntryCursor(draft.entries, firstSeq);
    const entries: LoggedEntry[] = [];
    while (cursor.next()) {
      const { seq, op, flags, schemaId } = cursor;
      const schema = this.schemas.get(schemaId);
      this.#findings.expect('G1', schema !== undefined && schema.source === draft.source, () => `the change with seq ${seq} has the schema ${schemaId}, which the log does not hold for ${draft.source}`);
      const [part] = decodeKey(cursor.key());
      const hasRow = op !== Op.delete && op !== Op.truncate;
      entries.push({
        kind: 'entry',
        seq,
        behind: seq,
        op,
        flags,
        schemaId,
        schema,
        key: part === undefined || part === null ? '' : Buffer.from(part).toString(),
        row: hasRow ? decodeRow(cursor.row()) : null,
        source: draft.source,
        snapshot: draft.snapshot,
        commitTimeMs: draft.transactions.findLast(({ firstEntry }) => firstEntry <= seq - firstSeq)?.commitTimeMs ?? null,
      });
    }
    return entries;
  }
}
