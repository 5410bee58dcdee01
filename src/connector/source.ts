/**
 * What a source connector implements. A source reads: it writes nothing to the database but its own place in the history
 * (a slot and a publication on Postgres), and it holds no lock and no long transaction.
 *
 * Words: a `position` is opaque bytes to the engine and ordered by the source (`comparePositions`); a `table` is the logical table's
 * full name without the source, `schema.table`.
 */
import type { Op } from '../change/operation.ts';
import type { DeclaredSchema } from '../change/schema.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Finding } from './finding.ts';
import type { RowFormat } from './row-format.ts';

export interface TableRequest {
  readonly table: string;
  /** Columns that identify a row, from the config; undefined means the table's primary key or replica identity. */
  readonly key?: readonly string[] | undefined;
}

export interface TableDescription {
  readonly table: string;
  readonly schema: DeclaredSchema;
  /** The server's own estimate; null when it has none. */
  readonly estimatedRows: number | null;
}

export interface TransactionStart {
  readonly id: bigint;
  /** Position of its commit. Strictly greater than that of every transaction before it. */
  readonly position: Uint8Array;
  readonly commitTimeMs: number;
}

/**
 * Where a source's stream pushes what it reads; capture implements it. Calls are synchronous and copy what they are given.
 * Order of calls: (`begin`, (`change` | `truncate`)*, `commit`)*, with `declare` anywhere and `heartbeat` between transactions.
 */
export interface ChangeSink {
  /** The id of a schema; the same shape gets the same id. To be called before the first change that has it. */
  declare(schema: DeclaredSchema): number;
  begin(transaction: TransactionStart): void;
  /**
   * One row. `key` is an encoded key (`src/change/key.ts`) of `keyLength` bytes; the row lies in `bytes` from `rowStart` to `rowEnd`
   * and is empty for deletes. `incomplete`: the row lacks columns that the source did not send; capture asks `completeRows` for them.
   * A change of key is two calls, delete with `EntryFlag.keyChanged` and then the upsert.
   */
  change(op: Op, flags: number, schemaId: number, key: Uint8Array, keyLength: number, bytes: Uint8Array, rowStart: number, rowEnd: number, incomplete: boolean): void;
  /** Everything that the table held before is gone. */
  truncate(schemaId: number): void;
  /** The transaction is complete; the stream may be resumed from `resume`. */
  commit(resume: Uint8Array): void;
  /** Between transactions: everything that concerns us up to `resume` has been pushed. */
  heartbeat(resume: Uint8Array): void;
  /**
   * Rows changed without changes in the stream (DDL that rewrites, a partition attached or emptied): capture reads the table again and, with
   * `sweep`, removes what the source no longer has.
   */
  reread(table: string, reason: string, sweep: boolean): void;
  /**
   * What the source wants to find again at its next connect (`ConnectRequest.resume.state`), in its own bytes. It replaces what was remembered
   * before, and becomes durable behind everything that was pushed and every reread that was asked for.
   */
  remember(state: Uint8Array): void;
  /** True while the engine holds as much as it may: the source stops reading its socket, and goes on when `drained` resolves. */
  readonly congested: boolean;
  drained(): Promise<void>;
}

/** A row that capture asks to be completed. */
export interface IncompleteRow {
  readonly schemaId: number;
  readonly schema: DeclaredSchema;
  readonly key: Uint8Array;
  readonly row: Uint8Array;
}

/**
 * Which rows of a table are read. Keys are encoded (`src/change/key.ts`) and differ from each other; a predicate is a condition in the source's own
 * language, SQL for a database that speaks it, over the table's columns by their names.
 */
export type Selection = { readonly kind: 'all' } | { readonly kind: 'keys'; readonly keys: readonly Uint8Array[] } | { readonly kind: 'where'; readonly predicate: string };

/**
 * Rows of a chunk, without an object for each. Row `i` lies in `bytes` from `offsets[i]` to `offsets[i + 1]`, its key in `keyBytes` from
 * `keyOffsets[i]` to `keyOffsets[i + 1]`; both lists of offsets have one number more than there are rows.
 */
export interface Chunk {
  readonly schema: DeclaredSchema;
  readonly keyBytes: Uint8Array;
  readonly keyOffsets: readonly number[];
  readonly bytes: Uint8Array;
  readonly offsets: readonly number[];
  /** Of a range of keys: those that were looked for here and that no row has. Empty for other ranges. */
  readonly absentKeys: readonly Uint8Array[];
  /** Where the range's next chunk begins; null when the range is read to its end. */
  readonly next: Uint8Array | null;
  /** A position at or after everything that the chunk shows. */
  readonly high: Uint8Array;
}

export interface ChunkRequest {
  readonly table: string;
  /** From `planRanges`, or `Chunk.next` of the chunk before. */
  readonly range: Uint8Array;
  readonly rowBytesMax: number;
}

/**
 * Reads tables chunk by chunk beside the stream. Each chunk is one short consistent read, with proof that every transaction which the
 * session pushed into the sink before `readChunk` was called is visible in it; otherwise the reader waits and reads again.
 */
