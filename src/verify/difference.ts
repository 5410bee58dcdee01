/** What a comparison finds to be otherwise than it should. */
import type { Seq } from '../change/seq.ts';

/**
 * - `missing`: the row makes a document, and the target has none;
 * - `extra`: the target has a document that no row makes;
 * - `stale`: it is of an older change of the row than the newest that is applied;
 * - `altered`: it is of the right change, or the log does not tell, and says something else;
 * - `wrong_version`: it says what it should, with a version that it cannot have;
 * - `unreadable`: it is no JSON object.
 */
export const DIFFERENCE_KINDS = ['missing', 'extra', 'stale', 'altered', 'wrong_version', 'unreadable'] as const;
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

export interface Difference {
  readonly kind: DifferenceKind;
  /** Document id. */
  readonly id: string;
  /** Of the row, encoded; null when no row can have the id. */
  readonly key: Uint8Array | null;
  /** The first field that differs; null where it is about the document as a whole. */
  readonly field: string | null;
  /** What the target has; null for nothing. */
  readonly storedVersion: bigint | null;
  /** The log as a whole was up to this when it was found. */
  readonly seq: Seq;
}

/** Most differences that are remembered one by one; all are counted. */
export const DIFFERENCES_KEPT_MAX = 50_000;

/** Collects differences: each document once. */
export class Differences {
  readonly #kept = new Map<string, Difference>();
  readonly #counts = new Map<DifferenceKind, number>();
  #count = 0;

  add(difference: Difference): void {
    // A table that was rewritten under way is read twice; beyond the limit a document may count twice.
    if (this.#kept.has(difference.id)) return;
    this.#count += 1;
    this.#counts.set(difference.kind, (this.#counts.get(difference.kind) ?? 0) + 1);
    if (this.#kept.size < DIFFERENCES_KEPT_MAX) this.#kept.set(difference.id, difference);
  }

  get count(): number {
    return this.#count;
  }

  get kept(): readonly Difference[] {
    return [...this.#kept.values()];
  }

  /** By kind; kinds that were not found are left out. */
  get counts(): Readonly<Partial<Record<DifferenceKind, number>>> {
    return Object.fromEntries(DIFFERENCE_KINDS.flatMap((kind) => (this.#counts.has(kind) ? [[kind, this.#counts.get(kind)]] : [])));
  }

  /** Gives kinds anew to those that are kept. */
  reclassify(kindOf: (difference: Difference) => DifferenceKind): void {
    for (const [id, difference] of this.#kept) {
      const kind = kindOf(difference);
      if (kind === difference.kind) continue;
      this.#counts.set(difference.kind, (this.#counts.get(difference.kind) ?? 1) - 1);
      if (this.#counts.get(difference.kind) === 0) this.#counts.delete(difference.kind);
      this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
      this.#kept.set(id, { ...difference, kind });
    }
  }
}
