/** What happened in a run, in order. Its hash tells whether two runs were the same; its lines are kept when a person wants to read them. */
import { crc32 } from 'node:zlib';

/** Lines that are kept when nobody asked for all of them: what led to a failure. */
const LAST_LINES = 60;

export class Trace {
  readonly #keepAll: boolean;
  readonly #lines: string[] = [];
  #hash = 0;
  #count = 0;

  constructor(options: { readonly keepAll: boolean }) {
    this.#keepAll = options.keepAll;
  }

  /** Over all lines so far. */
  get hash(): string {
    return `${this.#hash.toString(16).padStart(8, '0')}-${this.#count}`;
  }

  note(atMs: number, text: string): void {
    const line = `${atMs.toFixed(3)} ${text}`;
    this.#hash = crc32(line, this.#hash);
    this.#count += 1;
    this.#lines.push(line);
    if (!this.#keepAll && this.#lines.length > LAST_LINES * 2) this.#lines.splice(0, LAST_LINES);
  }

  /** All lines, or the last ones. */
  lines(): readonly string[] {
    return this.#keepAll ? this.#lines : this.#lines.slice(-LAST_LINES);
  }
}
