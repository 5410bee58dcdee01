/** The newest durable frames, so that readers at the head neither read nor check what is still in memory. */
import type { Frame } from '../connector/log-store.ts';
import type { EncodedDraft, FramePlace } from './group.ts';
import { entriesOf, StoredFrame, type FrameFacts } from './stored-frame.ts';

/** How much is kept, and what a frame costs beyond its bytes. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024;
const FRAME_OVERHEAD_BYTES = 512;

export interface RecentFrame {
  /** Segment that the place is in. */
  readonly ordinal: number;
  readonly place: FramePlace;
  readonly facts: FrameFacts;
  readonly meta: Buffer;
  /** As it is stored. */
  readonly body: Buffer;
}

/** As a reader of the disk would see it. */
export function frameOf({ facts, meta, body }: RecentFrame): Frame {
  return new StoredFrame(facts, meta, entriesOf(facts, body));
}

export class RecentFrames {
  /** In the order of the log; what is before `#start` has been given up. */
  #frames: (RecentFrame | undefined)[] = [];
  #start = 0;
  #bytes = 0;

  /** Frames too large to have been copied are not kept: they are read back from the system's cache. */
  add(ordinal: number, place: FramePlace, { draft, meta, flags }: EncodedDraft, epoch: number, appendTimeMs: number): void {
    if (place.copy === undefined) return;
    const { kind, snapshot, count, registers, transactions, entries } = draft;
    const facts = {
      kind,
      snapshot,
      count,
      firstSeq: place.firstSeq,
      epoch,
      appendTimeMs,
      registerCount: registers.length,
      transactionCount: transactions.length,
      flags,
      rawLength: entries.length,
    };
    const recent = { ordinal, place, facts, meta, body: place.copy };
    this.#frames.push(recent);
    this.#bytes += costOf(recent);
    while (this.#bytes > RECENT_BYTES_MAX) this.#giveUpOldest();
    if (this.#start > 1024 && this.#start > this.#frames.length / 2) {
      this.#frames = this.#frames.slice(this.#start);
      this.#start = 0;
    }
  }

  /** The frame that lies at this place of the log, if it is still here. */
  at(ordinal: number, offset: number): RecentFrame | undefined {
    let low = this.#start;
    let high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const candidate = this.#frames[middle] as RecentFrame;
      if (candidate.ordinal < ordinal || (candidate.ordinal === ordinal && candidate.place.offset < offset)) low = middle + 1;
      else high = middle;
    }
    const found = this.#frames[low];
    return found?.ordinal === ordinal && found.place.offset === offset ? found : undefined;
  }

  #giveUpOldest(): void {
    const oldest = this.#frames[this.#start];
    this.#frames[this.#start] = undefined;
    this.#start += 1;
    if (oldest !== undefined) this.#bytes -= costOf(oldest);
  }
}

function costOf({ meta, body }: RecentFrame): number {
  return body.length + meta.length + FRAME_OVERHEAD_BYTES;
}
