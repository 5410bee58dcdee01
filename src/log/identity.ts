/** The file IDENTITY: which log the folder holds. It never changes after the log was made. */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { systemCodeOf } from '../errors/system-code.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { Disk } from '../runtime/disk.ts';
import { FORMAT_VERSION } from './format.ts';
import { corruptFolder } from './log-error.ts';

export const IDENTITY_NAME = 'IDENTITY';
export const IDENTITY_DRAFT_NAME = 'IDENTITY.tmp';

export interface LogIdentity {
  readonly logId: string;
  readonly epoch: number;
  readonly formatVersion: number;
  readonly createdAtMs: number;
}

/** The log id as every frame carries it. */
export function logTagOf(logId: string): number {
  return crc32(logId);
}

function checksumOf(identity: LogIdentity): string {
  const { formatVersion, logId, epoch, createdAtMs } = identity;
  return crc32(JSON.stringify([formatVersion, logId, epoch, createdAtMs])).toString(16).padStart(8, '0');
}

/** Written whole or not at all: under another name first, made durable, then renamed. */
export async function writeIdentity(disk: Disk, directory: string, identity: LogIdentity): Promise<void> {
  const { formatVersion, logId, epoch, createdAtMs } = identity;
  const text = JSON.stringify({ format_version: formatVersion, log_id: logId, epoch, created_at_ms: createdAtMs, crc32: checksumOf(identity) });
  const draft = join(directory, IDENTITY_DRAFT_NAME);
  const file = await disk.open(draft, 'create');
  try {
    await file.write([Buffer.from(`${text}\n`)], 0);
    await file.datasync();
  } finally {
    await file.close();
  }
  await disk.rename(draft, join(directory, IDENTITY_NAME));
  await disk.syncDirectory(directory);
}

/** Undefined when there is none. Rejects with LOG_CORRUPT, or with STATE_TOO_NEW for a format of a later version. */
export async function readIdentity(disk: Disk, directory: string): Promise<LogIdentity | undefined> {
  let file;
  try {
    file = await disk.open(join(directory, IDENTITY_NAME), 'read');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  let text: string;
  try {
    const bytes = Buffer.alloc(await file.size());
    await file.read(bytes, 0);
    text = bytes.toString('utf8');
  } finally {
    await file.close();
  }
  return parseIdentity(text, directory);
}

function parseIdentity(text: string, directory: string): LogIdentity {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw corruptFolder(directory, `${IDENTITY_NAME} cannot be read`);
  }
  const stored: Record<string, unknown> = { ...(parsed as object | null) };
  const { format_version: formatVersion, log_id: logId, epoch, created_at_ms: createdAtMs } = stored;
  if (typeof formatVersion !== 'number' || typeof logId !== 'string' || typeof epoch !== 'number' || typeof createdAtMs !== 'number') {
    throw corruptFolder(directory, `${IDENTITY_NAME} lacks a field`);
  }
  const identity = { formatVersion, logId, epoch, createdAtMs };
  if (stored['crc32'] !== checksumOf(identity)) throw corruptFolder(directory, `${IDENTITY_NAME} does not match its checksum`);
  if (formatVersion > FORMAT_VERSION) {
    throw new TailraceError('STATE_TOO_NEW', { message: `The change log in ${directory} has format version ${formatVersion}; this tailrace knows ${FORMAT_VERSION}.` });
  }
  return identity;
}
