/** Reads the last segment from its header to the end of what is whole, folding what the frames say; later it can go on where it ended. */
import { join } from 'node:path';
import { invariant } from '../errors/invariant.ts';
import type { Disk, DiskFile } from '../runtime/disk.ts';
import { FrameRole } from './format.ts';
import type { FrameHead } from './frame-head.ts';
import { decodeMeta, foldRegisters } from './frame-meta.ts';
import { FrameScanner, type FrameFound, type ScanStart, type SegmentMarks } from './frame-scanner.ts';
import { findProofOfDamage } from './frame-search.ts';
import type { LogIdentity } from './identity.ts';
import { corrupt } from './log-error.ts';
import { marksOf, noteInIndex } from './log-view.ts';
import type { SegmentFileName } from './sealed-segment.ts';
import type { IndexEntry } from './segment-footer.ts';
import type { Segment } from './segment.ts';

export interface Tail {
  readonly segment: Segment;
  readonly index: IndexEntry[];
  /** In force behind the last frame. */
  readonly registers: Map<string, Uint8Array>;
  /** Checksum of the registers in its header. */
  readonly headerRegistersCrc: number;
  /** Where the last write began. */
  readonly lastWriteStart: number;
  /** Bytes behind the last frame: the torn rest of a write that never became durable, or of one that is on its way. */
  readonly tornBytes: number;
}

type Stop = { readonly kind: 'end' } | { readonly kind: 'damage'; readonly offset: number; readonly reason: string };

export class TailScan {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #marks: SegmentMarks;
  readonly #name: SegmentFileName;
  readonly #index: IndexEntry[] = [];
  readonly #registers = new Map<string, Uint8Array>();
  #segment: Segment | undefined;
  #headerRegistersCrc = 0;
  #lastWriteStart = 0;

  constructor(disk: Disk, directory: string, identity: LogIdentity, name: SegmentFileName) {
    this.#disk = disk;
    this.#path = join(directory, name.name);
    this.#marks = marksOf(identity, name.ordinal);
    this.#name = name;
  }

  /**
   * Reads on to the end. Undefined when there is no header yet and nothing behind it. Rejects with LOG_CORRUPT when something is damaged that was
   * durable once: a later write proves it.
   */
  async goOn(): Promise<Tail | undefined> {
    const file = await this.#disk.open(this.#path, 'read');
    try {
      for (;;) {
        const size = await file.size();
        const stop = await this.#scan(file, size);
        if (stop.kind === 'end') return this.#tail(0);
        const proof = await findProofOfDamage(file, this.#marks, stop.offset, size);
        if (proof === undefined) return this.#tail(size - stop.offset);
        // Beside a running daemon the rest of a write may have come in between; what is damaged stays so.
        const again = await this.#scan(file, await file.size());
        if (again.kind === 'damage' && again.offset === stop.offset) throw this.#damaged(again.offset, again.reason, proof);
      }
    } finally {
      await file.close();
    }
  }

  async #scan(file: DiskFile, size: number): Promise<Stop> {
    const { bytes, endCrc, nextSeq } = this.#segment ?? {};
    const start: ScanStart = { offset: bytes ?? 0, prevCrc: endCrc, seq: nextSeq ?? this.#name.firstSeq };
    if (this.#segment?.sealed) return start.offset === size ? { kind: 'end' } : { kind: 'damage', offset: start.offset, reason: 'something follows the footer' };
    const scanner = new FrameScanner(file, this.#marks, start);
    for (;;) {
      const scan = await scanner.next(size);
      if (scan.kind !== 'frame') return scan;
      this.#fold(scan);
    }
  }

  #fold({ head, meta, end }: FrameFound): void {
    foldRegisters(this.#registers, decodeMeta(meta, head.registerCount).registers);
    this.#lastWriteStart = head.writeStart;
    if (head.role === FrameRole.header) {
      this.#headerRegistersCrc = head.metaCrc;
      this.#segment = { ...this.#name, prevCrc: head.prevCrc, nextSeq: head.firstSeq, bytes: end, sealed: false, endCrc: head.crc, frames: 0, firstAppendMs: 0, lastAppendMs: 0 };
      return;
    }
    const segment = this.#segment;
    invariant(segment !== undefined, 'the first frame of a segment is its header');
    segment.bytes = end;
    segment.endCrc = head.crc;
    segment.nextSeq = head.firstSeq + head.count;
    segment.sealed = head.role === FrameRole.footer;
    if (head.role !== FrameRole.data) return;
    noteInIndex(this.#index, { seq: head.firstSeq, offset: head.offset, prevCrc: head.prevCrc });
    if (segment.frames === 0) segment.firstAppendMs = head.appendTimeMs;
    segment.lastAppendMs = head.appendTimeMs;
    segment.frames += 1;
  }

  #tail(tornBytes: number): Tail | undefined {
    if (this.#segment === undefined) return undefined;
    return {
      segment: this.#segment,
      index: this.#index,
      registers: this.#registers,
      headerRegistersCrc: this.#headerRegistersCrc,
      lastWriteStart: this.#lastWriteStart,
      tornBytes,
    };
  }

  #damaged(offset: number, reason: string, proof: FrameHead): Error {
    const firstSeq = this.#segment?.nextSeq ?? this.#name.firstSeq;
    const place = { segment: this.#name.name, offset, firstSeq, lastSeq: Math.max(firstSeq, proof.firstSeq) - 1 };
    return corrupt(place, `${reason}, and at byte ${proof.offset} there is a frame that was written later`);
  }
}
