/**
 * Finds out what a log's folder holds, without changing anything. Sealed segments are believed by their ends; the last segment is read whole. What can
 * only be the trace of a crash is reported to be healed; everything else that does not fit is LOG_CORRUPT.
 */
import { join } from 'node:path';
import { invariant } from '../errors/invariant.ts';
import type { Disk, DiskFile } from '../runtime/disk.ts';
import { FrameRole } from './format.ts';
import type { FrameHead } from './frame-head.ts';
import { decodeMeta, foldRegisters } from './frame-meta.ts';
import { FrameScanner, type FrameFound, type ScanStart } from './frame-scanner.ts';
import { findProofOfDamage } from './frame-search.ts';
import type { LogIdentity } from './identity.ts';
import { corrupt, corruptFolder } from './log-error.ts';
import { marksOf, noteInIndex } from './log-view.ts';
import { readSealedSegment, type SealedSegment, type SegmentFileName } from './sealed-segment.ts';
import type { IndexEntry } from './segment-footer.ts';
import { parseSegmentName, SegmentList, type Segment } from './segment.ts';

/** How many sealed segments are looked at side by side. */
const SURVEY_PARALLEL = 16;

/** The last segment, read whole. */
export interface Tail {
  readonly segment: Segment;
  readonly index: IndexEntry[];
  /** In force behind the last frame. */
  readonly registers: Map<string, Uint8Array>;
  /** Checksum of the registers in its header. */
  readonly headerRegistersCrc: number;
  /** Where the last write began. */
  readonly lastWriteStart: number;
  /** Bytes behind the last frame: the torn rest of a write that never became durable. */
  readonly tornBytes: number;
}

export interface Survey {
  readonly segments: SegmentList;
  readonly tail: Tail;
  /** A segment file that a crash left without a header. */
  readonly stillborn: string | undefined;
}

export async function listSegments(disk: Disk, directory: string): Promise<SegmentFileName[]> {
  const files: SegmentFileName[] = [];
  for (const name of await disk.list(directory)) {
    const parsed = parseSegmentName(name);
    if (parsed !== undefined) files.push({ name, ...parsed });
  }
  return files.toSorted((a, b) => a.ordinal - b.ordinal);
}

export async function surveyLog(disk: Disk, directory: string, identity: LogIdentity): Promise<Survey> {
  const files = await listSegments(disk, directory);
  for (const [i, file] of files.entries()) {
    const before = files[i - 1];
    if (before !== undefined && before.ordinal + 1 !== file.ordinal) throw corruptFolder(directory, `segments are missing between ${before.name} and ${file.name}`);
  }
  const last = files.at(-1);
  if (last === undefined) throw corruptFolder(directory, 'it has no segments');
  const sealed = await readSealed(disk, directory, identity, files);
  const tail = await readTail(disk, directory, identity, last);
  if (tail !== undefined) return joined(sealed, tail, undefined);
  const lastSealed = files.at(-2);
  if (lastSealed === undefined) throw corrupt({ segment: last.name, offset: 0, firstSeq: last.firstSeq, lastSeq: null }, 'its header cannot be read');
  const sealedTail = await readTail(disk, directory, identity, lastSealed);
  invariant(sealedTail?.segment.sealed, 'a segment with a footer is sealed');
  return joined(sealed.slice(0, -1), sealedTail, last.name);
}

function joined(sealed: readonly SealedSegment[], tail: Tail, stillborn: string | undefined): Survey {
  const segments = new SegmentList();
  let before: SealedSegment | undefined;
  for (const segment of sealed) {
    if (before !== undefined) checkFollows(before, segment, segment.headerRegistersCrc);
    segments.add(segment);
    before = segment;
  }
  if (before !== undefined) checkFollows(before, tail.segment, tail.headerRegistersCrc);
  segments.add(tail.segment);
  return { segments, tail, stillborn };
}

function checkFollows(before: SealedSegment, segment: Segment, headerRegistersCrc: number): void {
  const damaged = (reason: string): Error => corrupt({ segment: segment.name, offset: 0, firstSeq: segment.firstSeq, lastSeq: segment.nextSeq - 1 }, reason);
  if (segment.prevCrc !== before.endCrc || segment.firstSeq !== before.nextSeq) throw damaged(`it does not follow ${before.name}`);
  if (headerRegistersCrc !== before.registersCrc) throw damaged(`its registers are not those that ${before.name} ends with`);
}

/** All segments but the last. */
async function readSealed(disk: Disk, directory: string, identity: LogIdentity, files: readonly SegmentFileName[]): Promise<SealedSegment[]> {
  const segments: SealedSegment[] = [];
  for (let from = 0; from < files.length - 1; from += SURVEY_PARALLEL) {
    const some = files.slice(from, Math.min(from + SURVEY_PARALLEL, files.length - 1));
    const read = some.map((file, i) => readSealedSegment(disk, directory, file, marksOf(identity, file.ordinal), (files[from + i + 1]?.firstSeq ?? 1) - 1));
    segments.push(...(await Promise.all(read)));
  }
  return segments;
}

/** Undefined when the file has no header and nothing behind it: its creation was cut short. */
async function readTail(disk: Disk, directory: string, identity: LogIdentity, file: SegmentFileName): Promise<Tail | undefined> {
  const handle = await disk.open(join(directory, file.name), 'read');
  try {
    return await new TailScan(handle, identity, file).run();
  } finally {
    await handle.close();
  }
}

/** Reads a segment from its header to the end of what is whole, folding what the frames say. */
export class TailScan {
  readonly #file: DiskFile;
  readonly #identity: LogIdentity;
  readonly #name: SegmentFileName;
  readonly #index: IndexEntry[] = [];
  readonly #registers = new Map<string, Uint8Array>();
  #segment: Segment | undefined;
  #headerRegistersCrc = 0;
  #lastWriteStart = 0;

  constructor(file: DiskFile, identity: LogIdentity, name: SegmentFileName) {
    this.#file = file;
    this.#identity = identity;
    this.#name = name;
  }

  async run(): Promise<Tail | undefined> {
    let start: ScanStart = { offset: 0, prevCrc: undefined, seq: this.#name.firstSeq };
    for (;;) {
      const marks = marksOf(this.#identity, this.#name.ordinal);
      const size = await this.#file.size();
      const scanner = new FrameScanner(this.#file, marks, start);
      const end = await this.#scan(scanner, size);
      const proof = end.kind === 'end' ? undefined : await findProofOfDamage(this.#file, marks, end.offset, size);
      if (proof === undefined || end.kind === 'end') return this.#tail(size - scanner.offset);
      // Beside a running daemon the rest of a write may have come in between; what is damaged stays so.
      const again = await this.#scan(new FrameScanner(this.#file, marks, startOf(scanner)), await this.#file.size());
      if (again.kind === 'damage' && again.offset === end.offset) throw this.#damaged(end.offset, end.reason, proof);
      start = { offset: this.#segment?.bytes ?? 0, prevCrc: this.#segment?.endCrc, seq: this.#segment?.nextSeq ?? this.#name.firstSeq };
    }
  }

  async #scan(scanner: FrameScanner, size: number): Promise<{ readonly kind: 'end' } | { readonly kind: 'damage'; readonly offset: number; readonly reason: string }> {
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
    const segment = this.#segment;
    if (segment === undefined) return undefined;
    return {
      segment,
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

function startOf(scanner: FrameScanner): ScanStart {
  return { offset: scanner.offset, prevCrc: scanner.prevCrc, seq: scanner.seq };
}
