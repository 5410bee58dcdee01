/** The newest durable frames, so that readers at the head neither read nor check what is still in memory. */
import type { Frame } from '../connector/log-store.ts';
import type { EncodedDraft, FramePlace } from './group.ts';
import { StoredFrame, type FrameFacts } from './stored-frame.ts';

/** How much is kept, and what a frame costs beyond its bytes. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024;
const FRAME_OVERHEAD_BYTES = 512;

/** Larger frames come under load only, when nobody waits for a single one: they are read back from the system's cache. */
const KEPT_ENTRIES_BYTES_MAX = 64 * 1024;

export interface RecentFrame {
  /** Segment that the place is in. */
  readonly ordinal: number;
  readonly place: FramePlace;
  readonly facts: FrameFacts;
  readonly meta: Buffer;
  readonly entries: Buffer;
}

/** As a reader of the disk would see it. */
export function frameOf({ facts, meta, entries }: RecentFrame): Frame {
  return new StoredFrame(facts, meta, entries);
}

export class RecentFrames {
  /** In the order of the log; what is before `#start` has been given up. */
  #frames: (RecentFrame | undefined)[] = [];
  #start = 0;
  #bytes = 0;

  /** Takes a copy, because the bytes of the entries go back to whoever appended them. */
  add(ordinal: number, place: FramePlace, { draft, meta }: EncodedDraft, epoch: number, appendTimeMs: number): void {
    if (draft.entries.length > KEPT_ENTRIES_BYTES_MAX) return;
    const { kind, snapshot, count, registers, transactions } = draft;
    const facts = { kind, snapshot, count, firstSeq: place.firstSeq, epoch, appendTimeMs, registerCount: registers.length, transactionCount: transactions.length };
    const recent = { ordinal, place, facts, meta, entries: Buffer.from(draft.entries) };
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

function costOf({ meta, entries }: RecentFrame): number {
  return entries.length + meta.length + FRAME_OVERHEAD_BYTES;
}
