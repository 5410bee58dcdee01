import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger, type LogFields } from '../../src/runtime/logger.ts';
import { nodeDisk } from '../../src/runtime/node/disk.ts';
import { prepareDataDirectory } from '../../src/state/data-directory.ts';
import { takeLock } from '../../src/state/lock.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { asOrdinaryUser, giveToOrdinaryUser } from '../ordinary-user.ts';

let folder = '';
let mask = 0;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tailrace-data-'));
  giveToOrdinaryUser(folder);
  // The most careless account there is.
  mask = process.umask(0);
});
afterEach(() => {
  process.umask(mask);
  rmSync(folder, { recursive: true });
});

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** Prepares it as at a start, and returns the log lines. */
async function prepared(path: string): Promise<[string, LogFields | undefined][]> {
  const lines: [string, LogFields | undefined][] = [];
  await prepareDataDirectory(path, [join(path, 'lock.db'), join(path, 'state.db')], { disk: nodeDisk, logger: { ...silentLogger, warn: (event, fields) => lines.push([event, fields]) } });
  return lines;
}

test('the data directory, the state in it and what SQLite puts beside it are for this account alone, whatever its umask', async () => {
  const path = join(folder, 'around', 'data');
  expect(await prepared(path)).toEqual([]);
  using _lock = takeLock(join(path, 'lock.db'));
  using state = openSqliteState({ path: join(path, 'state.db') });
  state.putCursor('products', 1, 7);
  expect(modeOf(path)).toBe('700');
  for (const name of ['lock.db', 'state.db', 'state.db-wal', 'state.db-shm']) expect([name, modeOf(join(path, name))]).toEqual([name, '600']);
  // As at the next start.
  expect(await prepared(path)).toEqual([]);
  expect(state.cursor('products', 1)).toBe(7);
});

test('a data directory that others may enter is named with the command that closes it, and used', async () => {
  const path = join(folder, 'data');
  for (const mode of [0o750, 0o701, 0o770]) {
    mkdirSync(path);
    chmodSync(path, mode);
    expect(await prepared(path)).toEqual([['data_directory_open', { path, mode: `0${mode.toString(8)}`, hint: `Other accounts may read the rows in it, or change them: chmod -R go= '${path}'` }]]);
    rmSync(path, { recursive: true });
  }
});

test('a data directory that cannot be made or written to is told with its reason', async () => {
  writeFileSync(join(folder, 'file'), '');
  await expect(prepared(join(folder, 'file', 'data'))).rejects.toMatchObject({ code: 'STATE_FORBIDDEN', message: expect.stringContaining('ENOTDIR') as unknown });
  const path = join(folder, 'data');
  mkdirSync(path, { mode: 0o500 });
  giveToOrdinaryUser(path);
  await asOrdinaryUser(async () => expect(prepared(path)).rejects.toMatchObject({ code: 'STATE_FORBIDDEN', message: expect.stringContaining('EACCES') as unknown, hint: expect.stringContaining('may make and write to') as unknown }));
});
