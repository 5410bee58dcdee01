/** Real Postgres servers for tests: one for a test, or one for a suite that runs once per version. */
import { afterAll, describe, test } from 'vitest';
import type { PostgresMajor, PostgresServer } from './postgres-client.ts';
import { findPostgres } from './postgres-find.ts';
import { startPostgresProcess } from './postgres-process.ts';
import { postgresAt, requireSettings } from './postgres-url.ts';
import { EngineMissing, enginesRequired } from './servers.ts';

export type { PostgresMajor, PostgresServer, StopMode } from './postgres-client.ts';

export interface PostgresOptions {
  readonly major: PostgresMajor;
  /** Server settings beside those that every test server has. */
  readonly settings?: Readonly<Record<string, string>>;
}

const places = { 15: await findPostgres(15), 18: await findPostgres(18) };

/** Starts a server for the caller, or throws `EngineMissing`. Only a server that a URL names is shared with others. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { major, settings = {} } = options;
  const place = places[major];
  if (place.kind === 'missing') throw new EngineMissing(place.reason);
  if (place.kind === 'container') {
    const { startPostgresContainer } = await import('./postgres-container.ts');
    return await startPostgresContainer(major, settings);
  }
  if (place.kind === 'binaries') return await startPostgresProcess(major, place.binFolder, settings);
  const server = await postgresAt(place.url, major);
  if (server === undefined) throw new EngineMissing(`the PostgreSQL ${major} named by URL has changed since this run began`);
  await requireSettings(server, settings);
  return server;
}

export interface PostgresSuite {
  readonly major: PostgresMajor;
  /** The suite's one server: started at the first call, removed after the last test. */
  readonly server: () => Promise<PostgresServer>;
}

/** Runs `suite` once for each version, each in a `describe` of its own; a version that is not there is skipped with its reason. */
export function describePostgres(majors: readonly PostgresMajor[], suite: (postgres: PostgresSuite) => void): void {
  for (const major of majors) {
    const title = `PostgreSQL ${major}`;
    const place = places[major];
    if (place.kind !== 'missing') describe(title, () => suite(sharedServer(major)));
    else if (enginesRequired()) test(title, () => Promise.reject(new EngineMissing(place.reason)));
    else {
      console.warn(`skipped: ${title}: ${place.reason}`);
      describe.skip(`${title} (${place.reason})`, () => suite(sharedServer(major)));
    }
  }
}

function sharedServer(major: PostgresMajor): PostgresSuite {
  let started: Promise<PostgresServer> | undefined;
  afterAll(async () => {
    await (await started)?.[Symbol.asyncDispose]();
  });
  return { major, server: () => (started ??= startPostgres({ major })) };
}
