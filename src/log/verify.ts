/** Reads a whole log and says of every segment whether it is what it should be. Unlike a reader it goes on behind damage, to find all of it. */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { EntryCursor } from '../change/entry.ts';
import type { Finding } from '../connector/finding.ts';
import type { FrameTransaction } from '../connector/log-store.ts';
import { catalogue } from '../errors/catalogue.ts';
import { systemCodeOf } from '../errors/system-code.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { Disk, DiskFile } from '../runtime/disk.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { FrameRole } from './format.ts';
import { decodeMeta, encodeRegisters, foldRegisters } from './frame-meta.ts';
import { FrameScanner, type FrameFound, type ScanStart, type SegmentMarks } from './frame-scanner.ts';
import { findFrame, findProofOfDamage } from './frame-search.ts';
import { readIdentity, type LogIdentity } from './identity.ts';
import { corrupt, corruptFolder, diskFailed } from './log-error.ts';
import { marksOf, noteInIndex } from './log-view.ts';
import type { SegmentFileName } from './sealed-segment.ts';
import { decodeFooter, type IndexEntry, type SegmentFooter } from './segment-footer.ts';
import { entriesOf, StoredFrame } from './stored-frame.ts';
import { listSegments } from './survey.ts';

/** One `ok` finding per segment that is whole, and a `problem` for every damage. Beside a running daemon an unfinished last write is a `warning`. */
export async function* verifyLog(directory: string, runtime: Runtime): AsyncGenerator<Finding, void, void> {
  const { disk } = runtime;
  let identity: LogIdentity | undefined;
  try {
    identity = await readIdentity(disk, directory);
  } catch (error) {
    const known = diskFailed(`Reading the identity of the change log in ${directory}`, error);
    if (codeOf(known) === undefined) throw known;
    yield problemOf(known as TailraceError, directory);
    return;
  }
  if (identity === undefined) {
    yield { level: 'problem', subject: directory, message: `There is no change log in ${directory}.`, code: 'STATE_IDENTITY' };
    return;
  }
  const files = await listSegments(disk, directory);
  if (files.length === 0) yield problemOf(corruptFolder(directory, 'it has no segments'), directory);
  let before: SegmentCheck | undefined;
  for (const [i, file] of files.entries()) {
    const check = new SegmentCheck(identity, file, files[i + 1], before);
    if (await check.run(disk, directory)) yield* check.findings();
    before = check;
  }
}

/** The hint of the code begins with the command that says this. */
const RESTORE = 'Restore the file from a copy of exactly this data directory, or move the data directory away, then `tailrace run --rebuild SOURCE`.';

function problemOf(error: TailraceError, subject: string): Finding {
  return { level: 'problem', subject, message: error.message, code: error.code, fix: error.hint === catalogue.LOG_CORRUPT.hint ? RESTORE : error.hint };
}

class SegmentCheck {
  readonly file: SegmentFileName;
  readonly #marks: SegmentMarks;
  readonly #next: SegmentFileName | undefined;
  readonly #before: SegmentCheck | undefined;
  readonly #findings: Finding[] = [];
  readonly #registers = new Map<string, Uint8Array>();
  readonly #index: IndexEntry[] = [];
  #footer: SegmentFooter | undefined;
  /** False once damage hid a frame: then later sums mean nothing. */
  #whole = true;
  #frames = 0;
  #firstAppendMs = 0;
  #lastAppendMs = 0;
  #nextSeq: number;
  #endCrc: number | undefined;
  #bytes = 0;

  constructor(identity: LogIdentity, file: SegmentFileName, next: SegmentFileName | undefined, before: SegmentCheck | undefined) {
    this.file = file;
    this.#marks = marksOf(identity, file.ordinal);
    this.#next = next;
    this.#before = before;
    this.#nextSeq = file.firstSeq;
  }

  /** False when retention removed the segment before it was read. */
  async run(disk: Disk, directory: string): Promise<boolean> {
    let handle: DiskFile;
    try {
      handle = await disk.open(join(directory, this.file.name), 'read');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return false;
      throw diskFailed(`Opening ${this.file.name}`, error);
    }
    try {
      await this.#scan(handle);
    } catch (error) {
      throw diskFailed(`Reading ${this.file.name}`, error);
    } finally {
      await handle.close();
    }
    return true;
  }

