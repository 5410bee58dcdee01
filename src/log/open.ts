/** Opens the embedded change log, making or healing it as needed. One process at a time: the caller holds the data directory's lock. */
import { dirname, join } from 'node:path';
import type { Seq } from '../change/seq.ts';
import { systemCodeOf } from '../errors/system-code.ts';
import type { Disk } from '../runtime/disk.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { EmbeddedLog } from './embedded-log.ts';
import { FORMAT_VERSION, HEAD_BYTES, type LogCompression } from './format.ts';
import { IDENTITY_DRAFT_NAME, logTagOf, readIdentity, writeIdentity, type LogIdentity } from './identity.ts';
import { LogCore } from './log-core.ts';
import { corruptFolder, diskError } from './log-error.ts';
import { LogWriter } from './log-writer.ts';
import { Retention } from './retention.ts';
import { SegmentWriter } from './segment-writer.ts';
import { listSegments, surveyLog } from './survey.ts';
import type { Tail } from './tail-scan.ts';

/** Offsets within a segment are 32 bits wide, and a segment's only frame may be larger than the limit for segments. */
export const SEGMENT_BYTES_MAX = 3 * 1024 * 1024 * 1024;

/** A log id is 16 random bytes in hex; the first segment's header is its head, an empty meta (2 bytes) and the id. */
const LOG_ID_BYTES = 16;
const FIRST_HEADER_BYTES = HEAD_BYTES + 2 + 2 * LOG_ID_BYTES;

/** A log that is made anew has another id; the epoch tells versions of one log from those of another that took its place. */
const FIRST_EPOCH = 1;

/** Bytes per read and write when the last write is repeated. */
const REWRITE_BYTES = 4 * 1024 * 1024;

export interface LogOptions {
  readonly directory: string;
  /** A segment is sealed when the next frame would make it longer than this, */
  readonly segmentBytes: number;
  /** or when something is appended and its first frame is this old. */
  readonly segmentMaxAgeMs: number;
  /** Size limit of all segments. Segments are kept small enough that four fit. */
  readonly maxBytes: number;
  /** A segment stays at least this long after its last append, unless the log is at its size limit or the disk is full. */
  readonly minAgeMs: number;
  /** At the size limit: appends wait for the slowest hold, or the slowest hold is given up. */
  readonly onFull: 'block' | 'evict';
  /** `zstd`: bodies from 8 KiB on are compressed, at level 1. */
  readonly compression: LogCompression;
  /** All holds that are known at the start, so that none is overtaken by retention before it is set. */
  readonly holds?: Iterable<readonly [name: string, seq: Seq]>;
}

/** Rejects with LOG_CORRUPT, STATE_TOO_NEW, STATE_FORBIDDEN, DISK_FULL or DISK_FAILED. */
export async function openLog(options: LogOptions, runtime: Runtime): Promise<EmbeddedLog> {
  try {
    return await open(options, runtime);
  } catch (error) {
    throw diskError(`Opening the change log in ${options.directory}`, error);
  }
}

async function open(options: LogOptions, runtime: Runtime): Promise<EmbeddedLog> {
  const { directory, segmentMaxAgeMs, compression, maxBytes } = options;
  const { disk } = runtime;
  await makeDurableDirectory(disk, directory);
  await removeDraft(disk, directory);
  const identity = (await readIdentity(disk, directory)) ?? (await create(options, runtime));
  const { segments, tail, stillborn } = await surveyLog(disk, directory, identity);
  if (stillborn !== undefined) await disk.remove(join(directory, stillborn));
  // What a crash left in the folder may be there only until the next one.
  await disk.syncDirectory(directory);
  if (tail.tornBytes > 0) runtime.logger.warn('log_tail_healed', { segment: tail.segment.name, bytes: tail.tornBytes, seq: tail.segment.nextSeq });
  const active = await heal(disk, directory, identity, tail);
  const core = new LogCore(runtime, directory, identity, segments, tail.registers, tail.index);
  let fail = (_error: unknown): void => {};
  const retention = new Retention(core, options, options.holds ?? [], (error) => fail(error));
  const segmentBytes = Math.min(options.segmentBytes, SEGMENT_BYTES_MAX, Math.ceil(maxBytes / 4));
  const writer = new LogWriter(core, { segmentBytes, segmentMaxAgeMs, compression }, retention, active);
  fail = (error) => writer.fail(error);
  return new EmbeddedLog(core, writer, retention);
}

/** Makes the folder, and those around it that are missing, with names that survive a crash. */
async function makeDurableDirectory(disk: Disk, directory: string): Promise<void> {
  const around = dirname(directory);
  if (around !== directory && !(await isThere(disk, around))) await makeDurableDirectory(disk, around);
  await disk.makeDirectory(directory);
  await disk.syncDirectory(around);
}

async function isThere(disk: Disk, directory: string): Promise<boolean> {
  try {
    await disk.list(directory);
    return true;
  } catch (error) {
    // A folder that may not be listed is there.
    return systemCodeOf(error) !== 'ENOENT';
  }
}

async function removeDraft(disk: Disk, directory: string): Promise<void> {
  const names = await disk.list(directory);
  if (!names.includes(IDENTITY_DRAFT_NAME)) return;
  await disk.remove(join(directory, IDENTITY_DRAFT_NAME));
}

/** Makes a new log: first the segment, then IDENTITY, so that where IDENTITY is there is a segment. */
async function create({ directory }: LogOptions, { disk, random, clock }: Runtime): Promise<LogIdentity> {
  for (const { name, ordinal } of await listSegments(disk, directory)) {
    if (ordinal !== 1 || !(await isUnused(disk, join(directory, name)))) throw corruptFolder(directory, `it holds ${name}, but no IDENTITY`);
    await disk.remove(join(directory, name));
  }
  await disk.syncDirectory(directory);
  const nowMs = clock.nowMs();
  const identity: LogIdentity = { logId: random.hex(LOG_ID_BYTES), epoch: FIRST_EPOCH, formatVersion: FORMAT_VERSION, createdAtMs: nowMs };
  const first = await SegmentWriter.create(disk, directory, identity, { ordinal: 1, seq: 1, prevCrc: logTagOf(identity.logId), registers: new Map(), nowMs });
  await first.close();
  await writeIdentity(disk, directory, identity);
  return identity;
}

/** True for a first segment of which nothing but the header was ever written: its log was never finished. */
async function isUnused(disk: Disk, path: string): Promise<boolean> {
  const file = await disk.open(path, 'read');
  try {
    return (await file.size()) <= FIRST_HEADER_BYTES;
  } finally {
    await file.close();
  }
}

/**
 * Makes everything that was found durable before anybody sees it. The last write is written once more, because a datasync that failed earlier may have
 * left its bytes in the system's cache only, marked as if they were on the disk.
 */
async function heal(disk: Disk, directory: string, identity: LogIdentity, tail: Tail): Promise<SegmentWriter | undefined> {
  const { segment, index, lastWriteStart, tornBytes } = tail;
  const file = await disk.open(join(directory, segment.name), 'readwrite');
  try {
    if (tornBytes > 0) await file.truncate(segment.bytes);
    for (let at = lastWriteStart; at < segment.bytes; at += REWRITE_BYTES) {
      const bytes = Buffer.allocUnsafeSlow(Math.min(REWRITE_BYTES, segment.bytes - at));
      const read = await file.read(bytes, at);
      await file.write([bytes.subarray(0, read)], at);
    }
    await file.datasync();
  } catch (error) {
    await file.close();
    throw error;
  }
  if (!segment.sealed) return new SegmentWriter(file, directory, identity, segment, index);
  await file.close();
  return undefined;
}
