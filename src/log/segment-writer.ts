/**
 * Writes one segment: header, groups of frames, footer. Each method that writes resolves only when what it wrote is durable. It rejects with
 * the system's ENOSPC when there was no room, and the segment then is as before; with DISK_FAILED in all other cases, and nothing is known then.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Seq } from '../change/seq.ts';
import type { Disk, DiskFile } from '../runtime/disk.ts';
import { FrameRole, HEAD_BYTES } from './format.ts';
import type { SegmentMarks } from './frame-scanner.ts';
import { encodeMeta, encodeRegisters } from './frame-meta.ts';
import { encodeFraming, encodeGroup, type EncodedDraft, type EncodedGroup, type GroupStart } from './group.ts';
import type { LogIdentity } from './identity.ts';
import { diskFailed, displaced, isNoSpace } from './log-error.ts';
import { marksOf, noteInIndex } from './log-view.ts';
import { encodeFooter, type IndexEntry } from './segment-footer.ts';
import { segmentName, type Segment } from './segment.ts';

export interface SegmentBeginning {
  readonly ordinal: number;
  readonly seq: Seq;
  readonly prevCrc: number;
  /** All that are in force. */
  readonly registers: ReadonlyMap<string, Uint8Array>;
  readonly nowMs: number;
}

export class SegmentWriter {
  readonly segment: Segment;
  /** Sparse index of what is durable. */
  readonly index: IndexEntry[];
  readonly #file: DiskFile;
  readonly #directory: string;
  readonly #marks: SegmentMarks;

  constructor(file: DiskFile, directory: string, identity: LogIdentity, segment: Segment, index: IndexEntry[]) {
    this.segment = segment;
    this.index = index;
    this.#file = file;
    this.#directory = directory;
    this.#marks = marksOf(identity, segment.ordinal);
  }

  /** Makes the file with its header; both are durable when this resolves, the name included. */
  static async create(disk: Disk, directory: string, identity: LogIdentity, beginning: SegmentBeginning): Promise<SegmentWriter> {
    const { ordinal, seq, prevCrc, registers, nowMs } = beginning;
    const name = segmentName(seq, ordinal);
    const path = join(directory, name);
    const start: GroupStart = { marks: marksOf(identity, ordinal), offset: 0, prevCrc, seq, appendTimeMs: nowMs };
    const header = encodeFraming(
      { role: FrameRole.header, meta: encodeRegisters(registers), registerCount: registers.size, body: Buffer.from(identity.logId) },
      start,
    );
    const file = await orDiskFailed(`Creating ${name}`, disk.open(path, 'create'));
    try {
      await file.write([header.bytes], 0);
    } catch (error) {
      await neverNoSpace(`Closing ${name}`, file.close());
      if (!isNoSpace(error)) throw diskFailed(`Writing ${name}`, error);
      await neverNoSpace(`Removing ${name}`, disk.remove(path));
      throw error;
    }
    await neverNoSpace(`Syncing ${name}`, file.datasync());
    await neverNoSpace(`Syncing ${directory}`, disk.syncDirectory(directory));
    const segment: Segment = {
      name,
      ordinal,
      firstSeq: seq,
      prevCrc,
      nextSeq: seq,
      bytes: header.bytes.length,
      sealed: false,
      endCrc: header.crc,
      frames: 0,
      firstAppendMs: 0,
      lastAppendMs: 0,
    };
    return new SegmentWriter(file, directory, identity, segment, []);
  }

  /** Writes a group of frames behind what is there. To be followed by `published` before anything else is written. */
  async append(drafts: readonly EncodedDraft[], nowMs: number): Promise<EncodedGroup> {
    const group = encodeGroup(drafts, this.#startAt(nowMs));
    await this.#write(group.parts);
    return group;
  }

  /** Takes note that a group is durable, in one step with everything else that becomes visible with it. */
  published(group: EncodedGroup, nowMs: number): void {
    const { segment, index } = this;
    for (const place of group.places) noteInIndex(index, { seq: place.firstSeq, offset: place.offset, prevCrc: place.prevCrc });
    if (segment.frames === 0) segment.firstAppendMs = nowMs;
    segment.lastAppendMs = nowMs;
    segment.frames += group.places.length;
    segment.endCrc = group.endCrc;
    segment.nextSeq = group.nextSeq;
  }

  /** Rejects with LOG_CORRUPT when somebody took the file away: what is written to it would be gone at the next start. */
  async checkPlace(): Promise<void> {
    const { name } = this.segment;
    let isInPlace: boolean;
    try {
      isInPlace = await this.#file.isAt(join(this.#directory, name));
    } catch (error) {
      throw diskFailed(`Looking for ${name}`, error);
    }
    if (!isInPlace) throw displaced(this.#directory, name);
  }

  /** Writes the footer. `registers`: all in force behind the segment. */
  async seal(registers: ReadonlyMap<string, Uint8Array>, nowMs: number): Promise<{ readonly bytes: number; readonly crc: number }> {
    const { segment } = this;
    const meta = encodeMeta('', [], []);
    const { firstSeq, nextSeq, frames, firstAppendMs, lastAppendMs } = segment;
    const registersCrc = crc32(encodeRegisters(registers));
    const body = encodeFooter({ firstSeq, nextSeq, frames, firstAppendMs, lastAppendMs, registersCrc, index: this.index }, HEAD_BYTES + meta.length);
    const footer = encodeFraming({ role: FrameRole.footer, meta, registerCount: 0, body }, this.#startAt(nowMs));
    await this.#write([footer.bytes]);
    return { bytes: footer.bytes.length, crc: footer.crc };
  }

  async close(): Promise<void> {
    await neverNoSpace(`Closing ${this.segment.name}`, this.#file.close());
  }

  #startAt(appendTimeMs: number): GroupStart {
    const { bytes, endCrc, nextSeq } = this.segment;
    return { marks: this.#marks, offset: bytes, prevCrc: endCrc, seq: nextSeq, appendTimeMs };
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    const { name, bytes } = this.segment;
    try {
      await this.#file.write(parts, bytes);
    } catch (error) {
      if (!isNoSpace(error)) throw diskFailed(`Writing ${name}`, error);
      await neverNoSpace(`Truncating ${name}`, this.#file.truncate(bytes));
      throw error;
    }
    await neverNoSpace(`Syncing ${name}`, this.#file.datasync());
  }
}

async function orDiskFailed<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isNoSpace(error) ? error : diskFailed(doing, error);
  }
}

/** For what must never be tried again: after it failed, nobody knows what is on the disk, whatever the reason it gives. */
async function neverNoSpace(doing: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw diskFailed(doing, error);
  }
}
