/** Server distributions that are published as Maven artifacts: fetched by Maven itself, held to their known digests, unpacked into the cache. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { downloadDeadlineMs, mustHaveDigest, onceInCache } from './packages.ts';
import { EngineMissing } from './servers.ts';

export interface MavenZip {
  readonly group: string;
  readonly artifact: string;
  readonly version: string;
  /** `sha512-BASE64` of the zip. */
  readonly integrity: string;
}

/** Of fixed version, so that a run today and a run in a year do the same. */
const copyGoal = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy';

/**
 * The folder with the zip's contents, without the one folder that such a zip has at its top. Maven fetches it from where it is configured to fetch
 * from, and keeps a copy in its local repository.
 */
export function mavenFolder({ group, artifact, version, integrity }: MavenZip): string {
  return onceInCache('maven', `${artifact}-${version}`, (draft) => {
    const unpacked = `${draft}.unpacked`;
    const downloads = `${draft}.downloads`;
    try {
      for (const folder of [unpacked, downloads]) mkdirSync(folder);
      run('mvn', ['-q', '-B', copyGoal, `-Dartifact=${group}:${artifact}:${version}:zip`, `-DoutputDirectory=${downloads}`]);
      const zip = join(downloads, `${artifact}-${version}.zip`);
      mustHaveDigest(zip, integrity);
      run('unzip', ['-q', zip, '-d', unpacked]);
      const [top = '', ...others] = readdirSync(unpacked);
      if (others.length > 0) throw new Error(`${artifact}-${version}.zip holds more than one folder: ${[top, ...others].join(', ')}`);
      renameSync(join(unpacked, top), draft);
    } finally {
      for (const folder of [unpacked, downloads]) rmSync(folder, { recursive: true, force: true });
    }
  });
}

function run(program: string, args: readonly string[]): void {
  try {
    // In a folder without a project: Maven reads the pom.xml of the folder that it stands in.
    execFileSync(program, args, { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'], timeout: downloadDeadlineMs });
  } catch (error) {
    const { code, stdout } = error as NodeJS.ErrnoException & { readonly stdout?: Buffer };
    const reason = code === 'ENOENT' ? 'it is not installed' : `${(error as Error).message}${stdout?.toString() ?? ''}`;
    throw new EngineMissing(`${program} brings no private copy: ${reason}`, { cause: error });
  }
}
