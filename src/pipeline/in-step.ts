/**
 * Up to which moment of its source an index has everything, told by moments at which the log had everything. A source that is silent for an
 * hour has no commit to measure from: an index that had all of it at the end of that hour is not an hour behind when the next commit comes.
 */
import type { Seq } from '../change/seq.ts';

/** Most moments that are remembered. Of those that lie further back every other one is forgotten then: an index that is far behind is measured more coarsely. */
const MARKS_MAX = 128;

interface Mark {
  /** Wall clock of the source when everything that was committed there was in the log, */
  readonly sourceMs: number;
  /** and this was the last seq that held anything of it, or a later one. */
  readonly seq: Seq;
  readonly place: string;
}

export class InStepMarks {
  /** In the order of time, which is that of seqs. */
  #marks: Mark[] = [];

  /**
   * The log, durable up to `seq`, holds everything that was committed when the source's clock was at `sourceMs`. `place` differs from what it was
   * the last time if the log got anything of the source since.
   */
  note(sourceMs: number, seq: Seq, place: string): void {
    const last = this.#marks.at(-1);
    if (last?.place === place) {
      this.#marks[this.#marks.length - 1] = { ...last, sourceMs };
      return;
    }
    this.#marks.push({ sourceMs, seq, place });
    if (this.#marks.length > MARKS_MAX) this.#marks = this.#marks.filter((_, i) => i % 2 === 0 || i >= MARKS_MAX / 2);
  }

  /** The source's clock at the latest moment of which everything up to `cursor` is all there was; null when no such moment is known. */
  at(cursor: Seq): number | null {
    return this.#marks.findLast(({ seq }) => seq <= cursor)?.sourceMs ?? null;
  }

  /** True when all that the log has of the source lies before `cursor`, given its place now. */
  isBehind(cursor: Seq, place: string): boolean {
    const last = this.#marks.at(-1);
    return last !== undefined && last.seq <= cursor && last.place === place;
  }
}
