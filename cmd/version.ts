/** The version of this package, as its package.json says: found from here upwards, because sources and the built package lie at different depths. */
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

export function packageVersion(): string {
  const path = findPackageJSON(import.meta.url);
  if (path === undefined) throw new Error('the files of tailrace lie in no package');
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}
