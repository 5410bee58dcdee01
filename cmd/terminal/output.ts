/** Standard output and standard error, written to the end before the process ends, and quiet when the reader has gone (`| head`). */
import type { Paint } from './table.ts';
import { paintFor } from './table.ts';

export interface Output {
  readonly isTerminal: boolean;
  /** Without limit where nothing is cut: in a file, in a pipe. */
  readonly columns: number;
  readonly paint: Paint;
  readonly hasColours: boolean;
  /** Aborted when whoever read our output has closed it: nobody waits for more. */
  readonly closed: AbortSignal;
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
  readonly paint: Paint;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.paint = paintFor(stream);
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // Any other failure of our own output has nobody left to be told to either.
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
    if (this.closed.aborted || this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      this.closed.addEventListener('abort', () => resolve(), { once: true });
      this.#stream.write('', () => resolve());
    });
  }
}

export const standardOutput: Output = new StreamOutput(process.stdout);
export const standardError: Output = new StreamOutput(process.stderr);
