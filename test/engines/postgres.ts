/**
 * Where tests get a real Postgres from, in this order: a URL in the environment, binaries named there, binaries on the machine, Docker,
 * a private copy from packages. CONTRIBUTING.md tells the reader of test output the same.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { npmPostgresBin } from './packages.ts';
import type { PostgresMajor, PostgresServer } from './postgres-client.ts';
import { startPostgresProcess } from './postgres-process.ts';
import { EngineMissing, enginesRequired, reachableBy, serverAccount } from './servers.ts';

export type { PostgresMajor, PostgresServer, StopMode } from './postgres-client.ts';

export interface PostgresOptions {
  readonly major: PostgresMajor;
  /** Server settings beside those that every test server has. */
  readonly settings?: Record<string, string>;
}

/** Starts a server of its own for the caller, or throws `EngineMissing`. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  return await startPostgresProcess(options.major, binFolderOf(options.major), options.settings ?? {});
}

function binFolderOf(major: PostgresMajor): string {
  const named = process.env[`TAILRACE_TEST_POSTGRES_${major}_BIN`];
  if (named !== undefined) {
    if (majorOf(named) !== major) throw new EngineMissing(`TAILRACE_TEST_POSTGRES_${major}_BIN names no PostgreSQL ${major}`);
    return named;
  }
  const account = serverAccount();
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), `/usr/lib/postgresql/${major}/bin`];
  for (const folder of folders) {
    if (majorOf(folder) === major && reachableBy(account, join(folder, 'postgres'))) return folder;
  }
  const packaged = npmPostgresBin(account);
  if (packaged !== undefined && majorOf(packaged) === major) return packaged;
  throw new EngineMissing(`no PostgreSQL ${major} on PATH or in /usr/lib/postgresql/${major}/bin`);
}

function majorOf(folder: string): number | undefined {
  if (folder === '' || !existsSync(join(folder, 'postgres')) || !existsSync(join(folder, 'initdb'))) return undefined;
  const version = execFileSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8' });
  return Number(/ (\d+)[.\s]/.exec(version)?.[1]);
}

export interface PostgresSuite {
  readonly major: PostgresMajor;
  /** The suite's one server: started at the first call, removed after the last test. */
  server(): Promise<PostgresServer>;
}

/** Runs `suite` once for each version, each in a `describe` of its own; a version that is not there is skipped with its reason. */
export function describePostgres(majors: readonly PostgresMajor[], suite: (postgres: PostgresSuite) => void): void {
  for (const major of majors) {
    const title = `PostgreSQL ${major}`;
    const reason = reasonMissing(major);
    if (reason === undefined) describe(title, () => suite(sharedServer(major)));
    else if (enginesRequired()) test(title, () => Promise.reject(new EngineMissing(reason)));
    else {
      console.warn(`skipped: ${title}: ${reason}`);
      describe.skip(`${title} (${reason})`, () => suite(sharedServer(major)));
    }
  }
}

function reasonMissing(major: PostgresMajor): string | undefined {
  try {
    binFolderOf(major);
    return undefined;
  } catch (error) {
    if (error instanceof EngineMissing) return error.message;
    throw error;
  }
}

function sharedServer(major: PostgresMajor): PostgresSuite {
  let started: Promise<PostgresServer> | undefined;
  afterAll(async () => {
    await (await started)?.[Symbol.asyncDispose]();
  });
  return { major, server: () => (started ??= startPostgres({ major })) };
}
