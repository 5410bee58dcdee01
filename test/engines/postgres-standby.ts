/** A standby of a test server: a copy of its data that follows it, until it is promoted and goes on by itself under the next timeline. */
import { execFile } from 'node:child_process';
import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findPostgres } from './postgres-find.ts';
import { startPostgresProcess } from './postgres-process.ts';
import type { PostgresServer } from './postgres.ts';
import { EngineMissing, eventually } from './servers.ts';

const run = promisify(execFile);

/** The primary's physical slot for its one standby. */
export const STANDBY_SLOT = 'standby';

const PROMOTED_WITHIN_MS = 30_000;

/** Stops the primary for the moment of the copy. `settings` are the standby's own. */
export async function startStandby(primary: PostgresServer, settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
  const place = await findPostgres(primary.major);
  if (place.kind !== 'binaries') throw new EngineMissing(`a standby of a PostgreSQL ${primary.major} is made of its files, and it is no process of ours`);
  await primary.query(`SELECT pg_create_physical_replication_slot('${STANDBY_SLOT}', true)`);
  await primary.stop('fast');
  const from = primary.dataDirectory;
  const following = {
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`,
    primary_slot_name: STANDBY_SLOT,
    hot_standby_feedback: 'on',
    wal_receiver_status_interval: '1s',
    ...settings,
  };
  const standby = await startPostgresProcess(primary.major, place.binFolder, following, async (_, dataDirectory, account) => {
    await run('cp', ['-R', from, dataDirectory], { ...account });
    // Physical slots are copied too, and mean nothing here.
    await run('rm', ['-rf', join(dataDirectory, 'pg_replslot', STANDBY_SLOT)], { ...account });
    const signal = join(dataDirectory, 'standby.signal');
    const { uid, gid } = await stat(dataDirectory);
    await writeFile(signal, '');
    await chown(signal, uid, gid);
  });
  try {
    await primary.start();
    return standby;
  } catch (error) {
    await standby[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits until the standby has replayed everything that the primary has written. */
export async function replayed(primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const [row] = await primary.query('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  await eventually('the standby has everything', PROMOTED_WITHIN_MS, async () => (await standby.query(`SELECT pg_last_wal_replay_lsn() >= '${String(row?.['lsn'])}' AS done`))[0]?.['done'] === true);
}

export async function promote(standby: PostgresServer): Promise<void> {
  await standby.query('SELECT pg_promote()');
  await eventually('the standby is promoted', PROMOTED_WITHIN_MS, async () => (await standby.query('SELECT pg_is_in_recovery() AS recovering'))[0]?.['recovering'] === false);
}
