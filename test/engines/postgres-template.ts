/**
 * Fresh Postgres data folders in a fraction of a second: initdb runs once per server version and its result is kept in the cache;
 * each server gets a copy with a system identifier of its own, because two servers of one identity would pass for one another.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { programEnvironment } from './packages.ts';
import { cacheFolder, type Account } from './servers.ts';

const run = promisify(execFile);

const initdbOptions = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
/** To be raised when templates of older runs must not be used any more. */
const templateFormat = 1;

/** Puts a new, never started data folder at `dataDirectory`, owned by `account`. */
export async function createDataDirectory(binFolder: string, dataDirectory: string, account: Account | undefined): Promise<void> {
  const template = await templateFor(binFolder, account);
  await run('cp', ['-R', template, dataDirectory], { ...account });
  await run('chmod', ['700', dataDirectory], { ...account });
  giveOwnIdentity(dataDirectory);
}

async function templateFor(binFolder: string, account: Account | undefined): Promise<string> {
  const env = programEnvironment(binFolder);
  const { stdout: version } = await run(join(binFolder, 'postgres'), ['--version'], { env });
  const name = createHash('sha256').update([version, templateFormat, ...initdbOptions].join('\n')).digest('hex').slice(0, 16);
  const folder = cacheFolder('postgres', account);
  const template = join(folder, name);
  if (existsSync(template)) return template;
  const draft = join(folder, `${name}.${randomBytes(6).toString('hex')}`);
  await run(join(binFolder, 'initdb'), [...initdbOptions, '-D', draft], { ...account, cwd: folder, env });
  try {
    renameSync(draft, template);
  } catch (error) {
    // Another process was faster; a template once in place never changes.
    if (!existsSync(template)) throw error;
    rmSync(draft, { recursive: true });
  }
  return template;
}

/**
 * Writes a random system identifier. It is the first field of `global/pg_control` (whose struct ends with a CRC-32C of what precedes
 * it, at an offset that differs by version) and is repeated at byte 24 of the long page header that begins each WAL segment.
 * Sources: src/include/catalog/pg_control.h, src/include/access/xlog_internal.h of PostgreSQL.
 */
function giveOwnIdentity(dataDirectory: string): void {
  const identifier = randomBytes(8);
  identifier.writeUInt8(identifier.readUInt8(7) & 0x7f, 7);
  const controlPath = join(dataDirectory, 'global', 'pg_control');
  const control = readFileSync(controlPath);
  const crcOffset = controlCrcOffset(control);
  identifier.copy(control, 0);
  control.writeUInt32LE(crc32c(control.subarray(0, crcOffset)), crcOffset);
  writeFileSync(controlPath, control);
  const walFolder = join(dataDirectory, 'pg_wal');
  for (const name of readdirSync(walFolder).filter((entry) => /^[0-9A-F]{24}$/.test(entry))) {
    const segment = readFileSync(join(walFolder, name));
    identifier.copy(segment, 24);
    writeFileSync(join(walFolder, name), segment);
  }
}

const controlBytesMax = 512;

function controlCrcOffset(control: Buffer): number {
  for (let offset = 8; offset + 4 <= controlBytesMax; offset += 4) {
    if (control.readUInt32LE(offset) === crc32c(control.subarray(0, offset))) return offset;
  }
  throw new Error('pg_control has no valid checksum: the template is damaged or of an unknown format');
}

/** CRC-32C (Castagnoli), bit by bit: a few hundred bytes only. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
