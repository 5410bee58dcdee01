/** The cursor over batches that may finish out of order: the end of the longest finished prefix. */
import type { Seq } from '../change/seq.ts';
import { invariant } from '../errors/invariant.ts';

export class LowWater {
  #cursor: Seq;
  readonly #open: { readonly through: Seq; done: boolean }[] = [];

  constructor(cursor: Seq) {
    this.#cursor = cursor;
  }

  get cursor(): Seq {
    return this.#cursor;
  }

  /** A batch that ends with `through` is on its way; the returned function says that it is applied. */
  begin(through: Seq): () => void {
    const last = this.#open.at(-1)?.through ?? this.#cursor;
    invariant(through >= last, 'batches begin in the order of the log');
    const batch = { through, done: false };
    this.#open.push(batch);
    return () => {
      batch.done = true;
      while (this.#open[0]?.done === true) this.#cursor = (this.#open.shift() as { through: Seq }).through;
    };
  }
}
