/** Real Postgres servers for tests: one for a test, or one for a suite that runs once per version. */
import { afterAll, describe, test } from 'vitest';
import type { PostgresMajor, PostgresServer } from './postgres-client.ts';
import { findPostgres, type PostgresPlace } from './postgres-find.ts';
import { startPostgresProcess } from './postgres-process.ts';
import { postgresAt, requireSettings } from './postgres-url.ts';
import { enginesRequired } from '../requirement.ts';
import { EngineMissing } from './servers.ts';

export type { PostgresMajor, PostgresServer, StopMode } from './postgres-client.ts';

export interface PostgresOptions {
  readonly major: PostgresMajor;
  /** Server settings beside those that every test server has. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Looked for when first needed: getting one may take a download. */
const places = new Map<PostgresMajor, Promise<PostgresPlace>>();

async function placeOf(major: PostgresMajor): Promise<PostgresPlace> {
  const known = places.get(major);
  if (known !== undefined) return await known;
  const place = findPostgres(major);
  places.set(major, place);
  return await place;
}

/** Starts a server for the caller, or throws `EngineMissing`. Only a server that a URL names is shared with others. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { major, settings = {} } = options;
  const place = await placeOf(major);
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

/** Every version that is supported. */
export const allMajors: readonly PostgresMajor[] = [13, 14, 15, 16, 17, 18];

/**
 * Runs `suite` once for each version, each in a `describe` of its own; a version that is not there is skipped with its reason.
 * `TAILRACE_TEST_POSTGRES_MAJORS=13,14` runs every suite on those versions instead of its own.
 */
export function describePostgres(majors: readonly PostgresMajor[], suite: (postgres: PostgresSuite) => void): void {
  for (const major of majorsNamed() ?? majors) {
    const title = `PostgreSQL ${major}`;
    describe(title, async () => {
      const place = await placeOf(major);
      if (place.kind !== 'missing') suite(sharedServer(major));
      else if (enginesRequired()) test('is there', () => Promise.reject(new EngineMissing(place.reason)));
      else {
        console.warn(`skipped: ${title}: ${place.reason}`);
        describe.skip(place.reason, () => suite(sharedServer(major)));
      }
    });
  }
}

function majorsNamed(): readonly PostgresMajor[] | undefined {
  const named = process.env['TAILRACE_TEST_POSTGRES_MAJORS'];
  return named?.split(',').map((text) => {
    const major = allMajors.find((known) => String(known) === text.trim());
    if (major === undefined) throw new Error(`TAILRACE_TEST_POSTGRES_MAJORS names ${text}, which is none of ${allMajors.join(', ')}`);
    return major;
  });
}

function sharedServer(major: PostgresMajor): PostgresSuite {
  let started: Promise<PostgresServer> | undefined;
  afterAll(async () => {
    await (await started)?.[Symbol.asyncDispose]();
  });
  return { major, server: () => (started ??= startPostgres({ major })) };
}
