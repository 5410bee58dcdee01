/** The log's errors, made in one place so that each says which segment, offset and seqs it is about. */
import type { Seq } from '../change/seq.ts';
import { systemCodeOf } from '../errors/system-code.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';

/** Where damage was found and which changes it concerns. `lastSeq` is null when the end is not known. */
export interface DamagePlace {
  readonly segment: string;
  readonly offset: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq | null;
}

export function corrupt(place: DamagePlace, reason: string, cause?: unknown): TailraceError {
  const { segment, offset, firstSeq, lastSeq } = place;
  let seqs = `changes from seq ${firstSeq} on`;
  if (lastSeq !== null) seqs = lastSeq < firstSeq ? `no changes, the next is seq ${firstSeq}` : `changes with seq ${firstSeq} to ${lastSeq}`;
  return new TailraceError('LOG_CORRUPT', { message: `The change log is damaged in ${segment} at byte ${offset} (${seqs}): ${reason}.`, entity: segment, cause });
}

export function corruptFolder(directory: string, reason: string): TailraceError {
  return new TailraceError('LOG_CORRUPT', { message: `The change log in ${directory} is damaged: ${reason}.`, entity: directory });
}

/** The file that is written to is no longer the one that the next start would read. */
export function displaced(directory: string, name: string): TailraceError {
  return new TailraceError('LOG_CORRUPT', {
    message: `The change log in ${directory} is damaged: ${name} was removed or replaced while it was written to.`,
    did: 'tailrace ended before any source was told that more is kept; what was in the files that are gone is lost.',
    entity: directory,
  });
}

export function gap(after: Seq, firstSeq: Seq, durableSeq: Seq): TailraceError {
  const kept = durableSeq < firstSeq ? `it holds no changes, the next is seq ${firstSeq}` : `it holds seq ${firstSeq} to ${durableSeq}`;
  return new TailraceError('LOG_GAP', { message: `Changes behind seq ${after} were asked for, but the change log no longer holds them: ${kept}.` });
}

/** An error of the operating system as the log's own. What is no such error, or has a code of ours, stays as it is. */
export function diskFailed(doing: string, cause: unknown): unknown {
  const systemCode = systemCodeOf(cause);
  if (codeOf(cause) !== undefined || systemCode === undefined) return cause;
  return new TailraceError('DISK_FAILED', { message: `${doing} failed: ${systemCode}.`, cause });
}

/** Like `diskFailed`, for the opening of a log: what this account may not do is no failure of the disk. */
export function openingFailed(doing: string, cause: unknown): unknown {
  const systemCode = systemCodeOf(cause);
  if (systemCode === undefined || !['EACCES', 'EPERM', 'EROFS'].includes(systemCode)) return diskFailed(doing, cause);
  return new TailraceError('STATE_FORBIDDEN', { message: `${doing} failed: ${systemCode}.`, cause });
}

/** Like `openingFailed`, for what is not waited for: no space is an error as well. */
export function diskError(doing: string, cause: unknown): unknown {
  if (!isNoSpace(cause)) return openingFailed(doing, cause);
  return new TailraceError('DISK_FULL', { message: `${doing} failed: there is no space left on the disk.`, cause });
}

/** Why the log takes nothing for now; it goes on by itself. */
export function noRoom(condition: 'full' | 'disk_full', directory: string, bytes: number): TailraceError {
  if (condition === 'full') return new TailraceError('LOG_FULL', { message: `The change log in ${directory} has reached its size limit: it holds ${bytes} bytes that an index still needs.`, entity: directory });
  return new TailraceError('DISK_FULL', { message: `The disk of the change log in ${directory} is full.`, entity: directory });
}

/** True for a write that found no room: of all disk errors the only one after which the same write may be tried again. */
export function isNoSpace(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** The end of work on a log that was closed; recognised by `isAbort`. */
export function closedError(): DOMException {
  return new DOMException('The change log was closed.', 'AbortError');
}
