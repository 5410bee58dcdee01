/**
 * Collects frames into a batch with the last change per key. What a later change of the same key, or a truncate, makes pointless is counted
 * as superseded and never built.
 *
 * Changes are views of the buffers that frames were read into, and a view keeps its whole buffer in memory: a megabyte, for a row of a hundred
 * bytes. So the buffers are counted, and when they are much larger than what is wanted of them, that is copied out and they are let go.
 */
import { EntryCursor } from '../change/entry.ts';
import { Op } from '../change/operation.ts';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type Frame } from '../connector/log-store.ts';

/** The buffers behind a batch's changes are at most this many times as large as the changes, and this much. */
export const HELD_FACTOR = 2;
export const HELD_SLACK_BYTES = 4 * 1024 * 1024;

/** The last change of one key: views of a frame's buffer, or of the batch's own. */
export interface PendingChange {
  readonly seq: Seq;
  readonly op: Op;
  readonly schemaId: number;
  readonly key: Buffer;
  readonly row: Buffer;
}

/** Tells the batch which entries are this index's. */
export interface Interest {
  /** The index's own source: only its commits tell how far the index is. */
  readonly source: string;
  /** True for schemas of the index's own table. */
  hasSchema(schemaId: number): boolean;
  /** True for snapshots whose rows the generation takes. */
  takesSnapshot(source: string, snapshot: number): boolean;
}

export class ChangeBatch {
  readonly changes = new Map<string, PendingChange>();
  /** Seq of the last truncate in the batch; every change in `changes` is behind it. */
  clearedAt: Seq | null = null;
  /** Everything up to here has been looked at. */
  through: Seq;
  /** Entries of this index that were read. */
  read = 0;
  superseded = 0;
  /** Of keys and rows in `changes`. */
  bytes = 0;
  /** Wall clock of the index's source at the newest commit in the batch. */
  commitTimeMs: number | null = null;
  /** Every buffer that `changes` may have views of, and more: one is not taken out when the last change in it is superseded. */
  readonly #held = new Set<ArrayBufferLike>();
  #heldBytes = 0;

  constructor(through: Seq) {
    this.through = through;
  }

  /** True when nothing has to be done to the target. */
  get isEmpty(): boolean {
    return this.changes.size === 0 && this.clearedAt === null;
  }

  /** Takes the entries of a frame that are behind `through`. */
  add(frame: Frame, interest: Interest): void {
    const isTaken = frame.kind !== FrameKind.snapshot || interest.takesSnapshot(frame.source, frame.snapshot);
    if (isTaken && frame.count > 0) this.#addEntries(frame, interest);
    if (this.#heldBytes > HELD_FACTOR * this.bytes + HELD_SLACK_BYTES) this.#copyOut();
    this.through = Math.max(this.through, frame.lastSeq);
    if (frame.source === interest.source) this.commitTimeMs = frame.transactions.at(-1)?.commitTimeMs ?? this.commitTimeMs;
  }

  #addEntries(frame: Frame, interest: Interest): void {
    const entries = new EntryCursor(frame.entries, frame.firstSeq);
    let lastSchemaId = -1;
    let isOurs = false;
    while (entries.next()) {
      const { seq, op, schemaId } = entries;
      if (seq <= this.through) continue;
      if (schemaId !== lastSchemaId) {
        lastSchemaId = schemaId;
        isOurs = interest.hasSchema(schemaId);
      }
      if (!isOurs) continue;
      this.read += 1;
      if (op === Op.truncate) {
        this.superseded += this.changes.size + (this.clearedAt === null ? 0 : 1);
        this.changes.clear();
        this.clearedAt = seq;
        this.bytes = 0;
        continue;
      }
      const key = entries.key();
      const row = entries.row();
      const text = key.toString('latin1');
      const before = this.changes.get(text);
      if (before !== undefined) {
        this.superseded += 1;
        this.bytes -= before.key.length + before.row.length;
      }
      this.changes.set(text, { seq, op, schemaId, key, row });
      this.bytes += key.length + row.length;
      this.#hold(key.buffer);
    }
  }

  #hold(buffer: ArrayBufferLike): void {
    if (this.#held.has(buffer)) return;
    this.#held.add(buffer);
    this.#heldBytes += buffer.byteLength;
  }

  /** Each copy follows upon reading more than it copies, and half of the slack: the work stays in proportion to what is read. */
  #copyOut(): void {
    const own = Buffer.allocUnsafeSlow(this.bytes);
    let at = 0;
    const taken = (bytes: Buffer): Buffer => {
      const start = at;
      at += bytes.copy(own, start);
      return own.subarray(start, at);
    };
    for (const [text, change] of this.changes) this.changes.set(text, { ...change, key: taken(change.key), row: taken(change.row) });
    this.#held.clear();
    this.#heldBytes = 0;
    this.#hold(own.buffer);
  }
}