  *findings(): Generator<Finding, void, void> {
    yield* this.#findings;
    if (this.#findings.some(({ level }) => level === 'problem')) return;
    const changes = this.#nextSeq - this.file.firstSeq;
    const seqs = changes === 0 ? 'no changes' : `seq ${this.file.firstSeq} to ${this.#nextSeq - 1}`;
    const state = this.#footer === undefined ? 'open' : 'sealed';
    yield { level: 'ok', subject: this.file.name, message: `${seqs}, ${this.#frames} frames, ${this.#bytes} bytes, ${state}` };
  }

  async #scan(handle: DiskFile): Promise<void> {
    const size = await handle.size();
    let start: ScanStart = { offset: 0, prevCrc: this.#expectedPrevCrc(), seq: this.file.firstSeq };
    for (;;) {
      const scanner = new FrameScanner(handle, this.#marks, start);
      const stop = await this.#scanWhole(scanner, size);
      if (stop.kind === 'end') break;
      const resume = await this.#damage(handle, stop.offset, stop.reason, size);
      if (resume === undefined) break;
      start = resume;
    }
    if (this.#footer !== undefined) this.#checkFooter(this.#footer);
    else if (this.#next !== undefined && this.#whole) this.#problem(this.#bytes, 'it has no footer, though a later segment follows it');
  }

  #expectedPrevCrc(): number | undefined {
    const before = this.#before;
    if (before === undefined) return undefined;
    if (before.file.ordinal + 1 !== this.file.ordinal) {
      this.#problem(0, `segments are missing between ${before.file.name} and this one`);
      return undefined;
    }
    return before.#whole ? before.#endCrc : undefined;
  }

  async #scanWhole(scanner: FrameScanner, size: number): Promise<{ readonly kind: 'end' } | { readonly kind: 'damage'; readonly offset: number; readonly reason: string }> {
    for (;;) {
      const scan = await scanner.next(size);
      if (scan.kind !== 'frame') return scan;
      this.#take(scan);
    }
  }

  /** Notes the damage and where to go on; undefined when nothing follows. */
  async #damage(handle: DiskFile, offset: number, reason: string, size: number): Promise<ScanStart | undefined> {
    const proof = await findProofOfDamage(handle, this.#marks, offset, size);
    if (this.#next === undefined && proof === undefined) {
      const message = `The last ${size - offset} bytes are no whole frame: a write that is on its way, or the rest of one that a crash cut short. It is healed at the next start.`;
      this.#findings.push({ level: 'warning', subject: this.file.name, message });
      return undefined;
    }
    this.#whole = false;
    const next = await findFrame(handle, this.#marks, offset + 1, size, () => true);
    this.#problem(offset, reason, next?.firstSeq);
    return next === undefined ? undefined : { offset: next.offset, prevCrc: undefined, seq: undefined };
  }

  #take({ head, meta, body, end }: FrameFound): void {
    this.#bytes = end;
    this.#endCrc = head.crc;
    this.#nextSeq = head.firstSeq + head.count;
    try {
      if (head.role === FrameRole.footer) {
        this.#footer = decodeFooter(body);
        return;
      }
      foldRegisters(this.#registers, decodeMeta(meta, head.registerCount).registers);
      if (head.role === FrameRole.header) {
        this.#checkHeader(crc32(meta));
        return;
      }
      this.#checkEntries(new StoredFrame(head, meta, entriesOf(head, body)));
    } catch (error) {
      this.#problem(head.offset, `the frame cannot be decoded: ${error instanceof Error ? error.message : String(error)}`);
    }
    noteInIndex(this.#index, { seq: head.firstSeq, offset: head.offset, prevCrc: head.prevCrc });
    if (this.#frames === 0) this.#firstAppendMs = head.appendTimeMs;
    this.#lastAppendMs = head.appendTimeMs;
    this.#frames += 1;
  }

  #checkHeader(registersCrc: number): void {
    const before = this.#before;
    if (before === undefined || !before.#whole || before.file.ordinal + 1 !== this.file.ordinal) return;
    if (before.#nextSeq !== this.file.firstSeq) this.#problem(0, `it begins with seq ${this.file.firstSeq}, but ${before.file.name} ends before seq ${before.#nextSeq}`);
    if (crc32(encodeRegisters(before.#registers)) !== registersCrc) this.#problem(0, `its registers are not what the frames of ${before.file.name} add up to`);
  }

  #checkEntries(frame: StoredFrame): void {
    let count = 0;
    const cursor = new EntryCursor(frame.entries, frame.firstSeq);
    while (cursor.next()) count += 1;
    if (count !== frame.count) throw new RangeError(`it has ${count} entries instead of ${frame.count}`);
    // One that ended with the frame before is closed by a record without an entry.
    const isPlaced = ({ firstEntry, entriesBefore, complete }: FrameTransaction): boolean => firstEntry < frame.count || (firstEntry === frame.count && complete && entriesBefore > 0);
    if (!frame.transactions.every(isPlaced)) throw new RangeError('a transaction begins behind its last entry');
  }

  #checkFooter(footer: SegmentFooter): void {
    if (!this.#whole) return;
    const { firstSeq, nextSeq, frames, firstAppendMs, lastAppendMs, registersCrc, index } = footer;
    const counts = firstSeq === this.file.firstSeq && nextSeq === this.#nextSeq && frames === this.#frames;
    const times = firstAppendMs === this.#firstAppendMs && lastAppendMs === this.#lastAppendMs;
    if (!counts || !times) this.#problem(this.#bytes, 'its footer does not describe its frames');
    if (registersCrc !== crc32(encodeRegisters(this.#registers))) this.#problem(this.#bytes, 'the registers of its footer are not what its frames add up to');
    if (JSON.stringify(index) !== JSON.stringify(this.#index)) this.#problem(this.#bytes, 'the index of its footer is not that of its frames');
  }

  /** `behind`: the seq with which the log goes on behind the damage. */
  #problem(offset: number, reason: string, behind?: number): void {
    const lastSeq = behind ?? this.#next?.firstSeq;
    const place = { segment: this.file.name, offset, firstSeq: this.#nextSeq, lastSeq: lastSeq === undefined ? null : lastSeq - 1 };
    this.#findings.push(problemOf(corrupt(place, reason), this.file.name));
  }
}
