/**
 * Finds the changes of one row in the log, which has no index by key: it is read once, newest segment first, so that who wants the last few changes
 * is done early, and up to a bound. It may be read beside a daemon that writes and shortens it.
 */
import { schemaOfRegister } from '../capture/schema-registry.ts';
import { EntryCursor, EntryFlag } from '../change/entry.ts';
import { Op } from '../change/operation.ts';
import type { RowSchema } from '../change/schema.ts';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type Frame, type FrameTransaction } from '../connector/log-store.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import type { ReadOnlyLog } from '../log/read-only.ts';

export interface RowChange {
  readonly seq: Seq;
  readonly op: Op;
  /** The first half of a change of key: the row goes on under another key. */
  readonly keyChanged: boolean;
  readonly rowBytes: number;
  /** Number of the snapshot that read the row; null for a change of the stream. */
  readonly snapshot: number | null;
  /** Null for rows of a snapshot. */
  readonly transaction: Pick<FrameTransaction, 'id' | 'position' | 'commitTimeMs'> | null;
}

export interface RowChangesRequest {
  readonly source: string;
  readonly table: string;
  readonly key: Uint8Array;
  /** Changes before this seq are not looked for. */
  readonly first: Seq;
  /** Most changes; the newest are kept. */
  readonly limit: number;
}

export interface RowChanges {
  /** Oldest first, truncates of the table among them: they are changes of every row. */
  readonly changes: readonly RowChange[];
  /** Everything from here to `readTo` was looked at. */
  readonly readFrom: Seq;
  readonly readTo: Seq;
}

/** Told now and then how many of how many changes have been looked at. */
export type OnLooked = (done: number, total: number) => void;

/** Rejects with the signal's reason, or with LOG_CORRUPT or DISK_FAILED. */
export async function rowChanges(request: RowChangesRequest, log: ReadOnlyLog, signal: AbortSignal, onLooked: OnLooked = () => {}): Promise<RowChanges> {
  const readTo = log.durableSeq;
  const first = Math.max(request.first, log.firstSeq);
  const search = new RowSearch(request, log.registers);
  let readFrom = readTo + 1;
  let changes: readonly RowChange[] = [];
  // The newest segment may grow meanwhile; what comes behind `readTo` is left to the next look.
  for (const { firstSeq, nextSeq } of [...log.segments].toReversed()) {
    const wanted = { first: Math.max(first, firstSeq), last: Math.min(nextSeq - 1, readTo) };
    if (wanted.last < first || changes.length >= request.limit) break;
    if (wanted.last < wanted.first) continue;
    const found = await keptOnly(log, firstSeq, async () => search.within(log, wanted, request.limit - changes.length, signal, (seq) => onLooked(readTo - readFrom + 1 + (seq - wanted.first + 1), readTo - first + 1)));
    if (found === undefined) break;
    changes = [...found.changes, ...changes];
    readFrom = found.readFrom;
    if (readFrom > wanted.first) break;
  }
  return { changes, readFrom, readTo };
}

/** A change's row as the log holds it, with its schema; undefined when the log does not hold it any more. */
export async function rowAt(log: ReadOnlyLog, seq: Seq): Promise<{ readonly schema: RowSchema | undefined; readonly row: Buffer } | undefined> {
  if (seq < log.firstSeq || seq > log.durableSeq) return undefined;
  return keptOnly(log, seq, async () => {
    await using reader = log.reader(seq - 1);
    for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) {
      const entries = new EntryCursor(frame.entries, frame.firstSeq);
      while (entries.next()) if (entries.seq === seq) return { schema: schemasIn(log.registers).get(entries.schemaId), row: entries.row() };
    }
    return undefined;
  });
}

/**
 * What `read` finds, or undefined when retention has removed `seq` meanwhile. The log knows of that only when it is looked at anew; what begins just
 * behind what was removed is there, and read again.
 */
