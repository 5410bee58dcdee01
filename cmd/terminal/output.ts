/** Standard output and standard error, written to the end before the process ends, and quiet when the reader has gone (`| head`). */
import { setImmediate as turn } from 'node:timers/promises';
import type { Paint } from './table.ts';
import { paintFor } from './table.ts';

export interface Output {
  readonly isTerminal: boolean;
  /** Without limit where nothing is cut: in a file, in a pipe. */
  readonly columns: number;
  readonly paint: Paint;
  readonly hasColours: boolean;
  /** Aborted when whoever read our output has closed it, or it cannot be written any more: nobody waits for more. */
  readonly closed: AbortSignal;
  /** Why it could not be written, where that is not that its reader has gone: what was asked for is not complete. */
  readonly failure: Error | undefined;
  write(text: string): void;
  /** Writes lines with a newline each. */
  lines(lines: readonly string[]): void;
  /** Resolves when everything is written, or nobody reads it any more. */
  drained(): Promise<void>;
}

const COLUMNS_DEFAULT = 100;

class StreamOutput implements Output {
  readonly #stream: NodeJS.WriteStream;
  readonly #closed = new AbortController();
  #failure: Error | undefined;
  readonly paint: Paint;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.paint = paintFor(stream);
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') this.#failure ??= error;
      this.#closed.abort(error);
    });
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  get hasColours(): boolean {
    return this.paint('red', 'x') !== 'x';
  }

  get columns(): number {
    if (!this.isTerminal) return Infinity;
    // A terminal that does not tell its size says 0.
    const { columns } = this.#stream;
    return columns > 0 ? columns : COLUMNS_DEFAULT;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  write(text: string): void {
    if (!this.closed.aborted) this.#stream.write(text);
  }

  lines(lines: readonly string[]): void {
    this.write(lines.map((line) => `${line}\n`).join(''));
  }

  async drained(): Promise<void> {
    // Writes to files are done when they return; that one failed is told a turn later.
    await turn();
    if (this.closed.aborted || this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      this.closed.addEventListener('abort', () => resolve(), { once: true });
      this.#stream.write('', () => resolve());
    });
  }
}

export const standardOutput: Output = new StreamOutput(process.stdout);
export const standardError: Output = new StreamOutput(process.stderr);
