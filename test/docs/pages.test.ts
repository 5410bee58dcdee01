/** What the pages say to type and where they point is there. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nameOf } from '../../cmd/verb.ts';
import { postgresConfigSchema } from '../../connectors/sources/postgres/config.ts';
import { sqliteTarget } from '../../connectors/targets/sqlite/index.ts';
import { defineConfigSchema } from '../../src/config/config-schema.ts';
import { loadConfig } from '../../src/config/load.ts';

const repository = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(repository, path), 'utf8');

const pages = [
  ...readdirSync(repository).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(repository, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => join('docs', name)),
];

/** The anchor that a heading gets on the usual hosts: lower case, spaces to hyphens, other signs dropped. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').trim().replaceAll(/\s/g, '-');
}

function anchorsOf(markdown: string): Set<string> {
  return new Set([...withoutCode(markdown).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading)));
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[^]*?^```$/gm, '');
}

describe.for(pages)('%s', (page) => {
  test('every link inside the repository leads somewhere', () => {
    const links = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link).filter((link) => !/^[a-z]+:/.test(link));
    const broken = links.filter((link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : relative(repository, resolve(repository, dirname(page), path));
      return !existsSync(join(repository, target)) || (anchor !== undefined && !anchorsOf(read(target)).has(anchor));
    });
    expect(broken).toEqual([]);
  });
});

test('the demo of the README is what CI runs', () => {
  const [, first] = /```sh\n(.*)\n```/.exec(read('README.md')) ?? [];
  const commands = first?.split(' && ') ?? [];
  expect(commands).toEqual(['npm ci', 'npm run demo']);
  const steps = [...read('.ci/run').matchAll(/^step 'README: (.*?)'/gm)].map(([, command]) => command);
  expect(steps).toEqual(commands);
});

test('the README has every verb of the command line, in its order, and no other', async () => {
  const { verbs } = await import('../../cmd/verbs.ts');
  const [, table = ''] = /## The command line\n([^]*?)\n## /.exec(read('README.md')) ?? [];
  const listed = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, verb]) => verb);
  expect(listed).toEqual(verbs.map(nameOf));
});

test('the map of rooms in CONTRIBUTING.md has every folder of src', () => {
  const [, map = ''] = /^src\/ .*\n((?: {2}\w+\/.*\n)+)/m.exec(read('CONTRIBUTING.md')) ?? [];
  const mapped = [...map.matchAll(/^ {2}(\w+)\//gm)].map(([, room = '']) => room);
  const folders = readdirSync(join(repository, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  expect(folders.filter((room) => !mapped.includes(room))).toEqual([]);
});

test('guarantees are numbered as everywhere, and the README names each', () => {
  const numbers = [...read('docs/guarantees.md').matchAll(/^\*\*G(\d+)\./gm)].map(([, number]) => Number(number));
  const all = Array.from({ length: 16 }, (_, at) => at + 1);
  expect(numbers.toSorted((a, b) => a - b)).toEqual(all);
  const named = [...read('README.md').matchAll(/\bG(\d+)\b/g)].map(([, number]) => Number(number));
  expect([...new Set(named)].toSorted((a, b) => a - b)).toEqual(all);
});

test('what a guarantee says attacks it is in the repository', () => {
  const named = [...read('docs/guarantees.md').matchAll(/`(test\/[^`]+)`/g)].map(([, path = '']) => path);
  expect(named.length).toBeGreaterThan(16);
  expect(named.filter((path) => !existsSync(join(repository, path)))).toEqual([]);
});

/** Whole configs in the pages and in the compose file, as YAML. */
function configsOf(path: string): string[] {
  const blocks = [...read(path).matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, yaml = '']) => yaml);
  return blocks.filter((yaml) => /^indices:/m.test(yaml));
}

function configOfCompose(): string {
  const [, indented = ''] = /^ {2}tailrace:\n {4}content: \|\n((?: {6}.*\n)+)/m.exec(read('docs/compose.yaml')) ?? [];
  return indented.replaceAll(/^ {6}/gm, '');
}

describe('configs that are shown', () => {
  const schema = defineConfigSchema({ sources: { postgres: { configSchema: postgresConfigSchema } }, targets: { sqlite: sqliteTarget } });
  const secrets = { environment: () => 'postgres://user@host/shop', readFile: async () => Promise.resolve('secret') };
  const shown = [...pages.flatMap((page) => configsOf(page).map((text) => ({ page, text }))), { page: 'docs/compose.yaml', text: configOfCompose() }];

  test('there are some', () => {
    expect(shown.map(({ page }) => page)).toContain('README.md');
  });

  test.for(shown)('$page: a config that is shown can be loaded', async ({ text }) => {
    const config = await loadConfig({ text, path: join(repository, 'tailrace.yaml'), schema, secrets });
    expect(config.indices.length).toBeGreaterThan(0);
  });

  test('the first one has fewer than fifteen lines', () => {
    expect(configsOf('README.md')[0]?.trim().split('\n').length).toBeLessThan(15);
  });
});
