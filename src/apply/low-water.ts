/** The cursor over batches that may finish out of order: the end of the longest finished prefix. */
import type { Seq } from '../change/seq.ts';
import { invariant } from '../errors/invariant.ts';

interface OpenBatch {
  readonly through: Seq;
  readonly commitTimeMs: number | null;
  done: boolean;
}

export class LowWater {
  #cursor: Seq;
  #commitTimeMs: number | null = null;
  readonly #open: OpenBatch[] = [];

  constructor(cursor: Seq) {
    this.#cursor = cursor;
  }

  get cursor(): Seq {
    return this.#cursor;
  }

  /** Source's wall clock at the newest commit up to the cursor; null while none came by. */
  get commitTimeMs(): number | null {
    return this.#commitTimeMs;
  }

  /** A batch that ends with `through` is on its way, with its newest commit if it has one; the returned function says that it is applied. */
  begin(through: Seq, commitTimeMs: number | null): () => void {
    const last = this.#open.at(-1)?.through ?? this.#cursor;
    invariant(through >= last, 'batches begin in the order of the log');
    const batch = { through, commitTimeMs, done: false };
    this.#open.push(batch);
    return () => {
      batch.done = true;
      while (this.#open[0]?.done === true) this.#pass(this.#open.shift() as OpenBatch);
    };
  }

  #pass({ through, commitTimeMs }: OpenBatch): void {
    this.#cursor = through;
    this.#commitTimeMs = commitTimeMs ?? this.#commitTimeMs;
  }
}
