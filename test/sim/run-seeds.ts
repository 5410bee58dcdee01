/** Runs seeds in processes of their own: the world replaces some modules of the engine while it loads. */
import { spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface SeedReport {
  readonly seed: number;
  readonly findings: readonly { readonly promise: string; readonly message: string }[];
  /** How often each thing happened. */
  readonly coverage: Readonly<Record<string, number>>;
  readonly traceHash: string;
}

export interface SeedRun {
  readonly first: number;
  readonly count: number;
  /** The name of a mutation that is put into the engine. */
  readonly mutation?: string;
  /** Ends with the first seed that has a finding. */
  readonly untilFound?: boolean;
}

export interface SeedsDone {
  readonly reports: readonly SeedReport[];
  /** Null when the process ended as it should; else what it last said. A process that ends otherwise met an error that nobody caught. */
  readonly failure: string | null;
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export async function runSeeds({ first, count, mutation, untilFound = false }: SeedRun): Promise<SeedsDone> {
  const args = ['--import', path('./build/register.ts'), path('./run.ts'), String(first), String(count), ...(untilFound ? ['--until-found'] : [])];
  const env = { ...process.env, TAILRACE_SIM_PATCHES: mutation === undefined ? 'limits' : `limits,${mutation}` };
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const exited = new Promise<number | string>((resolve) => child.once('exit', (status, signal) => resolve(status ?? String(signal))));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = `${said}${text}`.slice(-4_000)));
  const reports: SeedReport[] = [];
  for await (const line of createInterface({ input: child.stdout })) reports.push(JSON.parse(line) as SeedReport);
  const status = await exited;
  return { reports, failure: status === 0 ? null : `ended with ${status}: ${said}` };
}

/** Does the work for each item, so many at a time. */
export async function eachOf<T, R>(items: readonly T[], atOnce: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const rest = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}
