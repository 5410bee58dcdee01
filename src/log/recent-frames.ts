/** The newest durable frames as they were appended, so that readers at the head neither read nor check what is still in memory. */
import type { Frame } from '../connector/log-store.ts';
import type { FramePlace } from './group.ts';

/** How much is kept, and what a frame and a transaction cost beyond the entries' bytes. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024;
const FRAME_OVERHEAD_BYTES = 512;
const TRANSACTION_BYTES = 128;

export interface RecentFrame {
  readonly frame: Frame;
  /** Segment that the place is in. */
  readonly ordinal: number;
  readonly place: FramePlace;
}

export class RecentFrames {
  /** In the order of the log; what is before `#start` has been given up. */
  #frames: (RecentFrame | undefined)[] = [];
  #start = 0;
  #bytes = 0;

  add(recent: RecentFrame): void {
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

function costOf({ frame }: RecentFrame): number {
  return frame.entries.length + frame.transactions.length * TRANSACTION_BYTES + FRAME_OVERHEAD_BYTES;
}
