/** The lint rules bite: each wrong snippet, put where it is wrong, is refused by the rule that is there for it, and its right neighbour is not. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const repository = join(import.meta.dirname, '..', '..');

interface Snippet {
  readonly file: string;
  readonly text: string;
  /** The one rule that refuses it, or undefined when nothing may. */
  readonly rule?: string;
}

const doors = 'tailrace(doors)';
const globals = 'eslint(no-restricted-globals)';

function imports(file: string, specifier: string, rule?: string): Snippet {
  return { file, text: `import '${specifier}';`, ...(rule === undefined ? {} : { rule }) };
}

const allowedImports: Snippet[] = [
  imports('src/runtime/allowed.ts', '../errors/x.ts'),
  imports('src/runtime/node/allowed.ts', 'node:fs'),
  imports('src/change/allowed.ts', '../runtime/x.ts'),
  imports('src/connector/allowed.ts', '../change/x.ts'),
  imports('src/connector/zod.ts', 'zod'),
  imports('src/log/allowed.ts', '../connector/x.ts'),
  imports('src/log/zlib.ts', 'node:zlib'),
  imports('src/state/allowed.ts', 'node:sqlite'),
  imports('src/capture/deep/allowed.ts', '../../log/x.ts'),
  imports('src/capture/deep/own.ts', '../x.ts'),
  imports('src/apply/allowed.ts', '../document/x.ts'),
  imports('src/pipeline/allowed.ts', '../apply/x.ts'),
  imports('src/observe/allowed.ts', '../pipeline/x.ts'),
  imports('src/observe/pino.ts', 'pino'),
  imports('src/allowed.ts', './runtime/node/x.ts'),
  imports('connectors/allowed.ts', './targets/x/x.ts'),
  imports('connectors/targets/x/allowed.ts', '../../../src/connector/x.ts'),
  imports('connectors/targets/x/deep/allowed.ts', '../../../../src/errors/x.ts'),
  imports('connectors/targets/x/deep/own.ts', '../own.ts'),
  imports('connectors/sources/postgres/allowed.ts', 'pg'),
  imports('connectors/sources/postgres/net.ts', 'node:net'),
  imports('cmd/allowed.ts', '../src/runtime/node/x.ts'),
  imports('cmd/commands/allowed.ts', '../../connectors/index.ts'),
  imports('cmd/yargs.ts', 'yargs'),
  imports('test/log/allowed.ts', '../../connectors/targets/x/x.ts'),
];

const forbiddenImports: Snippet[] = [
  imports('src/errors/inner.ts', '../runtime/x.ts', doors),
  imports('src/runtime/outer.ts', '../change/x.ts', doors),
  imports('src/change/outer.ts', '../connector/x.ts', doors),
  imports('src/connector/outer.ts', '../log/x.ts', doors),
  imports('src/log/neighbour.ts', '../state/x.ts', doors),
  imports('src/log/outer.ts', '../capture/x.ts', doors),
  imports('src/config/outer.ts', '../document/x.ts', doors),
  imports('src/capture/neighbour.ts', '../document/x.ts', doors),
  imports('src/document/outer.ts', '../apply/x.ts', doors),
  imports('src/embed/deep/outer.ts', '../../apply/x.ts', doors),
  imports('src/apply/outer.ts', '../pipeline/x.ts', doors),
  imports('src/pipeline/outer.ts', '../observe/x.ts', doors),
  imports('src/pipeline/entry.ts', '../index.ts', doors),
  imports('src/pipeline/node.ts', '../runtime/node/x.ts', doors),
  imports('src/cellar/unknown.ts', '../errors/x.ts', doors),
  imports('src/log/connectors.ts', '../../connectors/index.ts', doors),
  imports('src/pipeline/cmd.ts', '../../cmd/x.ts', doors),
  imports('src/index2.ts', '../connectors/index.ts', doors),
  imports('src/log/yargs.ts', 'yargs', doors),
  imports('src/capture/pg.ts', 'pg', doors),
  imports('src/log/new-package.ts', 'leftpad', doors),
  imports('src/log/pino.ts', 'pino', doors),
  imports('src/log/fs.ts', 'node:fs', doors),
  imports('src/log/net.ts', 'node:net', doors),
  imports('src/log/sqlite.ts', 'node:sqlite', doors),
  imports('src/log/timers.ts', 'node:timers/promises', doors),
  imports('src/observe/http.ts', 'node:http', doors),
  imports('connectors/targets/x/log.ts', '../../../src/log/x.ts', doors),
  imports('connectors/targets/x/node.ts', '../../../src/runtime/node/x.ts', doors),
  imports('connectors/targets/x/sibling.ts', '../y/x.ts', doors),
  imports('connectors/targets/x/source.ts', '../../sources/postgres/x.ts', doors),
  imports('connectors/targets/x/registry.ts', '../../index.ts', doors),
  imports('connectors/targets/x/deep/sibling.ts', '../../y/x.ts', doors),
  imports('connectors/targets/x/pg.ts', 'pg', doors),
  imports('connectors/targets/x/yargs.ts', 'yargs', doors),
  imports('connectors/forbidden.ts', '../src/pipeline/x.ts', doors),
  imports('cmd/connector.ts', '../connectors/targets/x/x.ts', doors),
  imports('cmd/test.ts', '../test/x.ts', doors),
  imports('cmd/pg.ts', 'pg', doors),
  { file: 'src/log/by-type.ts', text: `export type X = import('../capture/x.ts').X;\n`, rule: doors },
  { file: 'src/log/import-type.ts', text: `import type { X } from '../capture/x.ts';\nexport type Y = X;\n`, rule: doors },
  { file: 'src/log/re-export.ts', text: `export { x } from '../capture/x.ts';\n`, rule: doors },
  { file: 'src/log/re-export-all.ts', text: `export * from '../capture/x.ts';\n`, rule: doors },
  { file: 'src/log/dynamic.ts', text: `export const x: unknown = await import('../capture/x.ts');\n`, rule: doors },
];

