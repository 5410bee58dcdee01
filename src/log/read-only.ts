/**
 * The change log as somebody sees it who does not write it: the command line, beside a running daemon or without one. Nothing is changed, not even healed;
 * what is not whole at the end is "not there yet". Beside a daemon the newest frames may be seen a moment before they are durable.
 */
import type { Seq } from '../change/seq.ts';
import type { LogReader, LogStats } from '../connector/log-store.ts';
import { systemCodeOf } from '../errors/system-code.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { Disk } from '../runtime/disk.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { frameHeaders, type HeaderOrder } from './frame-headers.ts';
import { readIdentity, type LogIdentity } from './identity.ts';
import { diskFailed, openingFailed } from './log-error.ts';
import { statsOf } from './log-core.ts';
import { durableSeqOf, type LogView } from './log-view.ts';
import { SegmentReader } from './reader.ts';
import type { IndexEntry } from './segment-footer.ts';
import type { SegmentList } from './segment.ts';
import type { FrameHeader } from './stored-frame.ts';
import { listSegments, surveyLog, type Survey } from './survey.ts';
import { TailScan, type Tail } from './tail-scan.ts';

/** Between two looks at a log that somebody waits for. */
export const REFRESH_PAUSE_MS = 250;

/** Retention may remove segments while they are looked at; then the look begins again, this often. */
const SURVEY_ATTEMPTS_MAX = 10;

export class ReadOnlyLog implements LogView, AsyncDisposable {
  readonly disk: Disk;
  readonly directory: string;
  readonly identity: LogIdentity;
  readonly recent = undefined;
  readonly #clock: Clock;
  #segments: SegmentList;
  #tail: Tail;
  #scan: TailScan;
  #appends = 0;
  #closed = false;
  #refreshing: Promise<void> | undefined;

  constructor(runtime: Runtime, directory: string, identity: LogIdentity, survey: Survey) {
    this.disk = runtime.disk;
    this.#clock = runtime.clock;
    this.directory = directory;
    this.identity = identity;
    this.#segments = survey.segments;
    this.#tail = survey.tail;
    this.#scan = survey.scan;
  }

  get logId(): string {
    return this.identity.logId;
  }

  get epoch(): number {
    return this.identity.epoch;
  }

  get segments(): SegmentList {
    return this.#segments;
  }

  get tailIndex(): readonly IndexEntry[] {
    return this.#tail.index;
  }

  get firstSeq(): Seq {
    return this.#segments.first.firstSeq;
  }

  /** Last seq of the last whole frame. */
  get durableSeq(): Seq {
    return durableSeqOf(this);
  }

  get registers(): ReadonlyMap<string, Uint8Array> {
    return this.#tail.registers;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get appends(): number {
    return this.#appends;
  }

  /** `next` looks at the log again every `REFRESH_PAUSE_MS`. */
  reader(after: Seq): LogReader {
    return new SegmentReader(this, after);
  }

  frameHeaders(order: HeaderOrder): AsyncGenerator<FrameHeader, void, void> {
    return frameHeaders(this, order);
  }

  /** Condition and holds are the daemon's: here they are always `ok` and none. */
  stats(): LogStats {
    return statsOf(this, 'ok', []);
  }

  /** Takes in what has changed since. Rejects with LOG_CORRUPT or DISK_FAILED. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async moreThan(seen: number, signal: AbortSignal): Promise<void> {
    while (this.#appends <= seen) {
      await this.#clock.sleep(REFRESH_PAUSE_MS, signal);
      await this.refresh();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#appends += 1;
    return Promise.resolve();
  }

  async #refresh(): Promise<void> {
    try {
      await this.#goOn();
    } catch (error) {
      // Retention, or a daemon that took a write back, has changed what was known: the truth is seen from the beginning, damage as well.
      if (systemCodeOf(error) !== 'ENOENT' && codeOf(error) !== 'LOG_CORRUPT') throw diskFailed(`Reading the change log in ${this.directory}`, error);
      await this.#startAgain();
    }
  }

  async #goOn(): Promise<void> {
    const { segment } = this.#tail;
    const before = segment.bytes;
    const files = await listSegments(this.disk, this.directory);
    const names = new Set(files.map(({ name }) => name));
    if (!names.has(segment.name)) {
      await this.#startAgain();
      return;
    }
    while (!names.has(this.#segments.first.name)) this.#segments.removeFirst();
    await this.#scan.goOn();
    for (let next = files.find(({ ordinal }) => ordinal === this.#tail.segment.ordinal + 1); next !== undefined && this.#tail.segment.sealed; ) {
      const scan = new TailScan(this.disk, this.directory, this.identity, next);
      const tail = await scan.goOn();
      if (tail === undefined) break;
      this.#segments.add(tail.segment);
      this.#tail = tail;
      this.#scan = scan;
      const { ordinal: last } = next;
      next = files.find(({ ordinal }) => ordinal === last + 1);
    }
    if (this.#tail.segment !== segment || segment.bytes > before) this.#appends += 1;
  }

  async #startAgain(): Promise<void> {
    const { segments, tail, scan } = await surveyBeside(this.disk, this.directory, this.identity);
    this.#segments = segments;
    this.#tail = tail;
    this.#scan = scan;
    this.#appends += 1;
  }
}

/** Rejects with STATE_IDENTITY when there is no log in the folder, with LOG_CORRUPT, STATE_TOO_NEW, STATE_FORBIDDEN or DISK_FAILED. */
export async function openLogReadOnly(directory: string, runtime: Runtime): Promise<ReadOnlyLog> {
  try {
    const identity = await readIdentity(runtime.disk, directory);
    if (identity === undefined) throw new TailraceError('STATE_IDENTITY', { message: `There is no change log in ${directory}.`, entity: directory });
    return new ReadOnlyLog(runtime, directory, identity, await surveyBeside(runtime.disk, directory, identity));
  } catch (error) {
    throw openingFailed(`Opening the change log in ${directory}`, error);
  }
}

async function surveyBeside(disk: Disk, directory: string, identity: LogIdentity): Promise<Survey> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await surveyLog(disk, directory, identity);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT' || attempt === SURVEY_ATTEMPTS_MAX) throw openingFailed(`Reading the change log in ${directory}`, error);
    }
  }
}
