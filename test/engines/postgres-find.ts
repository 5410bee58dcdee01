/**
 * Where tests get a real Postgres from, in this order: a URL in the environment, binaries named there, binaries on the machine, Docker,
 * a private copy from packages. CONTRIBUTING.md says the same to people.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptPostgresBin, fetchedPostgresBin, npmPostgresBin, programEnvironment } from './packages.ts';
import type { PostgresMajor } from './postgres-client.ts';
import { postgresAt } from './postgres-url.ts';
import { EngineMissing, reachableBy, serverAccount } from './servers.ts';

export type PostgresPlace =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'binaries'; readonly binFolder: string }
  | { readonly kind: 'container' }
  | { readonly kind: 'missing'; readonly reason: string };

export async function findPostgres(major: PostgresMajor): Promise<PostgresPlace> {
  const named = process.env[`TAILRACE_TEST_POSTGRES_${major}_URL`];
  if (named !== undefined) return await placeOfUrl(named, major, true);
  const general = process.env['TAILRACE_TEST_POSTGRES_URL'];
  if (general !== undefined) {
    const place = await placeOfUrl(general, major, false);
    if (place.kind === 'url') return place;
  }
  try {
    const binFolder = machinePostgresBin(major);
    if (binFolder !== undefined) return { kind: 'binaries', binFolder };
    // Loaded only when it is needed: the container library is large.
    const { containersAvailable } = await import('./postgres-container.ts');
    if (await containersAvailable()) return { kind: 'container' };
    return { kind: 'binaries', binFolder: packagedPostgresBin(major) };
  } catch (error) {
    if (error instanceof EngineMissing) return { kind: 'missing', reason: error.message };
    throw error;
  }
}

async function placeOfUrl(url: string, major: PostgresMajor, only: boolean): Promise<PostgresPlace> {
  if ((await postgresAt(url, major)) !== undefined) return { kind: 'url', url };
  const variable = only ? `TAILRACE_TEST_POSTGRES_${major}_URL` : 'TAILRACE_TEST_POSTGRES_URL';
  return { kind: 'missing', reason: `${variable} names no PostgreSQL ${major} with wal_level = logical` };
}

/** The `bin` folder that the environment names or that is installed. */
export function machinePostgresBin(major: PostgresMajor): string | undefined {
  const variable = `TAILRACE_TEST_POSTGRES_${major}_BIN`;
  const named = process.env[variable];
  if (named !== undefined) {
    if (majorOf(named) !== major) throw new EngineMissing(`${variable} names no folder with PostgreSQL ${major}`);
    return named;
  }
  const account = serverAccount();
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), `/usr/lib/postgresql/${major}/bin`];
  return folders.find((folder) => majorOf(folder) === major && reachableBy(account, join(folder, 'postgres')));
}

function packagedPostgresBin(major: PostgresMajor): string {
  const account = serverAccount();
  const packaged = npmPostgresBin(account);
  if (packaged !== undefined && majorOf(packaged) === major) return packaged;
  return fetchedPostgresBin(major) ?? aptPostgresBin(major);
}

function majorOf(folder: string): number | undefined {
  if (folder === '' || !existsSync(join(folder, 'postgres')) || !existsSync(join(folder, 'initdb'))) return undefined;
  const version = execFileSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8', env: programEnvironment(folder) });
  return Number(/ (\d+)[.\s]/.exec(version)?.[1]);
}