const ambient: Snippet[] = [
  { file: 'src/log/now.ts', text: `export const x = Date.now();\n`, rule: globals },
  { file: 'src/log/date.ts', text: `export const x = new Date();\n`, rule: globals },
  { file: 'src/log/performance.ts', text: `export const x = performance.now();\n`, rule: globals },
  { file: 'src/log/set-timeout.ts', text: `setTimeout(() => {}, 1);\n`, rule: globals },
  { file: 'src/log/set-interval.ts', text: `setInterval(() => {}, 1);\n`, rule: globals },
  { file: 'src/log/set-immediate.ts', text: `setImmediate(() => {});\n`, rule: globals },
  { file: 'src/log/process.ts', text: `export const x = process.pid;\n`, rule: globals },
  { file: 'src/log/fetch.ts', text: `export const x = fetch;\n`, rule: globals },
  { file: 'src/log/crypto.ts', text: `export const x = crypto.randomUUID();\n`, rule: globals },
  { file: 'src/log/console.ts', text: `console.log(1);\n`, rule: globals },
  { file: 'src/log/global-this.ts', text: `export const x = globalThis.performance;\n`, rule: globals },
  { file: 'src/log/random.ts', text: `export const x = Math.random();\n`, rule: 'eslint(no-restricted-properties)' },
  { file: 'src/log/random-by-part.ts', text: `export const { random } = Math;\n`, rule: 'eslint(no-restricted-properties)' },
  { file: 'src/log/signal.ts', text: `export const x = AbortSignal.timeout(1);\n`, rule: 'eslint(no-restricted-properties)' },
  { file: 'src/log/random-bytes.ts', text: `import { randomBytes } from 'node:crypto';\nexport const x = randomBytes(1);\n`, rule: 'eslint(no-restricted-imports)' },
  { file: 'src/log/random-star.ts', text: `import * as all from 'node:crypto';\nexport const x = all;\n`, rule: 'eslint(no-restricted-imports)' },
  { file: 'src/log/hash.ts', text: `import { createHash } from 'node:crypto';\nexport const x = createHash('sha256').update('').digest();\n` },
  { file: 'src/runtime/node/real.ts', text: `export const x = [Date.now(), Math.random(), process.pid];\n` },
  { file: 'cmd/real.ts', text: `console.log(Date.now(), process.pid);\n` },
];

