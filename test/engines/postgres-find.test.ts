/** The order in which tests find a Postgres, and what they may do with one that is not theirs. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { aptPostgresBin } from './packages.ts';
import { findPostgres } from './postgres-find.ts';
import { startPostgresProcess } from './postgres-process.ts';
import { postgresAt, requireSettings } from './postgres-url.ts';
import { granted } from '../requirement.ts';
import { describePostgres, startPostgres } from './postgres.ts';

afterEach(() => vi.unstubAllEnvs());

test('a folder in the environment that holds another version is named as the reason', async () => {
  vi.stubEnv('TAILRACE_TEST_POSTGRES_18_BIN', '/bin');
  expect(await findPostgres(18)).toEqual({ kind: 'missing', reason: 'TAILRACE_TEST_POSTGRES_18_BIN names no folder with PostgreSQL 18' });
});

describePostgres([15, 18], ({ major, server }) => {
  const other = major === 15 ? 18 : 15;

  test('a URL in the environment comes first, when its server has the version', async () => {
    const url = (await server()).url();
    vi.stubEnv(`TAILRACE_TEST_POSTGRES_${major}_BIN`, '/bin');
    vi.stubEnv('TAILRACE_TEST_POSTGRES_URL', url);
    expect(await findPostgres(major)).toEqual({ kind: 'url', url });
    expect(await findPostgres(other)).not.toMatchObject({ kind: 'url' });
    vi.stubEnv(`TAILRACE_TEST_POSTGRES_${other}_URL`, url);
    expect(await findPostgres(other)).toMatchObject({ kind: 'missing' });
  });

  test('a server named by URL is used, and neither stopped nor left with our databases', async () => {
    const owner = await server();
    const guest = await postgresAt(owner.url(), major);
    expect(guest).toBeDefined();
    const name = (await guest?.createDatabase()) ?? '';
    expect(await guest?.query('SELECT current_database() AS name', name)).toEqual([{ name }]);
    await expect(guest?.stop()).rejects.toThrow('of its own');
    expect(() => guest?.pid).toThrow('of its own');
    await guest?.[Symbol.asyncDispose]();
    expect(await owner.query(`SELECT count(*)::int AS left FROM pg_database WHERE datname = '${name}'`)).toEqual([{ left: 0 }]);
  });

  test('a server named by URL that lacks a setting does not pass for one that has it', async () => {
    const owner = await server();
    await expect(requireSettings(owner, { wal_level: 'logical' })).resolves.toBeUndefined();
    await expect(requireSettings(owner, { work_mem: '3MB' })).rejects.toThrow('has work_mem = 4MB, and this test needs 3MB');
  });
});

test('a server whose setting is wrong says so at once, with its log', async () => {
  await expect(startPostgres({ major: 15, settings: { work_mem: 'much' } })).rejects.toThrow(/ended at its start:[^]*invalid value for parameter "work_mem"/);
});

test.runIf(granted('packages of Debian (apt-get)', existsSync('/usr/bin/apt-get')))('an unpacked Debian package serves without being installed', async () => {
  const bin = aptPostgresBin(15);
  expect(existsSync(join(dirname(bin), 'lib', 'pgoutput.so'))).toBe(true);
  await using server = await startPostgresProcess(15, bin, {});
  expect(await server.query('SELECT extract(hour FROM timestamptz $$2026-07-01 00:00+00$$ AT TIME ZONE $$Europe/Paris$$)::int AS hour')).toEqual([{ hour: 2 }]);
});
