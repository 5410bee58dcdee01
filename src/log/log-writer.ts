/**
 * The one place where the log grows. Appends queue in the order of the calls; whenever no write is in flight, all that is queued (up to a limit) goes
 * to disk as one group: one write, one datasync. Only then does anybody see it.
 *
 * No room (ENOSPC, or the log's own size limit): the queue waits in order and nothing is lost. Any other failure of the disk: nothing is known of what
 * was written, so the log takes nothing more; a datasync that failed is never tried again, because the system may report success for pages it dropped.
 */
import type { FrameDraft } from '../connector/log-store.ts';
import { invariant } from '../errors/invariant.ts';
import { AppendQueue, type Appended, type PendingAppend } from './append-queue.ts';
import type { LogCompression } from './format.ts';
import { encodeDraft, type EncodedGroup } from './group.ts';
import type { LogCore } from './log-core.ts';
import { closedError, isNoSpace } from './log-error.ts';
import type { Retention } from './retention.ts';
import { SegmentWriter } from './segment-writer.ts';

/** What goes to disk in one write at most, unless a single frame is larger. */
export const GROUP_BYTES_MAX = 4 * 1024 * 1024;
export const GROUP_FRAMES_MAX = 4096;

/** So much is written without waiting for more. */
const AT_ONCE_BYTES = 64 * 1024;

/** Between two looks at a disk that was full. */
export const DISK_FULL_PAUSE_MS = 1000;

/** A file that somebody removed takes writes as before: whether it is still in its place is looked at when the last look is this old. */
export const PLACE_CHECK_EVERY_MS = 2_000;

export interface WriterLimits {
  readonly segmentBytes: number;
  readonly segmentMaxAgeMs: number;
  readonly compression: LogCompression;
}

export class LogWriter {
  readonly #core: LogCore;
  readonly #limits: WriterLimits;
  readonly #retention: Retention;
  readonly #queue: AppendQueue;
  /** Aborted when the log failed or is closed: whatever the writer waits for, it waits no longer. */
  readonly #stop = new AbortController();
  /** Undefined when the last segment is sealed and the next is not there yet. */
  #active: SegmentWriter | undefined;
  /** True while a write is in flight, or something else that an append has to wait for. */
  #busy = false;
  #running: Promise<void> | undefined;
  #startsSoon = false;
  #lastGroupBytes = 0;
  #placeCheckedMs: number;
  #failure: { readonly error: unknown } | undefined;

  constructor(core: LogCore, limits: WriterLimits, retention: Retention, active: SegmentWriter | undefined) {
    this.#core = core;
    this.#limits = limits;
    this.#retention = retention;
    this.#active = active;
    this.#placeCheckedMs = core.clock.monotonicMs();
    this.#queue = new AppendQueue(() => retention.changes.happened());
  }

