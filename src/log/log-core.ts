/** The state of an open log that its writer, retention and readers share. Only the writer and retention change it. */
import type { Seq } from '../change/seq.ts';
import type { LogCondition, LogStats } from '../connector/log-store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Disk } from '../runtime/disk.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { foldRegisters } from './frame-meta.ts';
import type { EncodedDraft, EncodedGroup } from './group.ts';
import type { LogIdentity } from './identity.ts';
import { noRoom } from './log-error.ts';
import { durableSeqOf, type LogView } from './log-view.ts';
import { Notice } from './notice.ts';
import { RecentFrames } from './recent-frames.ts';
import type { IndexEntry } from './segment-footer.ts';
import type { SegmentList } from './segment.ts';

export class LogCore implements LogView {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly directory: string;
  readonly identity: LogIdentity;
  readonly segments: SegmentList;
  readonly registers: Map<string, Uint8Array>;
  readonly recent = new RecentFrames();
  tailIndex: readonly IndexEntry[];
  readonly #appends = new Notice();
  #condition: LogCondition = 'ok';
  #closed = false;

  constructor(runtime: Runtime, directory: string, identity: LogIdentity, segments: SegmentList, registers: Map<string, Uint8Array>, tailIndex: readonly IndexEntry[]) {
    this.disk = runtime.disk;
    this.clock = runtime.clock;
    this.logger = runtime.logger;
    this.directory = directory;
    this.identity = identity;
    this.segments = segments;
    this.registers = registers;
    this.tailIndex = tailIndex;
  }

  get condition(): LogCondition {
    return this.#condition;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get appends(): number {
    return this.#appends.count;
  }

  get durableSeq(): Seq {
    return durableSeqOf(this);
  }

  setCondition(condition: LogCondition): void {
    if (condition === this.#condition) return;
    this.#condition = condition;
    if (condition === 'ok') this.logger.info('log_ok');
    else this.logger.warn(`log_${condition}`, { error: noRoom(condition, this.directory, this.segments.bytes), bytes: this.segments.bytes });
  }

  /** Makes a durable group visible. */
  publish(drafts: readonly EncodedDraft[], group: EncodedGroup, appendTimeMs: number): void {
    const { ordinal } = this.segments.last;
    const { epoch } = this.identity;
    this.segments.grow(group.bytes);
    for (const [i, encoded] of drafts.entries()) {
      const place = group.places[i];
      if (place === undefined) continue;
      foldRegisters(this.registers, encoded.draft.registers);
      this.recent.add(ordinal, place, encoded, epoch, appendTimeMs);
    }
  }

  /** Wakes everybody who waits for more. */
  announce(): void {
    this.#appends.happened();
  }

  moreThan(seen: number, signal: AbortSignal): Promise<void> {
    return this.#appends.since(seen, signal);
  }

  close(): void {
    this.#closed = true;
    this.#appends.happened();
  }
}

/** The numbers of a log, whether it is written or only looked at. */
export function statsOf(view: LogView, condition: LogCondition, holds: LogStats['holds']): LogStats {
  const { identity, segments } = view;
  let oldestMs: number | null = null;
  for (const segment of segments) {
    if (segment.frames === 0) continue;
    oldestMs = segment.firstAppendMs;
    break;
  }
  return {
    logId: identity.logId,
    epoch: identity.epoch,
    firstSeq: segments.first.firstSeq,
    durableSeq: durableSeqOf(view),
    bytes: segments.bytes,
    segments: segments.length,
    oldestMs,
    condition,
    holds,
  };
}