const craft: Snippet[] = [
  { file: 'src/log/floating.ts', text: `export function x(task: () => Promise<void>): void {\n  task();\n}\n`, rule: 'typescript(no-floating-promises)' },
  { file: 'src/log/floating-void.ts', text: `export function x(task: () => Promise<void>): void {\n  void task();\n}\n`, rule: 'typescript(no-floating-promises)' },
  { file: 'test/log/floating.ts', text: `export function x(task: () => Promise<void>): void {\n  task();\n}\n`, rule: 'typescript(no-floating-promises)' },
  { file: 'src/log/misused.ts', text: `export function x(list: number[], f: (n: number) => Promise<void>): void {\n  list.forEach(f);\n}\n`, rule: 'typescript(no-misused-promises)' },
  { file: 'src/log/any.ts', text: `export function x(value: any): boolean {\n  return value === 1;\n}\n`, rule: 'typescript(no-explicit-any)' },
  { file: 'src/log/leaked-any.ts', text: `export const x: number = JSON.parse('1');\n`, rule: 'typescript(no-unsafe-assignment)' },
  { file: 'src/log/bang.ts', text: `export const x = (list: number[]) => list[0]!;\n`, rule: 'typescript(no-non-null-assertion)' },
  { file: 'src/log/default.ts', text: `export default 1;\n`, rule: 'import(no-default-export)' },
  { file: 'src/log/cycle-a.ts', text: `import { b } from './cycle-b.ts';\nexport const a = (): number => b();\n`, rule: 'import(no-cycle)' },
  { file: 'src/log/cycle-b.ts', text: `import { a } from './cycle-a.ts';\nexport const b = (): number => a();\n`, rule: 'import(no-cycle)' },
  { file: 'src/log/empty-catch.ts', text: `export function x(f: () => void): void {\n  try {\n    f();\n  } catch {}\n}\n`, rule: 'eslint(no-empty)' },
  { file: 'src/log/throw-text.ts', text: `export function x(): void {\n  throw 'text';\n}\n`, rule: 'typescript(only-throw-error)' },
  { file: 'src/log/lines-700.ts', text: 'export {};\n'.repeat(700) },
  { file: 'src/log/lines-701.ts', text: 'export {};\n'.repeat(701), rule: 'eslint(max-lines)' },
  { file: 'src/log/function-70.ts', text: functionOfLines(70) },
  { file: 'src/log/function-71.ts', text: functionOfLines(71), rule: 'eslint(max-lines-per-function)' },
  { file: 'test/log/function-71.ts', text: functionOfLines(71) },
  { file: 'test/log/lines-701.ts', text: 'export {};\n'.repeat(701), rule: 'eslint(max-lines)' },
  { file: 'test/log/only.test.ts', text: `import { expect, test } from 'vitest';\ntest.only('x', () => {\n  expect(1).toBe(1);\n});\n`, rule: 'vitest(no-focused-tests)' },
  { file: 'test/log/skip.test.ts', text: `import { expect, test } from 'vitest';\ntest.skip('x', () => {\n  expect(1).toBe(1);\n});\n`, rule: 'vitest(no-disabled-tests)' },
  { file: 'test/log/hollow.test.ts', text: `import { test } from 'vitest';\ntest('x', () => {});\n`, rule: 'vitest(expect-expect)' },
];

function functionOfLines(count: number): string {
  return `export function x(sum: number): number {\n${'  sum += 1;\n'.repeat(count - 3)}  return sum;\n}\n`;
}

const snippets = [...allowedImports, ...forbiddenImports, ...ambient, ...craft];

/** What imports lead to, so that only the door is wrong with them. */
function foundations(): Snippet[] {
  const rooms = ['errors', 'runtime', 'runtime/node', 'change', 'connector', 'log', 'state', 'config', 'capture', 'document', 'embed', 'apply', 'verify', 'pipeline', 'observe'];
  const files = [...rooms.map((room) => `src/${room}/x.ts`), 'src/index.ts', 'cmd/x.ts', 'test/x.ts', 'connectors/index.ts', 'connectors/targets/x/own.ts'];
  const connectors = ['targets/x', 'targets/y', 'sources/postgres'].map((folder) => `connectors/${folder}/x.ts`);
  return [...files, ...connectors].map((file) => ({ file, text: 'export const x = 1;\nexport type X = number;\n' }));
}

interface Report {
  readonly diagnostics: readonly { readonly code: string; readonly filename: string; readonly message: string }[];
}

const tree = mkdtempSync(join(tmpdir(), 'tailrace-lint-'));
const complaints = new Map<string, string[]>();

beforeAll(async () => {
  for (const name of ['.oxlintrc.json', 'oxlint-doors.ts', 'tsconfig.json', 'package.json']) copyFileSync(join(repository, name), join(tree, name));
  symlinkSync(join(repository, 'node_modules'), join(tree, 'node_modules'));
  for (const { file, text } of [...foundations(), ...snippets]) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), text);
  }
  for (const { code, filename } of (await lint(tree)).diagnostics) complaints.set(filename, [...(complaints.get(filename) ?? []), code]);
}, 60_000);

afterAll(() => rmSync(tree, { recursive: true }));

/** Lints as `npm run lint` does. It exits with 1 when it complains. */
async function lint(folder: string): Promise<Report> {
  const oxlint = join(repository, 'node_modules', 'oxlint', 'bin', 'oxlint');
  const options = { cwd: folder, maxBuffer: 1 << 26 };
  const run = promisify(execFile)(process.execPath, [oxlint, '--type-aware', '--format=json'], options);
  const { stdout } = await run.catch((error: unknown) => error as { stdout: string });
  return JSON.parse(stdout) as Report;
}

describe('the doors between rooms', () => {
  test.for([...forbiddenImports, ...allowedImports])('$file: $text', ({ file, rule }) => {
    expect(complaints.get(file) ?? []).toEqual(rule === undefined ? [] : [rule]);
  });
});

describe('the engine does not touch the world', () => {
  test.for(ambient)('$file: $text', ({ file, rule }) => {
    const found = new Set(complaints.get(file));
    expect([...found]).toEqual(rule === undefined ? [] : [rule]);
  });
});

describe('craft', () => {
  test.for(craft)('$file', ({ file, rule }) => {
    expect(complaints.get(file) ?? []).toEqual(rule === undefined ? [] : [rule]);
  });
});

test('each snippet has a place of its own', () => {
  const files = [...foundations(), ...snippets].map(({ file }) => file);
  expect(files.filter((file, at) => files.indexOf(file) !== at)).toEqual([]);
});
