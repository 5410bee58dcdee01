/**
 * Reads durable frames in order, across segments, while the writer goes on in front and retention follows behind. Everything that comes from the
 * disk is checked on the way; what is damaged is an error, never data and never the end of the log.
 */
import { join } from 'node:path';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type Frame, type LogReader } from '../connector/log-store.ts';
import { invariant } from '../errors/invariant.ts';
import { systemCodeOf } from '../errors/system-code.ts';
import type { DiskFile } from '../runtime/disk.ts';
import { FrameRole } from './format.ts';
import { FrameScanner, type FrameFound, type ScanStart } from './frame-scanner.ts';
import { closedError, corrupt, diskFailed, gap } from './log-error.ts';
import { durableSeqOf, marksOf, type LogView } from './log-view.ts';
import { indexEntryBefore, readFooter } from './sealed-segment.ts';
import type { Segment } from './segment.ts';
import { frameOf } from './recent-frames.ts';
import { entriesOf, StoredFrame } from './stored-frame.ts';

interface Place {
  segment: Segment;
  readonly file: DiskFile;
  readonly scanner: FrameScanner;
  /** Frames that only set registers may have been removed just before this segment: its header, which has all that are in force, stands for them. */
  mayHaveMissed: boolean;
}

const NOTHING = Buffer.alloc(0);

export class SegmentReader implements LogReader {
  readonly #view: LogView;
  readonly #after: Seq;
  #place: Place | undefined;
  #busy = false;
  #closed = false;

  constructor(view: LogView, after: Seq) {
    this.#view = view;
    this.#after = after;
  }

  async next(signal: AbortSignal): Promise<Frame> {
    for (;;) {
      signal.throwIfAborted();
      const seen = this.#view.appends;
      const frame = await this.poll();
      if (frame !== undefined) return frame;
      await this.#view.moreThan(seen, signal);
    }
  }

  async poll(): Promise<Frame | undefined> {
    invariant(!this.#busy, 'a reader is asked for one frame at a time');
    if (this.#closed || this.#view.closed) throw closedError();
    this.#busy = true;
    try {
      return await this.#poll();
    } catch (error) {
      throw diskFailed(`Reading the change log in ${this.#view.directory}`, error);
    } finally {
      this.#busy = false;
      if (this.#closed) await this.#leave();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (!this.#busy) await this.#leave();
  }

  async #leave(): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    try {
      await place?.file.close();
    } catch (error) {
      throw diskFailed('Closing a segment', error);
    }
  }

  async #poll(): Promise<Frame | undefined> {
    this.#place ??= await this.#start();
    for (;;) {
      // A log that is only looked at may have been looked at anew.
      this.#place.segment = this.#view.segments.byOrdinal(this.#place.segment.ordinal) ?? this.#place.segment;
      const frame = this.#fromMemory(this.#place) ?? (await this.#fromDisk(this.#place));
      if (frame === 'end of segment') {
        const next = await this.#nextPlace(this.#place);
        if (next === undefined) return undefined;
        this.#place = next;
      } else if (frame === undefined || isBehind(frame, this.#after)) return frame;
    }
  }

  #fromMemory({ segment, scanner }: Place): Frame | undefined {
    const recent = this.#view.recent?.at(segment.ordinal, scanner.offset);
    if (recent === undefined || recent.place.prevCrc !== (scanner.prevCrc ?? recent.place.prevCrc)) return undefined;
    scanner.skipTo(recent.place.end, recent.place.crc, recent.place.lastSeq + 1);
    return frameOf(recent);
  }

  /** Undefined at the head of the log. */
  async #fromDisk(place: Place): Promise<Frame | 'end of segment' | undefined> {
    const { segment, scanner } = place;
    for (;;) {
      const scan = await this.#read(segment, scanner);
      if (scan === undefined) return segment.sealed ? 'end of segment' : undefined;
      if (scan.head.role === FrameRole.footer) return 'end of segment';
      if (scan.head.role === FrameRole.header) {
        if (!place.mayHaveMissed || scan.head.registerCount === 0) continue;
        place.mayHaveMissed = false;
        return new StoredFrame({ ...scan.head, kind: FrameKind.control }, scan.meta, NOTHING);
      }
      try {
        return new StoredFrame(scan.head, scan.meta, entriesOf(scan.head, scan.body));
      } catch (error) {
        throw corrupt(placeOf(segment, scan.head.offset, scan.head.firstSeq), 'the frame cannot be decoded', error);
      }
    }
  }

  async #read(segment: Segment, scanner: FrameScanner): Promise<FrameFound | undefined> {
    const scan = await scanner.next(segment.bytes);
    if (scan.kind === 'frame') return scan;
    if (scan.kind === 'end') return undefined;
    throw corrupt(placeOf(segment, scan.offset, scanner.seq ?? segment.firstSeq), scan.reason);
  }

