/**
 * What outlives the client of the simulator's target: the server, or the file. It has two natures:
 * - `atomicCursor`, like SQLite: a batch and its cursor take effect together or not at all, deletes are remembered until `forgetBelow`, readers see
 *   what was written at once, fields are of any kind;
 * - otherwise like OpenSearch: every operation by itself, no cursor, deletes (clearings and sweeps are such) are remembered until `forgetDeletes`
 *   or `remove` is called or a batch allows it, searches and counts see what was written before the last `refresh`, a field stays of the kind that
 *   it began with, and every generation has an incarnation.
 */
import type { ColumnKind } from '../../src/change/schema.ts';
import type { Seq } from '../../src/change/seq.ts';
import type { FieldPlan, GenerationBinding, GenerationListing, TargetStats } from '../../src/connector/target.ts';
import { invariant } from '../../src/errors/invariant.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

export interface Kept {
  readonly version: bigint;
  /** Null: a remembered delete. */
  readonly document: string | null;
}

export interface KeptGeneration {
  readonly binding: GenerationBinding;
  readonly documents: Map<string, Kept>;
  cursor: Seq | null;
  /** Everything below was cleared or swept; kept by atomic storage only. */
  floor: bigint;
  /** Undoes what took effect since the last answer that reached its caller, newest last. */
  readonly unanswered: (() => void)[];
  /** As `TargetGeneration.incarnation`; another one when `documents` are put back to an earlier time. */
  incarnation: string;
  /** The kinds that fields began with, by name; empty in atomic storage. */
  readonly kinds: Map<string, string>;
  /** What searches and counts see: `documents` itself in atomic storage, else as it was at the last refresh. */
  searchable: ReadonlyMap<string, Kept>;
}

export interface KeptIndex {
  readonly generations: Map<number, KeptGeneration>;
  promoted: number | null;
  /** Somebody else has given its name to something of their own. */
  foreign: boolean;
}

/** Kinds that are kept in the same way, so that a field may change from one to the other. */
const sameAs: Partial<Record<ColumnKind, string>> = { int: 'whole number', bigint: 'whole number' };

export class MemoryStorage {
  readonly atomicCursor: boolean;
  readonly #indices = new Map<string, KeptIndex>();
  #made = 0;

  constructor({ atomicCursor }: { readonly atomicCursor: boolean }) {
    this.atomicCursor = atomicCursor;
  }

  index(name: string): KeptIndex {
    let index = this.#indices.get(name);
    if (index === undefined) {
      index = { generations: new Map(), promoted: null, foreign: false };
      this.#indices.set(name, index);
    }
    return index;
  }

  /** A generation that is new and empty, and not in any index yet. */
  make(binding: GenerationBinding): KeptGeneration {
    const documents = new Map<string, Kept>();
    this.#made += 1;
    return {
      binding,
      documents,
      cursor: null,
      floor: 0n,
      unanswered: [],
      incarnation: this.atomicCursor ? '' : `made ${this.#made}`,
      kinds: new Map(),
      searchable: this.atomicCursor ? documents : new Map(),
    };
  }

  /** Of all indices, by index and number. */
  *listing(): Iterable<GenerationListing> {
    for (const [index, { generations, promoted }] of [...this.#indices].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      for (const [generation, kept] of [...generations].toSorted(([a], [b]) => a - b)) {
        yield { index, generation, promoted: promoted === generation, cursor: kept.cursor, documents: statsOf(kept).documents };
      }
    }
  }

  /** What readers of an index see. */
  promoted(name: string): KeptGeneration | undefined {
    const index = this.#indices.get(name);
    return index === undefined || index.promoted === null ? undefined : index.generations.get(index.promoted);
  }

  /** The server dies and comes back: effects whose answer never reached the caller are lost. */
  crash(): void {
    for (const { unanswered } of this.#generations()) {
      while (unanswered.length > 0) unanswered.pop()?.();
    }
    // Whoever comes back reads what is durable.
    this.refresh();
  }

  /** Remembered deletes are forgotten, as OpenSearch does after `index.gc_deletes` and at every restart. */
  forgetDeletes(): void {
    invariant(!this.atomicCursor, 'storage with an atomic cursor forgets deletes only when it is told to');
    for (const { documents } of this.#generations()) {
      for (const [id, { document }] of documents) if (document === null) documents.delete(id);
    }
  }

  /** Searches and counts see everything that was written, as they do on OpenSearch once every `index.refresh_interval`. */
  refresh(): void {
    for (const kept of this.#generations()) this.refreshOne(kept);
  }

  refreshOne(kept: KeptGeneration): void {
    kept.searchable = this.atomicCursor ? kept.documents : new Map(kept.documents);
  }

  /** Takes fields in, all or none. */
  prepare(index: string, { kinds }: KeptGeneration, fields: readonly FieldPlan[]): void {
    if (this.atomicCursor) return;
    const wanted = fields.map(({ name, kind }) => [name, sameAs[kind] ?? kind] as const);
    for (const [name, kind] of wanted) {
      const before = kinds.get(name) ?? kind;
      if (before !== kind) throw new TailraceError('TGT_MAPPING', { message: `The field ${name} of ${index} is kept as ${before}, and cannot become ${kind}.`, entity: index });
    }
    for (const [name, kind] of wanted) kinds.set(name, kind);
  }

  *#generations(): Iterable<KeptGeneration> {
    for (const { generations } of this.#indices.values()) yield* generations.values();
  }
}

export function statsOf({ searchable }: KeptGeneration): TargetStats {
  const live = [...searchable.values()].filter(({ document }) => document !== null);
  return { documents: live.length, bytes: live.reduce((sum, { document }) => sum + (document?.length ?? 0), 0) };
}
