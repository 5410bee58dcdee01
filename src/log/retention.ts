/**
 * Which segments may go, and removing them: whole sealed segments, oldest first, each made durable before the next, the last never.
 *
 * A segment may go when every hold is at or behind its last change and it is old enough. Without a hold nothing goes: who reads the log is not known
 * yet. At the size limit age counts no more; with `evict` neither do the slowest holds. Holds keep changes, not frames that only set registers: what
 * those said is in the registers.
 */
import { join } from 'node:path';
import type { Seq } from '../change/seq.ts';
import type { LogStats } from '../connector/log-store.ts';
import { diskFailed } from './log-error.ts';
import type { LogCore } from './log-core.ts';
import { Notice } from './notice.ts';
import type { Segment } from './segment.ts';

/** After a segment could not be removed. */
export const REMOVE_RETRY_MS = 10_000;

export interface RetentionLimits {
  /** A segment stays at least this long after its last append, unless the log is at its size limit. */
  readonly minAgeMs: number;
  /** Bytes of all segments. */
  readonly maxBytes: number;
  readonly onFull: 'block' | 'evict';
}

export class Retention {
  /** Happens when a hold moved or a segment went: a writer that found no room looks again. */
  readonly changes = new Notice();
  readonly limits: RetentionLimits;
  readonly #core: LogCore;
  readonly #onFailure: (error: unknown) => void;
  readonly #holds = new Map<string, Seq>();
  readonly #evicted = new Set<string>();
  readonly #evictionListeners = new Set<(name: string) => void>();
  #work: Promise<void> = Promise.resolve();
  #sweepWanted = false;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  /** `onFailure` is told when the folder could not be synced: then nothing may be written or removed any more. */
  constructor(core: LogCore, limits: RetentionLimits, holds: Iterable<readonly [name: string, seq: Seq]>, onFailure: (error: unknown) => void) {
    this.limits = limits;
    this.#core = core;
    this.#onFailure = onFailure;
    for (const [name, seq] of holds) this.#holds.set(name, seq);
  }

  /** Sets or moves a hold. One that was evicted stays so until it is released. */
  hold(name: string, seq: Seq): void {
    if (this.#evicted.has(name)) return;
    const before = this.#holds.get(name);
    this.#holds.set(name, seq);
    // The first call for a name removes nothing: after a start the slower holds may not have been set yet.
    if (before !== undefined && seq > before) this.sweep();
    this.changes.happened();
  }

  release(name: string): void {
    this.#evicted.delete(name);
    if (!this.#holds.delete(name)) return;
    this.sweep();
    this.changes.happened();
  }

  onEvicted(listener: (name: string) => void): () => void {
    this.#evictionListeners.add(listener);
    return () => this.#evictionListeners.delete(listener);
  }

  get holds(): LogStats['holds'] {
    return Array.from(this.#holds, ([name, seq]) => ({ name, seq }));
  }

  /** Removes what may go, in the background. Cheap when there is nothing. */
  sweep(): void {
    if (this.#sweepWanted || this.#stopped || !this.#isReleased(this.#core.segments.first)) return;
    this.#sweepWanted = true;
    this.#alone(async () => {
      this.#sweepWanted = false;
      while (this.#isReleased(this.#core.segments.first) && this.#isOldEnough(this.#core.segments.first)) {
        if (!(await this.#removeFirst())) return;
      }
    }).catch(this.#onFailure);
  }

  /** Removes released segments, whatever their age, until `fits` or nothing more may go; resolves to `fits()`. */
  makeRoom(fits: () => boolean, mayEvict: boolean): Promise<boolean> {
    return this.#alone(async () => {
      const { segments } = this.#core;
      while (!fits() && segments.length > 1) {
        if (!this.#isReleased(segments.first)) {
          if (!mayEvict) break;
          this.#evictBelow(segments.first.nextSeq - 1);
        }
        if (!(await this.#removeFirst())) break;
      }
      return fits();
    });
  }

  /** True when the last segment could go if it were sealed. */
  couldRelease(segment: Segment): boolean {
    return this.limits.onFull === 'evict' || this.#allBehind(segment);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#work;
  }

  #isReleased(segment: Segment): boolean {
    return segment.sealed && this.#core.segments.length > 1 && this.#allBehind(segment);
  }

  #allBehind(segment: Segment): boolean {
    if (this.#holds.size === 0) return false;
    const lastSeq = segment.nextSeq - 1;
    for (const seq of this.#holds.values()) if (seq < lastSeq) return false;
    return true;
  }

  /** Comes back by itself when a segment is only too young. */
  #isOldEnough(segment: Segment): boolean {
    const { clock } = this.#core;
    const waitMs = segment.lastAppendMs + this.limits.minAgeMs - clock.nowMs();
    if (waitMs <= 0) return true;
    this.#lookAgainIn(waitMs);
    return false;
  }

  #lookAgainIn(waitMs: number): void {
    this.#cancelTimer?.();
    if (this.#stopped) return;
    this.#cancelTimer = this.#core.clock.schedule(waitMs, () => {
      this.sweep();
      this.changes.happened();
    });
  }

  #evictBelow(lastSeq: Seq): void {
    for (const [name, seq] of this.#holds) {
      if (seq >= lastSeq) continue;
      this.#holds.delete(name);
      this.#evicted.add(name);
      this.#core.logger.warn('log_hold_evicted', { code: 'LOG_EVICTED', hold: name, seq });
      for (const listener of this.#evictionListeners) listener(name);
    }
  }

  /** False when the file could not be removed; it is tried again later. */
  async #removeFirst(): Promise<boolean> {
    const { disk, directory, segments, logger } = this.#core;
    if (this.#stopped) return false;
    // Readers must not look for the file once it may be gone.
    const segment = segments.removeFirst();
    try {
      await disk.remove(join(directory, segment.name));
    } catch (error) {
      segments.putBackFirst(segment);
      logger.warn('log_segment_not_removed', { segment: segment.name, error });
      this.#lookAgainIn(REMOVE_RETRY_MS);
      return false;
    }
    try {
      await disk.syncDirectory(directory);
    } catch (error) {
      this.#stopped = true;
      this.#onFailure(diskFailed(`Syncing ${directory}`, error));
      return false;
    }
    logger.debug('log_segment_removed', { segment: segment.name });
    if (this.#core.condition === 'full' && segments.bytes < this.limits.maxBytes) this.#core.setCondition('ok');
    this.changes.happened();
    return true;
  }

  /** Removals never overlap. An error reaches whoever asked for the work, not who comes next. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work);
    this.#work = done.then(nothing, nothing);
    return done;
  }
}

function nothing(): void {}