  async #start(): Promise<Place> {
    const { segments } = this.#view;
    for (;;) {
      const durableSeq = durableSeqOf(this.#view);
      if (this.#after < segments.first.firstSeq - 1 || this.#after > durableSeq) throw gap(this.#after, segments.first.firstSeq, durableSeq);
      const segment = segments.holding(this.#after);
      const file = await this.#openIfKept(segment);
      if (file === undefined) continue;
      try {
        return this.#placeAt(segment, file, await this.#startIn(segment, file), segment.firstSeq === this.#after + 1);
      } catch (error) {
        await file.close();
        throw error;
      }
    }
  }

  /** The last frame before which nothing behind `after` begins. */
  async #startIn(segment: Segment, file: DiskFile): Promise<ScanStart> {
    const marks = marksOf(this.#view.identity, segment.ordinal);
    const index = segment.sealed ? (await readFooter(file, segment.name, marks, segment.bytes)).footer.index : this.#view.tailIndex;
    return indexEntryBefore(index, this.#after) ?? headerOf(segment);
  }

  /** Undefined when the segment is the last one. */
  async #nextPlace({ segment, file }: Place): Promise<Place | undefined> {
    const { segments } = this.#view;
    while (segment.ordinal !== segments.last.ordinal) {
      // Segments without changes may have been removed in front of a reader that is held. What they set stands in the next header.
      const next = segments.byOrdinal(segment.ordinal + 1) ?? segments.first;
      if (next.firstSeq !== segment.nextSeq) throw gap(segment.nextSeq - 1, segments.first.firstSeq, durableSeqOf(this.#view));
      const nextFile = await this.#openIfKept(next);
      if (nextFile === undefined) continue;
      await file.close();
      return this.#placeAt(next, nextFile, headerOf(next), next.ordinal !== segment.ordinal + 1);
    }
    return undefined;
  }

  #placeAt(segment: Segment, file: DiskFile, start: ScanStart, mayHaveMissed: boolean): Place {
    return { segment, file, scanner: new FrameScanner(file, marksOf(this.#view.identity, segment.ordinal), start), mayHaveMissed };
  }

  /** Undefined when retention was faster. */
  async #openIfKept(segment: Segment): Promise<DiskFile | undefined> {
    try {
      return await this.#view.disk.open(join(this.#view.directory, segment.name), 'read');
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
      if (this.#view.segments.byOrdinal(segment.ordinal) === undefined) return undefined;
      throw corrupt(placeOf(segment, 0, segment.firstSeq), 'the file is missing', error);
    }
  }
}

/** A frame is wanted when it has changes behind `after`, or when it has none and the changes behind `after` come later. */
function isBehind(frame: Frame, after: Seq): boolean {
  return Math.max(frame.lastSeq, frame.firstSeq) > after;
}

function headerOf(segment: Segment): ScanStart {
  return { offset: 0, prevCrc: segment.prevCrc, seq: segment.firstSeq };
}

function placeOf(segment: Segment, offset: number, firstSeq: Seq): { segment: string; offset: number; firstSeq: Seq; lastSeq: Seq } {
  return { segment: segment.name, offset, firstSeq, lastSeq: segment.nextSeq - 1 };
}
