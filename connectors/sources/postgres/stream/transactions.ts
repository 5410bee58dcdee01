/**
 * pgoutput's messages in their order: transactions go into the sink as they are committed on the server, and between them how far the
 * stream is.
 *
 * Transactions that end at or before the start are passed over. A transaction is begun in the sink at its first change of a table of
 * ours: what has none only moves the position.
 */
import type { ChangeSink } from '../../../../src/connector/source.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { MessageTag, readBegin, readCommit, readTruncate, relationOidOf, type Begin } from '../pgoutput/message.ts';
import { encodePosition, formatLsn } from '../position.ts';
import type { VisibilityTracker } from '../visibility.ts';
import type { Relations } from './relations.ts';
import { RowChanges } from './row-changes.ts';

/** Positions of commits carry no timeline: a transaction that is sent again after a failover has the same one. */
const NO_TIMELINE = 0;

interface TransactionsDeps {
  readonly sink: ChangeSink;
  readonly relations: Relations;
  readonly catalog: Catalog;
  readonly visibility: VisibilityTracker;
  readonly startLsn: bigint;
  /** The position to resume from, behind a transaction that ends at `lsn`. */
  readonly positionAt: (lsn: bigint) => Uint8Array;
  /** Everything up to `lsn` has been dealt with, and nothing was pushed since the last commit or heartbeat in the sink. */
  readonly onQuiet: (lsn: bigint) => void;
  /** A transaction that ends at `lsn` has been committed in the sink. */
  readonly onCommitted: (lsn: bigint) => void;
}

export class Transactions {
  readonly #deps: TransactionsDeps;
  readonly #rows: RowChanges;
  #open: Begin | null = null;
  /** The open transaction has been begun in the sink. */
  #begun = false;
  /** The open transaction is one that the start is behind. */
  #skipped = false;
  /** End of the last transaction that was read. */
  #endLsn: bigint;
  #committedLsn: bigint;

  constructor(deps: TransactionsDeps) {
    this.#deps = deps;
    this.#rows = new RowChanges(deps.sink);
    this.#endLsn = deps.startLsn;
    this.#committedLsn = deps.startLsn;
  }

  get inTransaction(): boolean {
    return this.#open !== null;
  }

  /** End of the last transaction that was committed in the sink. */
  get committedLsn(): bigint {
    return this.#committedLsn;
  }

  /** Takes the message in `bytes` from `start` to `end`. When it returns a promise, the next message waits for it. */
  message(bytes: Buffer, start: number, end: number): Promise<void> | null {
    switch (bytes[start]) {
      case MessageTag.insert:
      case MessageTag.update:
      case MessageTag.delete:
        this.#row(bytes, start, end);
        return null;
      case MessageTag.begin:
        this.#begin(readBegin(bytes, start, end));
        return null;
      case MessageTag.commit:
        this.#commit(bytes, start, end);
        return null;
      case MessageTag.relation:
        return this.#deps.relations.relation(bytes, start, end);
      case MessageTag.type:
        this.#deps.relations.type(bytes, start, end);
        return null;
      case MessageTag.truncate:
        this.#truncate(readTruncate(bytes, start, end).relationOids);
        return null;
      case MessageTag.origin:
        // Where a change came from before this server: no row.
        return null;
      default:
        throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message of kind ${bytes[start]}, which version 1 of its protocol does not have.` });
    }
  }

  #row(bytes: Buffer, start: number, end: number): void {
    const table = this.#deps.relations.rowTable(relationOidOf(bytes, start));
    if (table === null || !this.#beginInSink()) return;
    if (bytes[start] === MessageTag.insert) this.#rows.insert(table, bytes, start, end);
    else if (bytes[start] === MessageTag.update) this.#rows.update(table, bytes, start, end);
    else this.#rows.delete(table, bytes, start, end);
  }

  #begin(begin: Begin): void {
    if (this.#open !== null) throw disorder('began a transaction within another');
    this.#skipped = begin.commitLsn < this.#deps.startLsn;
    if (!this.#skipped && begin.commitLsn < this.#endLsn) throw disorder(`sent the transaction of ${formatLsn(begin.commitLsn)} after that of ${formatLsn(this.#endLsn)}`);
    this.#open = begin;
    this.#begun = false;
  }

  /** Makes sure that the open transaction is begun in the sink; false when it is passed over. */
  #beginInSink(): boolean {
    if (this.#begun) return true;
    const { visibility, sink } = this.#deps;
    const open = this.#open;
    if (open === null) throw disorder('sent a change outside of a transaction');
    if (this.#skipped) return false;
    const id = BigInt(visibility.record(open.xid));
    sink.begin({ id, position: encodePosition(open.commitLsn, NO_TIMELINE), commitTimeMs: open.commitTimeMs });
    this.#begun = true;
    return true;
  }

  #commit(bytes: Buffer, start: number, end: number): void {
    const { commitLsn, endLsn } = readCommit(bytes, start, end);
    if (this.#open === null || this.#open.commitLsn !== commitLsn) throw disorder(`ended a transaction at ${formatLsn(commitLsn)} that had not begun`);
    this.#open = null;
    if (this.#skipped) return;
    this.#endLsn = endLsn;
    if (!this.#begun) {
      this.#deps.onQuiet(endLsn);
      return;
    }
    this.#committedLsn = endLsn;
    this.#deps.sink.commit(this.#deps.positionAt(endLsn));
    this.#deps.onCommitted(endLsn);
  }

  #truncate(relationOids: readonly number[]): void {
    if (this.#skipped) return;
    const { catalog, relations, sink } = this.#deps;
    const { whole, part } = catalog.truncated(relationOids);
    for (const table of whole) {
      const schemaId = relations.schemaIdOf(table);
      if (schemaId === undefined) throw disorder(`truncated ${table} without describing it first`);
      if (this.#beginInSink()) sink.truncate(schemaId);
    }
    for (const table of part) sink.reread(table, 'a part of the table was truncated', true);
  }
}

function disorder(what: string): TailraceError {
  return new TailraceError('SRC_PROTOCOL', { message: `The server ${what}.` });
}