export interface SnapshotReader {
  /**
   * Looks, before anything starts, whether these rows can be asked for, and how many they may be: null when the source cannot say. Rejects with
   * SRC_SELECTION, by name and place, for keys that are none of the table's and for a predicate that is none or that would do more than to read.
   */
  checkSelection(table: string, selection: Selection, signal: AbortSignal): Promise<number | null>;
  /**
   * Disjoint ranges that cover the selected rows as the table holds them now, about `parallel` of them or more; opaque, durable, usable after a restart.
   * A range carries what it needs of the selection: its keys, of which it has a bounded number, or the predicate.
   */
  planRanges(table: string, parallel: number, selection: Selection, signal: AbortSignal): Promise<Uint8Array[]>;
  /**
   * Resolves to `replan` when the table was rewritten so that the range means nothing any more; never for a range of keys. Rejects with SRC_SELECTION
   * when the selection turns out to be none: reading again would not help, and nothing but this selection is concerned.
   */
  readChunk(request: ChunkRequest, signal: AbortSignal): Promise<Chunk | 'replan'>;
}

/** How the source stands, asked from time to time over a connection of its own. */
export interface SourceHead {
  /** The newest position of the source's history. */
  readonly position: Uint8Array;
  /** Wall clock of the source. */
  readonly nowMs: number;
  /** Bytes of history that the source keeps because of us. */
  readonly retainedBytes: number | null;
  /** Bytes of history until the source will drop what we need; null when there is no such limit. */
  readonly bytesUntilLoss: number | null;
  /** Sentences about what holds the source up that is not ours: a transaction open for hours, say. */
  readonly notes: readonly string[];
}

export interface SourceSession extends AsyncDisposable {
  /** What positions belong to. State that was written under another identity is never used. */
  readonly identity: string;
  readonly tables: readonly TableDescription[];
  /** Where the stream begins: `resume`, or for a new reader the start of its history, which no change precedes that a snapshot might miss. */
  readonly start: Uint8Array;
  readonly snapshots: SnapshotReader;
  /**
   * Streams into the sink until the signal is aborted (resolves) or something fails (rejects with a catalogued error).
   * Transactions at or before `start` are not pushed again; one that was pushed in part is pushed again from its first change.
   */
  stream(sink: ChangeSink, signal: AbortSignal): Promise<void>;
  /** Everything up to `position` is durable: the source may forget it. Never called with a position that is not. */
  confirm(position: Uint8Array): void;
  /** Asks the stream for a heartbeat soon: something waits for it to pass a position. */
  nudge(): void;
  /**
   * Completes rows by a read that is proven to see everything pushed so far. `gone` for a row that is no longer there:
   * its delete is on the way.
   */
  completeRows(rows: readonly IncompleteRow[], signal: AbortSignal): Promise<(Uint8Array | 'gone')[]>;
  head(signal: AbortSignal): Promise<SourceHead>;
  /**
   * Looks now for what the stream says nothing of by itself: tables whose rows are others without a change of any row. Resolves when everything that was found by then was given to
   * `reread`. A source whose stream tells all has none of it.
   */
  lookAround?(signal: AbortSignal): Promise<void>;
}

/**
 * What is kept of first starts, durably, until there is a resume point: whose history was set out to be begun. What a first start finds at the
 * source is its own when an earlier attempt noted it here, and may be somebody else's when none did.
 */
export interface Beginnings {
  has(identity: string): boolean;
  /** To be called before the source makes anything that outlives the connection. */
  note(identity: string, signal: AbortSignal): Promise<void>;
}

export interface ConnectRequest {
  readonly beginnings: Beginnings;
  readonly tables: readonly TableRequest[];
  /**
   * Resume point, the identity it was written under, and what the source last gave to `remember` (null when it never did); null for the first
   * start, which may create what the source needs.
   */
  readonly resume: { readonly position: Uint8Array; readonly identity: string; readonly state: Uint8Array | null } | null;
  /**
   * Which of these transactions the log holds. Asked at most once for each connection, before it streams, with every transaction that an earlier
   * connection may have pushed and that is in progress still: what the log has by then is looked through for no other one later.
   */
  readonly logged: (ids: ReadonlySet<bigint>, signal: AbortSignal) => Promise<ReadonlySet<bigint>>;
}

/** What connecting would find, and what it would make. */
export interface SourceOutlook {
  /** Tables that cannot be read are left out: `check` says why. */
  readonly tables: readonly TableOutlook[];
  /** Statements that it would run at the source, in their order. */
  readonly statements: readonly string[];
}

export interface TableOutlook extends TableDescription {
  /** Of what a snapshot reads; null when the server does not say. */
  readonly estimatedBytes: number | null;
}

export interface Source extends AsyncDisposable {
  readonly name: string;
  readonly format: RowFormat;
  /** Preflight: nothing is changed. */
  check(tables: readonly TableRequest[], signal: AbortSignal): Promise<Finding[]>;
  /** What the tables look like now, without a session and without changing anything. Tables that cannot be read are left out: `check` says why. */
  describe(tables: readonly TableRequest[], signal: AbortSignal): Promise<TableDescription[]>;
  /** What connecting would make, said beforehand: nothing is changed. `isFirst`: nothing of the source is in the log. A source without it makes nothing. */
  foresee?(tables: readonly TableRequest[], isFirst: boolean, signal: AbortSignal): Promise<SourceOutlook>;
  connect(request: ConnectRequest, signal: AbortSignal): Promise<SourceSession>;
  /** < 0, 0, > 0 as `a` is before, equal to, after `b`. */
  comparePositions(a: Uint8Array, b: Uint8Array): number;
  /** Bytes of source history between two positions. */
  bytesBetween(from: Uint8Array, to: Uint8Array): number;
  /** As a person of that database writes it: `0/16B3748`. */
  formatPosition(position: Uint8Array): string;
  /** Removes what the source keeps for us (slot, publication that we made). Only ever on an explicit command. */
  dropHistory(signal: AbortSignal): Promise<void>;
}

export interface SourceContext {
  readonly name: string;
  readonly runtime: Runtime;
}
