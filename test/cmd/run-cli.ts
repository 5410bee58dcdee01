/** Runs the real command line as a process, and waits for its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const script = join(repository, 'cmd', 'tailrace.ts');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node itself. */
  readonly node?: readonly string[];
  /** Another build of the command than the sources. */
  readonly script?: string;
}

const END_WITHIN_MS = 60_000;

/** What Node made of the sources, kept between processes: the command starts in half the time. Of this environment, so that whoever runs the tests decides about it. */
export const compileCache: Readonly<Record<string, string>> = process.env['NODE_COMPILE_CACHE'] === undefined ? {} : { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] };

export async function runCli(args: readonly string[], { cwd = repository, env = {}, node = [], script: command = script }: CliOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, [...node, command, ...args], { cwd, env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...compileCache, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: END_WITHIN_MS });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Shapes of two JSON values agree: the same names, the same kinds of values; null agrees with everything, an empty list with every list. */
export function shapeDifferences(documented: unknown, real: unknown, path = '$'): string[] {
  if (documented === null || real === null) return [];
  if (Array.isArray(documented) || Array.isArray(real)) {
    if (!Array.isArray(documented) || !Array.isArray(real)) return [`${path}: ${kindOf(documented)} is documented, ${kindOf(real)} is printed`];
    const [example] = documented as unknown[];
    return example === undefined ? [] : real.flatMap((item, i) => shapeDifferences(example, item, `${path}[${i}]`));
  }
  if (typeof documented !== 'object' || typeof real !== 'object') return typeof documented === typeof real ? [] : [`${path}: ${kindOf(documented)} is documented, ${kindOf(real)} is printed`];
  const names = new Set([...Object.keys(documented), ...Object.keys(real)]);
  return [...names].flatMap((name) => {
    if (!Object.hasOwn(real, name)) return [`${path}.${name} is documented and not printed`];
    if (!Object.hasOwn(documented, name)) return [`${path}.${name} is printed and not documented`];
    return shapeDifferences((documented as Record<string, unknown>)[name], (real as Record<string, unknown>)[name], `${path}.${name}`);
  });
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
