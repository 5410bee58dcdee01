/** Histories of batches made from a seed, and the model that says what a target holds after any of them. */
import { versionOf, type Seq } from '../../src/change/seq.ts';
import type { Batch, ItemResult, Operation, Target } from '../../src/connector/target.ts';

/** Reproducible numbers in [0, 1) (mulberry32). */
export function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface HistoryShape {
  readonly seed: number;
  readonly ids: readonly string[];
  readonly changesMax: number;
  /** Truncates happen. */
  readonly clears: boolean;
  /** Batches say that nothing older than this many batches is ever replayed; 0: they say nothing. */
  readonly forgetAfter: number;
}

const EPOCH = 3;
const words = ['amber', 'basalt', 'cedar', 'delta', 'ember', 'fjord', 'grove', 'heath', 'islet', 'juniper', 'kelp', 'lagoon', 'marsh', 'nectar', 'opal', 'prairie'];

/**
 * Batches as an applier makes them from a log: dense seqs, the last change per key, keys deleted and used again. Endless, and the same
 * for the same shape.
 */
export function* history({ seed, ids, changesMax, clears, forgetAfter }: HistoryShape): Generator<Batch, never> {
  const next = numbersFrom(seed);
  const firstVersions: bigint[] = [];
  let seq: Seq = 0;
  for (;;) {
    firstVersions.push(versionOf(EPOCH, seq + 1));
    const changes = new Map<string, Operation>();
    let clearBelow: bigint | undefined;
    for (let count = 1 + Math.floor(next() ** 2 * changesMax); count > 0; count -= 1) {
      seq += 1;
      const version = versionOf(EPOCH, seq);
      if (clears && next() < 0.01) {
        changes.clear();
        clearBelow = version;
        continue;
      }
      const id = ids[Math.floor(next() * ids.length)] as string;
      changes.set(id, next() < 0.3 ? { kind: 'delete', id, version } : { kind: 'put', id, version, document: documentOf(id, seq, next) });
    }
    const forgetBelow = forgetAfter === 0 ? undefined : firstVersions.at(-1 - forgetAfter);
    yield { operations: [...changes.values()], clearBelow, forgetBelow, cursor: seq };
  }
}

function documentOf(id: string, seq: Seq, next: () => number): string {
  const word = (): string => words[Math.floor(next() * words.length)] as string;
  const text = Array.from({ length: 1 + Math.floor(next() * 12) }, word).join(' ');
  return JSON.stringify({ id, seq, text, tags: [word(), word()] });
}

export type HeldDocument = { readonly document: string; readonly version: bigint } | null;

/** What a target says to a delete that it has: one that does not keep the cursor need not know. */
export function repeatedDelete({ capabilities }: Pick<Target, 'capabilities'>): 'applied' | 'stale' {
  return capabilities.atomicCursor ? 'stale' : 'applied';
}

/** A target as it should be, in a few lines. It remembers deletes for ever. */
export class TargetModel {
  readonly #kept = new Map<string, { readonly version: bigint; readonly document: string | null }>();
  readonly #deleteAgain: 'applied' | 'stale';
  cursor: Seq | null = null;

  /** A delete that comes again changes nothing; what a target says to it is its own affair (see `repeatedDelete`). */
  constructor(target: Pick<Target, 'capabilities'>) {
    this.#deleteAgain = repeatedDelete(target);
  }

  /** What each operation comes to. */
  apply({ operations, clearBelow, cursor }: Batch): ItemResult['outcome'][] {
    if (clearBelow !== undefined) this.sweep(clearBelow);
    this.cursor = Math.max(this.cursor ?? 0, cursor);
    return operations.map((operation) => {
      const { id, version } = operation;
      const kept = this.#kept.get(id) ?? { version: -1n, document: null };
      const isOwn = operation.kind === 'delete' && kept.version === version;
      if (isOwn && kept.document === null) return this.#deleteAgain;
      if (kept.version >= version && !isOwn) return 'stale';
      this.#kept.set(id, { version, document: operation.kind === 'put' ? operation.document : null });
      return 'applied';
    });
  }

  /** Everything older is gone for good: an older write of the same id is stale. */
  sweep(version: bigint): void {
    for (const [id, kept] of this.#kept) if (kept.version < version) this.#kept.set(id, { version: version - 1n, document: null });
  }

  documents(ids: readonly string[]): HeldDocument[] {
    return ids.map((id) => {
      const kept = this.#kept.get(id);
      return kept === undefined || kept.document === null ? null : { document: kept.document, version: kept.version };
    });
  }

  get count(): number {
    return [...this.#kept.values()].filter(({ document }) => document !== null).length;
  }
}
