/**
 * Finds out what a log's folder holds, without changing anything. Sealed segments are believed by their ends; the last segment is read whole. What can
 * only be the trace of a crash is reported to be healed; everything else that does not fit is LOG_CORRUPT.
 */
import { join } from 'node:path';
import { invariant } from '../errors/invariant.ts';
import type { Disk } from '../runtime/disk.ts';
import { HEAD_BYTES } from './format.ts';
import { encodeRegisters } from './frame-meta.ts';
import type { LogIdentity } from './identity.ts';
import { corrupt, corruptFolder } from './log-error.ts';
import { marksOf } from './log-view.ts';
import { readSealedSegment, type SealedSegment, type SegmentFileName } from './sealed-segment.ts';
import { parseSegmentName, SegmentList, type Segment } from './segment.ts';
import { TailScan, type Tail } from './tail-scan.ts';

/** How many sealed segments are looked at side by side. */
const SURVEY_PARALLEL = 16;

export interface Survey {
  readonly segments: SegmentList;
  /** The last segment, read whole, and what can go on reading it. */
  readonly tail: Tail;
  readonly scan: TailScan;
  /** A segment file that has no header: a crash cut its creation short, or it is being made. */
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
  const scan = new TailScan(disk, directory, identity, last);
  const tail = await scan.goOn();
  if (tail !== undefined) return { segments: joined(sealed, tail), tail, scan, stillborn: undefined };
  const damaged = corrupt({ segment: last.name, offset: 0, firstSeq: last.firstSeq, lastSeq: null }, 'its header cannot be read');
  const lastSealed = files.at(-2);
  if (lastSealed === undefined) throw damaged;
  const sealedScan = new TailScan(disk, directory, identity, lastSealed);
  const sealedTail = await sealedScan.goOn();
  invariant(sealedTail?.segment.sealed, 'a segment with a footer is sealed');
  // The header is the first write to a segment, and alone until it is durable.
  const headerBytes = HEAD_BYTES + encodeRegisters(sealedTail.registers).length + Buffer.byteLength(identity.logId);
  if ((await sizeOf(disk, join(directory, last.name))) > headerBytes) {
    // Beside a running daemon the header may have come in between.
    const late = await scan.goOn();
    if (late === undefined) throw damaged;
    return { segments: joined(sealed, late), tail: late, scan, stillborn: undefined };
  }
  return { segments: joined(sealed.slice(0, -1), sealedTail), tail: sealedTail, scan: sealedScan, stillborn: last.name };
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  const file = await disk.open(path, 'read');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

function joined(sealed: readonly SealedSegment[], tail: Tail): SegmentList {
  const segments = new SegmentList();
  let before: SealedSegment | undefined;
  for (const segment of sealed) {
    if (before !== undefined) checkFollows(before, segment, segment.headerRegistersCrc);
    segments.add(segment);
    before = segment;
  }
  if (before !== undefined) checkFollows(before, tail.segment, tail.headerRegistersCrc);
  segments.add(tail.segment);
  return segments;
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
