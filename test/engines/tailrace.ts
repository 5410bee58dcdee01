/** tailrace as users run it: a process of its own, seen through its log lines, its exit status, and the signals it is sent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { compileCache, repository, script as tailraceScript } from '../cmd/run-cli.ts';
import { guardProcess } from './servers-guard.ts';
import { eventually } from './servers.ts';

export interface SpawnOptions {
  /** Added to a bare environment (PATH, HOME, TMPDIR): nothing of the test run's own leaks in. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Program and arguments to run it through, such as `strace -D -f -e inject=...`; it must leave the process its pid and exit status. */
  readonly through?: readonly string[];
}

/** One log line: an object with at least an event name. */
export interface LogLine {
  /** The event name. */
  readonly msg?: string;
  readonly [field: string]: unknown;
}

export interface Ending {
  /** Exit status, or null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface EventOptions {
  readonly deadlineMs?: number;
  /** Further condition on the line. */
  readonly where?: (line: LogLine) => boolean;
  /** Only lines from this one on count: the `lines.length` of an earlier moment. */
  readonly from?: number;
}

const eventDeadlineMs = 60_000;
const exitDeadlineMs = 60_000;
const reportedOutputChars = 8_000;

export class TailraceProcess implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #lines: LogLine[] = [];
  readonly #chunks: string[] = [];
  #ending: Ending | undefined;

  constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
    this.#collect(child.stdout);
    this.#collect(child.stderr);
    // `close` comes after `exit` and after the last output, so that no line is missing when the ending is known.
    child.once('close', (code, signal) => (this.#ending = { code, signal }));
  }

  /** Every log line so far, of standard output and standard error. Other output is in `output` only. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  /** Everything it wrote. */
  get output(): string {
    return this.#chunks.join('');
  }

  /** Undefined while it runs. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Waits for a log line of this name; throws with the output when the process ends first or the deadline passes. */
  async event(name: string, options: EventOptions = {}): Promise<LogLine> {
    const find = (): LogLine | undefined =>
      this.#lines.slice(options.from ?? 0).find((line) => line.msg === name && (options.where?.(line) ?? true));
    const found = await this.#reported(`event "${name}"`, options.deadlineMs ?? eventDeadlineMs, () => find() ?? this.#ending);
    if (found !== this.#ending) return found as LogLine;
    throw new Error(`tailrace ended with ${describeEnding(this.#ending)} before event "${name}":\n${this.#tail()}`);
  }

  /** Waits until it has ended. */
  async exit(deadlineMs = exitDeadlineMs): Promise<Ending> {
    return await this.#reported('the end of tailrace', deadlineMs, () => this.#ending);
  }

  /** SIGTERM asks it to stop, SIGKILL is a crash, SIGSTOP and SIGCONT are a machine that pauses. Does nothing when it has ended. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    await this.exit();
  }

  #collect(stream: NodeJS.ReadableStream | null): void {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      this.#chunks.push(chunk);
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        const line = logLineOf(part);
        if (line !== undefined) this.#lines.push(line);
      }
    });
  }

  async #reported<T>(what: string, deadlineMs: number, probe: () => T): Promise<Exclude<T, undefined | false>> {
    try {
      return await eventually(what, deadlineMs, probe);
    } catch (error) {
      throw new Error(`${(error as Error).message}; its output:\n${this.#tail()}`, { cause: error });
    }
  }

  #tail(): string {
    return this.output.slice(-reportedOutputChars);
  }
}

function describeEnding(ending: Ending | undefined): string {
  return ending?.signal ?? `exit status ${ending?.code}`;
}

function logLineOf(text: string): LogLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    // Not every line that begins with a brace is a log line; a torn one (after SIGKILL) is none either.
    return undefined;
  }
}

/** Runs a script under this test run's own Node. It is ended with the test process at the latest. */
export async function spawnScript(script: string, args: readonly string[], options: SpawnOptions = {}): Promise<TailraceProcess> {
  const [program, ...rest] = [...(options.through ?? []), process.execPath, script, ...args];
  if (program === undefined) throw new Error('there is always a program: Node at least');
  const { PATH, HOME, TMPDIR } = process.env;
  const child = spawn(program, rest, {
    cwd: options.cwd ?? repository,
    env: { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), ...compileCache, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await once(child, 'spawn');
  guardProcess(child);
  if (child.pid === undefined) throw new Error('a process that has spawned has a pid');
  return new TailraceProcess(child, child.pid);
}

/** Runs `tailrace ARGS` from the sources, as `npm run demo` and the container do. */
export async function spawnTailrace(args: readonly string[], options: SpawnOptions = {}): Promise<TailraceProcess> {
  return await spawnScript(tailraceScript, args, options);
}
