/** A frame as it was read back: checked bytes, decoded as far as everybody needs it. */
import { zstdDecompressSync } from 'node:zlib';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type Frame, type FrameTransaction, type RegisterUpdate } from '../connector/log-store.ts';
import { FrameFlag } from './format.ts';
import type { FrameHead } from './frame-head.ts';
import { decodeMeta, decodeTransactions } from './frame-meta.ts';

/** What a frame's head says that its readers care for. */
export type FrameFacts = Pick<FrameHead, 'kind' | 'snapshot' | 'count' | 'firstSeq' | 'epoch' | 'appendTimeMs' | 'registerCount' | 'transactionCount' | 'flags' | 'rawLength'>;

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

  /** Throws RangeError when facts and meta do not fit each other. */
  constructor(facts: FrameFacts, meta: Buffer) {
    const { source, registers, transactionsAt } = decodeMeta(meta, facts.registerCount);
    this.kind = kindOf(facts.kind);
    this.source = source;
    this.snapshot = facts.snapshot;
    this.count = facts.count;
    this.registers = registers;
    this.firstSeq = facts.firstSeq;
    this.lastSeq = facts.firstSeq + facts.count - 1;
    this.epoch = facts.epoch;
    this.appendTimeMs = facts.appendTimeMs;
    this.#meta = meta;
    this.#transactionsAt = transactionsAt;
    this.#transactionCount = facts.transactionCount;
  }

  /** Decoded at the first use: a frame of small transactions has as many as it has entries, and most readers want none of them. */
  get transactions(): readonly FrameTransaction[] {
    this.#transactions ??= decodeTransactions(this.#meta, this.#transactionsAt, this.#transactionCount);
    return this.#transactions;
  }
}

/** A whole frame. */
export class StoredFrame extends FrameHeader implements Frame {
  readonly entries: Uint8Array;

  /** Throws RangeError when facts and meta do not fit each other. */
  constructor(facts: FrameFacts, meta: Buffer, entries: Uint8Array) {
    super(facts, meta);
    this.entries = entries;
  }
}

/** The entries of a data frame's body: the body itself, or what it decompresses to. Throws when it is not what the head says. */
export function entriesOf(head: Pick<FrameHead, 'flags' | 'rawLength'>, body: Buffer): Buffer {
  const entries = (head.flags & FrameFlag.zstd) === 0 ? body : zstdDecompressSync(body, { maxOutputLength: head.rawLength });
  if (entries.length !== head.rawLength) throw new RangeError('the body has not the length that the head says');
  return entries;
}

function kindOf(kind: number): FrameKind {
  if (kind !== FrameKind.stream && kind !== FrameKind.snapshot && kind !== FrameKind.control) throw new RangeError(`the frame has the unknown kind ${kind}`);
  return kind;
}