async function keptOnly<T>(log: ReadOnlyLog, seq: Seq, read: () => Promise<T>): Promise<T | undefined> {
  for (;;) {
    const { firstSeq } = log;
    if (firstSeq > seq) return undefined;
    try {
      return await read();
    } catch (error) {
      const code = codeOf(error);
      if (code !== 'DISK_FAILED' && code !== 'LOG_CORRUPT' && code !== 'LOG_GAP') throw error;
      await log.refresh();
      // Where the log begins where it did, the file is not missing but damaged.
      if (log.firstSeq === firstSeq) throw error;
    }
  }
}

function schemasIn(registers: ReadonlyMap<string, Uint8Array>): ReadonlyMap<number, RowSchema> {
  const schemas = new Map<number, RowSchema>();
  for (const register of registers) {
    const schema = schemaOfRegister(register);
    if (schema !== undefined) schemas.set(schema.id, schema);
  }
  return schemas;
}

class RowSearch {
  readonly #request: RowChangesRequest;
  readonly #key: Buffer;
  /** Ids of the table's schemas. A schema stays in the registers for as long as the log. */
  readonly #schemas: ReadonlySet<number>;

  constructor(request: RowChangesRequest, registers: ReadonlyMap<string, Uint8Array>) {
    const { source, table, key } = request;
    this.#request = request;
    this.#key = Buffer.from(key);
    this.#schemas = new Set([...schemasIn(registers).values()].filter((schema) => schema.source === source && schema.table === table).map(({ id }) => id));
  }

  /** The newest changes, at most `limit`, from `first` to `last`, which one segment holds. `readFrom` is behind `first` when there are more. */
  async within(log: ReadOnlyLog, { first, last }: { first: Seq; last: Seq }, limit: number, signal: AbortSignal, onLooked: (seq: Seq) => void): Promise<{ changes: RowChange[]; readFrom: Seq }> {
    let changes: RowChange[] = [];
    let readFrom = first;
    await using reader = log.reader(first - 1);
    for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) {
      signal.throwIfAborted();
      if (frame.source === this.#request.source) this.#take(frame, first, last, changes);
      if (changes.length > limit) {
        changes = changes.slice(-limit);
        readFrom = changes[0]?.seq ?? last + 1;
      }
      onLooked(Math.min(frame.lastSeq, last));
      if (frame.lastSeq >= last) break;
    }
    return { changes, readFrom };
  }

  #take(frame: Frame, first: Seq, last: Seq, into: RowChange[]): void {
    const entries = new EntryCursor(frame.entries, frame.firstSeq);
    const bytes = Buffer.from(frame.entries.buffer, frame.entries.byteOffset, frame.entries.byteLength);
    const key = this.#key;
    while (entries.next()) {
      const { seq, keyStart, keyEnd } = entries;
      if (entries.op !== Op.truncate && (keyEnd - keyStart !== key.length || key.compare(bytes, keyStart, keyEnd) !== 0)) continue;
      if (seq < first || seq > last || !this.#schemas.has(entries.schemaId)) continue;
      into.push(changeOf(frame, entries));
    }
  }
}

function changeOf(frame: Frame, { seq, op, flags, keyEnd, rowEnd }: EntryCursor): RowChange {
  const isSnapshot = frame.kind === FrameKind.snapshot;
  const transaction = isSnapshot ? undefined : frame.transactions.findLast(({ firstEntry }) => firstEntry <= seq - frame.firstSeq);
  return {
    seq,
    op,
    keyChanged: (flags & EntryFlag.keyChanged) !== 0,
    rowBytes: rowEnd - keyEnd,
    snapshot: isSnapshot ? frame.snapshot : null,
    // A copy: the table of transactions is a view of the buffer that the frame was read into.
    transaction: transaction === undefined ? null : { id: transaction.id, position: Buffer.from(transaction.position), commitTimeMs: transaction.commitTimeMs },
  };
}