  async append(draft: FrameDraft, signal: AbortSignal): Promise<Appended> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#isStopped) throw closedError();
    const appended = this.#queue.push(encodeDraft(draft, this.#limits.compression), signal);
    this.#start();
    return await appended;
  }

  /** Ends the log for writing: all that is queued and all that comes is rejected. */
  fail(error: unknown): void {
    if (this.#failure === undefined) {
      this.#failure = { error };
      this.#core.logger.error('log_failed', { error });
      this.#stop.abort(error);
    }
    this.#queue.rejectAll(this.#failure.error);
  }

  /** Waits for the write that is in flight; what is still queued is rejected. */
  async close(): Promise<void> {
    this.#stop.abort(closedError());
    await this.#running;
    invariant(!this.#busy, 'nothing is in flight when the log is closed');
    this.#queue.rejectAll(closedError());
    const active = this.#active;
    this.#active = undefined;
    await active?.close();
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /**
   * Writes at once when as much waits as half of what was written last: then the other half is made ready while the disk works, and the two take turns.
   * Less waits until the end of the turn for company, so that what is appended together becomes durable together.
   */
  #start(): void {
    if (this.#busy) return;
    if (this.#queue.bytes >= Math.max(AT_ONCE_BYTES, this.#lastGroupBytes / 2)) {
      this.#go();
      return;
    }
    if (this.#startsSoon) return;
    this.#startsSoon = true;
    queueMicrotask(() => {
      this.#startsSoon = false;
      if (!this.#busy) this.#go();
    });
  }

  /** Goes on with what waits, if there is anything. */
  #go(): void {
    this.#busy = this.#queue.length > 0 && !this.#isStopped;
    if (this.#busy) this.#running = this.#run();
  }

  /** Works until a group is written, which then goes on with the next, or until nothing waits. */
  async #run(): Promise<void> {
    try {
      while (this.#queue.length > 0 && !this.#isStopped) if (await this.#step()) return;
    } catch (error) {
      this.fail(error);
    }
    this.#busy = false;
    // A write that found no room may have put its frames back after the log had failed.
    if (this.#failure !== undefined) this.#queue.rejectAll(this.#failure.error);
  }

  /** True when a group was written. */
  async #step(): Promise<boolean> {
    try {
      const active = this.#roomNow(this.#queue.nextBytes) ?? (await this.#roomFor(this.#queue.nextBytes));
      if (active === undefined || this.#queue.length === 0 || this.#isStopped) return false;
      await this.#writeGroup(active);
      return true;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      await this.#waitForDisk();
      return false;
    }
  }

  async #writeGroup(active: SegmentWriter): Promise<void> {
    const segmentRest = this.#limits.segmentBytes - active.segment.bytes;
    const logRest = this.#retention.limits.maxBytes - this.#core.segments.bytes;
    const group = this.#queue.take(Math.min(GROUP_BYTES_MAX, segmentRest, logRest), GROUP_FRAMES_MAX);
    const drafts = group.map(({ encoded }) => encoded);
    const nowMs = this.#core.clock.nowMs();
    let written: EncodedGroup;
    try {
      if (this.#core.clock.monotonicMs() - this.#placeCheckedMs >= PLACE_CHECK_EVERY_MS) await this.#checkPlace(active);
      written = await active.append(drafts, nowMs);
      active.published(written, nowMs);
      this.#core.publish(drafts, written, nowMs);
    } catch (error) {
      if (isNoSpace(error)) this.#queue.putBack(group);
      else for (const pending of group) pending.reject(error);
      throw error;
    }
    this.#lastGroupBytes = written.bytes;
    // The disk gets its next work before anybody is told: whoever is told has work of its own.
    this.#go();
    this.#tell(group, written);
  }

  #tell(group: readonly PendingAppend[], written: EncodedGroup): void {
    this.#core.setCondition('ok');
    for (const [i, pending] of group.entries()) {
      const place = written.places[i];
      if (place !== undefined) pending.resolve({ firstSeq: place.firstSeq, lastSeq: place.lastSeq });
    }
    this.#core.announce();
  }

  /** The segment that is being written, if a frame of this size fits into it and into the log: then the write begins without a pause. */
  #roomNow(frameBytes: number): SegmentWriter | undefined {
    const active = this.#active;
    if (active === undefined || this.#isOver(active, frameBytes)) return undefined;
    return this.#core.segments.bytes + frameBytes <= this.#retention.limits.maxBytes ? active : undefined;
  }

  /** The segment to write to, once a frame of this size fits; undefined when it is worth asking again. */
  async #roomFor(frameBytes: number): Promise<SegmentWriter | undefined> {
    let active = this.#active ?? (await this.#begin());
    if (this.#isOver(active, frameBytes)) active = await this.#roll(active);
    const { segments } = this.#core;
    const { maxBytes, onFull } = this.#retention.limits;
    const fits = (): boolean => segments.bytes + frameBytes <= maxBytes;
    const seen = this.#retention.changes.count;
    if (fits() || (await this.#retention.makeRoom(fits, onFull === 'evict'))) return active;
    // The segment that is being written may be all that is in the way; sealed, it can go.
    if (active.segment.frames > 0 && this.#retention.couldRelease(active.segment)) {
      await this.#roll(active);
      return undefined;
    }
    // A frame larger than the limit would wait for ever: it is let in when the log holds nothing else.
    if (segments.length === 1 && active.segment.frames === 0) return active;
    this.#core.setCondition('full');
    await this.#retention.changes.since(seen, this.#stop.signal).catch(ignoreStop);
    return undefined;
  }

  async #checkPlace(active: SegmentWriter): Promise<void> {
    await active.checkPlace();
    this.#placeCheckedMs = this.#core.clock.monotonicMs();
  }

  #isOver({ segment }: SegmentWriter, frameBytes: number): boolean {
    if (segment.frames === 0) return false;
    return segment.bytes + frameBytes > this.#limits.segmentBytes || this.#core.clock.nowMs() - segment.firstAppendMs >= this.#limits.segmentMaxAgeMs;
  }

  async #roll(active: SegmentWriter): Promise<SegmentWriter> {
    await this.#checkPlace(active);
    const footer = await active.seal(this.#core.registers, this.#core.clock.nowMs());
    this.#core.segments.seal(footer.bytes, footer.crc);
    this.#active = undefined;
    await active.close();
    const next = await this.#begin();
    this.#retention.sweep();
    return next;
  }

  async #begin(): Promise<SegmentWriter> {
    const { disk, directory, identity, segments, registers, clock } = this.#core;
    const { ordinal, nextSeq, endCrc } = segments.last;
    const next = await SegmentWriter.create(disk, directory, identity, { ordinal: ordinal + 1, seq: nextSeq, prevCrc: endCrc, registers, nowMs: clock.nowMs() });
    segments.add(next.segment);
    this.#core.tailIndex = next.index;
    this.#active = next;
    return next;
  }

  /** Resolves when the disk seems to have room again. What no hold needs makes room at once, whatever its age. */
  async #waitForDisk(): Promise<void> {
    const { segments, disk, directory, clock } = this.#core;
    this.#core.setCondition('disk_full');
    const { bytes } = segments;
    await this.#retention.makeRoom(() => false, false);
    if (segments.bytes < bytes) return;
    while (!this.#isStopped) {
      await clock.sleep(DISK_FULL_PAUSE_MS, this.#stop.signal).catch(ignoreStop);
      if (this.#isStopped) return;
      // When the system cannot tell, the next write will.
      const freeBytes = await disk.freeBytes(directory).catch(() => Number.POSITIVE_INFINITY);
      if (freeBytes < this.#queue.nextBytes) continue;
      if (this.#queue.length === 0) this.#core.setCondition('ok');
      return;
    }
  }
}

/** The signal only ends the waiting; whoever waited looks at it next. */
function ignoreStop(): void {}
