/**
 * How far a source is in the log: after which transaction its stream is resumed, and how much of the next one is logged already.
 *
 * A huge transaction is appended in many frames. After a crash in its middle the source pushes it again from its first change; the changes
 * that are logged are then skipped by their count, so that every change is in the log exactly once.
 */
import { TailraceError } from '../errors/tailrace-error.ts';

export interface ResumePoint {
  /** Position behind the last transaction that is logged whole. */
  readonly position: Uint8Array;
  /** The transaction that is logged in part, if there is one. */
  readonly partial: { readonly position: Uint8Array; readonly changes: number } | null;
}

/** Name of the register that holds a source's resume point. */
export function positionRegister(source: string): string {
  return `position:${source}`;
}

/** Name of the register that holds what a source's positions belong to. */
export function identityRegister(source: string): string {
  return `identity:${source}`;
}

export function encodeResumePoint(point: ResumePoint): Buffer {
  const partial = point.partial === null ? {} : { partial: hex(point.partial.position), changes: point.partial.changes };
  return Buffer.from(JSON.stringify({ position: hex(point.position), ...partial }));
}

/** Throws LOG_CORRUPT when the register does not hold a resume point. */
export function decodeResumePoint(register: Uint8Array): ResumePoint {
  try {
    const { position, partial, changes } = JSON.parse(Buffer.from(register).toString()) as { position: string; partial?: string; changes?: number };
    return {
      position: Buffer.from(position, 'hex'),
      partial: partial === undefined || changes === undefined ? null : { position: Buffer.from(partial, 'hex'), changes },
    };
  } catch (cause) {
    throw new TailraceError('LOG_CORRUPT', { message: 'A source\'s position in the change log cannot be read.', cause });
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
