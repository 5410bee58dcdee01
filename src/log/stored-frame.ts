/** A frame as it was read back: checked bytes, decoded as far as everybody needs it. */
import { zstdDecompressSync } from 'node:zlib';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type Frame, type FrameTransaction, type RegisterUpdate } from '../connector/log-store.ts';
import { BODY_BYTES_MAX, FrameFlag } from './format.ts';
import type { FrameHead } from './frame-head.ts';
import { decodeMeta, decodeTransactions } from './frame-meta.ts';

/** What can be known of a frame without its entries. */
export class FrameHeader {
  readonly kind: FrameKind;
  readonly source: string;
  readonly snapshot: number;
  readonly count: number;
  readonly registers: readonly RegisterUpdate[];
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  readonly epoch: number;
  readonly appendTimeMs: number;
  readonly #meta: Buffer;
  readonly #transactionsAt: number;
  readonly #transactionCount: number;
  #transactions: readonly FrameTransaction[] | undefined;

  /** Throws RangeError when head and meta do not fit each other. */
  constructor(head: FrameHead, meta: Buffer) {
    const { source, registers, transactionsAt } = decodeMeta(meta, head.registerCount);
    this.kind = kindOf(head.kind);
    this.source = source;
    this.snapshot = head.snapshot;
    this.count = head.count;
    this.registers = registers;
    this.firstSeq = head.firstSeq;
    this.lastSeq = head.firstSeq + head.count - 1;
    this.epoch = head.epoch;
    this.appendTimeMs = head.appendTimeMs;
    this.#meta = meta;
    this.#transactionsAt = transactionsAt;
    this.#transactionCount = head.transactionCount;
  }

  /** Decoded at the first use: a frame of small transactions has as many as it has entries, and most readers want none of them. */
  get transactions(): readonly FrameTransaction[] {
    this.#transactions ??= decodeTransactions(this.#meta, this.#transactionsAt, this.#transactionCount);
    return this.#transactions;
  }
}

/** A whole frame. `entries` is a view of what was read, or of what was decompressed. */
export class StoredFrame extends FrameHeader implements Frame {
  readonly entries: Uint8Array;

  /** Throws RangeError when the parts do not fit each other. */
  constructor(head: FrameHead, meta: Buffer, body: Buffer) {
    super(head, meta);
    this.entries = rawBody(head, body);
  }
}

function kindOf(kind: number): FrameKind {
  if (kind !== FrameKind.stream && kind !== FrameKind.snapshot && kind !== FrameKind.control) throw new RangeError(`the frame has the unknown kind ${kind}`);
  return kind;
}

function rawBody(head: FrameHead, body: Buffer): Buffer {
  if ((head.flags & FrameFlag.zstd) === 0) {
    if (head.rawLength !== body.length) throw new RangeError('the body has not the length that the head says');
    return body;
  }
  const raw = zstdDecompressSync(body, { maxOutputLength: Math.min(head.rawLength, BODY_BYTES_MAX) });
  if (raw.length !== head.rawLength) throw new RangeError('the body decompresses to another length than the head says');
  return raw;
}
