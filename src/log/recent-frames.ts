/** The newest durable frames as they were appended, so that readers at the head neither read nor check what is still in memory. */
import type { Frame } from '../connector/log-store.ts';
import type { FramePlace } from './group.ts';

/** How much is kept, and what a frame costs beyond its entries. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024;
const FRAME_OVERHEAD_BYTES = 512;

export interface RecentFrame {
  readonly frame: Frame;
  readonly place: FramePlace;
}

export class RecentFrames {
  /** By `ordinal:offset`, oldest first. */
  readonly #frames = new Map<string, RecentFrame>();
  #bytes = 0;

  add(ordinal: number, recent: RecentFrame): void {
    this.#frames.set(keyOf(ordinal, recent.place.offset), recent);
    this.#bytes += costOf(recent);
    for (const [key, oldest] of this.#frames) {
      if (this.#bytes <= RECENT_BYTES_MAX) break;
      this.#frames.delete(key);
      this.#bytes -= costOf(oldest);
    }
  }

  at(ordinal: number, offset: number): RecentFrame | undefined {
    return this.#frames.get(keyOf(ordinal, offset));
  }
}

function keyOf(ordinal: number, offset: number): string {
  return `${ordinal}:${offset}`;
}

function costOf({ frame }: RecentFrame): number {
  return frame.entries.length + frame.transactions.length * 100 + FRAME_OVERHEAD_BYTES;
}
