/**
 * The simulator's target: the contract of `src/connector/target.ts` in memory, with faults where a real one has them. It knows no time
 * and no chance: what happens, and when, is what its caller says.
 *
 * `MemoryStorage` is what outlives the client: the server, or the file. It has two natures:
 * - `atomicCursor`, like SQLite: a batch and its cursor take effect together or not at all, deletes are remembered until `forgetBelow`;
 * - otherwise like OpenSearch: every operation by itself, no cursor, and deletes are remembered until `forgetDeletes` is called.
 */
import type { Seq } from '../../src/change/seq.ts';
import type { Finding } from '../../src/connector/finding.ts';
import type { Batch, GenerationBinding, GenerationListing, GenerationPlan, ItemResult, Operation, SearchHit, SearchRequest, Target, TargetGeneration, TargetStats } from '../../src/connector/target.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { invariant } from '../../src/errors/invariant.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

interface Kept {
  readonly version: bigint;
  /** Null: a remembered delete. */
  readonly document: string | null;
}

interface KeptGeneration {
  readonly binding: GenerationBinding;
  readonly documents: Map<string, Kept>;
  cursor: Seq | null;
  /** Everything below was cleared or swept; kept by atomic storage only. */
  floor: bigint;
  /** Undoes what took effect since the last answer that reached its caller, newest last. */
  readonly unanswered: (() => void)[];
}

interface KeptIndex {
  readonly generations: Map<number, KeptGeneration>;
  promoted: number | null;
}

export class MemoryStorage {
  readonly atomicCursor: boolean;
  readonly #indices = new Map<string, KeptIndex>();

  constructor({ atomicCursor }: { readonly atomicCursor: boolean }) {
    this.atomicCursor = atomicCursor;
  }

  index(name: string): KeptIndex {
    let index = this.#indices.get(name);
    if (index === undefined) {
      index = { generations: new Map(), promoted: null };
      this.#indices.set(name, index);
    }
    return index;
  }

  /** Of all indices, by index and number. */
  *listing(): Iterable<GenerationListing> {
    for (const [index, { generations, promoted }] of [...this.#indices].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      for (const [generation, { cursor, documents }] of [...generations].toSorted(([a], [b]) => a - b)) {
        yield { index, generation, promoted: promoted === generation, cursor, documents: [...documents.values()].filter(({ document }) => document !== null).length };
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
  }

  /** Remembered deletes are forgotten, as OpenSearch does after `index.gc_deletes` and at every restart. */
  forgetDeletes(): void {
    invariant(!this.atomicCursor, 'storage with an atomic cursor forgets deletes only when it is told to');
    for (const { documents } of this.#generations()) {
      for (const [id, { document }] of documents) if (document === null) documents.delete(id);
    }
  }

  *#generations(): Iterable<KeptGeneration> {
    for (const { generations } of this.#indices.values()) yield* generations.values();
  }
}

/** What goes wrong with one call of `apply`. */
export type ApplyFault =
  /** The batch is refused as a whole: nothing takes effect. */
  | { readonly kind: 'reject'; readonly code: ErrorCode }
  /** Everything takes effect, the answer is lost. */
  | { readonly kind: 'lost_answer' }
  /** The connection breaks when `operations` of them have taken effect (none in atomic storage). */
  | { readonly kind: 'torn'; readonly operations: number }
  /** Single operations are refused: results by place. The others take effect. */
  | { readonly kind: 'items'; readonly results: ReadonlyMap<number, Extract<ItemResult, { outcome: 'retry' | 'poison' }>> };

/** The first two may wait: a batch that waits in `before` while its client dies is a zombie's. */
export interface TargetFaults {
  before?(batch: Batch): ApplyFault | undefined | Promise<ApplyFault | undefined>;
  after?(batch: Batch): void | Promise<void>;
  /** A batch was torn: what it clears is cleared, and some of its operations have taken effect. */
  torn?(batch: Batch): void;
}

export class MemoryTarget implements Target {
  readonly name: string;
  readonly capabilities: Target['capabilities'];
  readonly #storage: MemoryStorage;
  readonly #faults: TargetFaults;

  constructor(name: string, storage: MemoryStorage, faults: TargetFaults = {}) {
    this.name = name;
    this.capabilities = { atomicCursor: storage.atomicCursor };
    this.#storage = storage;
    this.#faults = faults;
  }

  async check(): Promise<Finding[]> {
    return [{ level: 'ok', subject: 'memory', message: 'It is there.' }];
  }

  async open({ index, generation, binding }: GenerationPlan, signal: AbortSignal): Promise<TargetGeneration> {
    signal.throwIfAborted();
    const { generations } = this.#storage.index(index);
    let kept = generations.get(generation);
    if (kept === undefined) {
      kept = { binding, documents: new Map(), cursor: null, floor: 0n, unanswered: [] };
      generations.set(generation, kept);
    }
    for (const part of ['logId', 'epoch', 'fingerprint'] as const) {
      if (kept.binding[part] !== binding[part]) {
        throw new TailraceError('TGT_IDENTITY', { message: `Generation ${generation} of ${index} has the ${part} ${kept.binding[part]}, not ${binding[part]}.`, entity: index });
      }
    }
    return new MemoryGeneration(this.#storage, index, generation, kept, this.#faults);
  }

  async generations(signal: AbortSignal): Promise<GenerationListing[]> {
    signal.throwIfAborted();
    return [...this.#storage.listing()];
  }

  async drop(index: string, generation: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { generations, promoted } = this.#storage.index(index);
    invariant(promoted !== generation, `generation ${generation} of ${index} is dropped when readers no longer see it`);
    generations.delete(generation);
  }

  async search({ index, text, limit }: SearchRequest, signal: AbortSignal): Promise<SearchHit[]> {
    signal.throwIfAborted();
    const wanted = wordsOf(text);
    const hits: SearchHit[] = [];
    for (const [id, { document }] of this.#storage.promoted(index)?.documents ?? []) {
      if (document === null || wanted.length === 0) continue;
      const words = wordsOf(stringsIn(JSON.parse(document)).join(' '));
      const score = words.filter((word) => wanted.includes(word)).length / words.length;
      if (wanted.every((word) => words.includes(word))) hits.push({ id, score, document });
    }
    return hits.toSorted((a, b) => b.score - a.score).slice(0, limit);
  }

  async fetch(index: string, ids: readonly string[], signal: AbortSignal): Promise<({ document: string; version: bigint } | null)[]> {
    signal.throwIfAborted();
    const documents = this.#storage.promoted(index)?.documents;
    return ids.map((id) => {
      const kept = documents?.get(id);
      return kept === undefined || kept.document === null ? null : { document: kept.document, version: kept.version };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class MemoryGeneration implements TargetGeneration {
  readonly #storage: MemoryStorage;
  readonly #index: string;
  readonly #number: number;
  readonly #kept: KeptGeneration;
  readonly #faults: TargetFaults;

  constructor(storage: MemoryStorage, index: string, number: number, kept: KeptGeneration, faults: TargetFaults) {
    this.#storage = storage;
    this.#index = index;
    this.#number = number;
    this.#kept = kept;
    this.#faults = faults;
  }

  async cursor(): Promise<Seq | null> {
    this.#mustBeThere();
    // Whoever goes on from a cursor never sends what is behind it: what was told is durable.
    this.#kept.unanswered.length = 0;
    return this.#kept.cursor;
  }

  async apply(batch: Batch, signal: AbortSignal): Promise<ItemResult[]> {
    signal.throwIfAborted();
    const fault = await this.#faults.before?.(batch);
    signal.throwIfAborted();
    this.#mustBeThere();
    if (fault?.kind === 'reject') throw new TailraceError(fault.code, { message: 'The target refused the batch.', entity: this.#index });
    if (fault?.kind === 'torn') {
      if (!this.#storage.atomicCursor) {
        this.#take({ ...batch, operations: batch.operations.slice(0, fault.operations) }, undefined);
        this.#faults.torn?.(batch);
      }
      throw new TailraceError('TGT_CONN', { message: 'The connection broke while a batch was on its way.', entity: this.#index });
    }
    const results = this.#take(batch, fault?.kind === 'items' ? fault.results : undefined);
    await this.#faults.after?.(batch);
    if (fault?.kind === 'lost_answer') throw new TailraceError('TGT_CONN', { message: 'The answer to a batch was lost.', entity: this.#index });
    this.#kept.unanswered.length = 0;
    return results;
  }

  async sweep(version: bigint, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    this.#mustBeThere();
    const swept = this.#clear(version);
    this.#kept.unanswered.length = 0;
    return swept;
  }

  async promote(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#mustBeThere();
    this.#storage.index(this.#index).promoted = this.#number;
  }

  async stats(): Promise<TargetStats> {
    this.#mustBeThere();
    const live = [...this.#kept.documents.values()].filter(({ document }) => document !== null);
    return { documents: live.length, bytes: live.reduce((sum, { document }) => sum + (document?.length ?? 0), 0) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #mustBeThere(): void {
    if (this.#storage.index(this.#index).generations.get(this.#number) === this.#kept) return;
    throw new TailraceError('TGT_IDENTITY', { message: `Generation ${this.#number} of ${this.#index} was dropped.`, entity: this.#index });
  }

  /** The batch takes effect. */
  #take(batch: Batch, refusals: ReadonlyMap<number, ItemResult> | undefined): ItemResult[] {
    if (batch.clearBelow !== undefined) this.#clear(batch.clearBelow);
    const results = batch.operations.map((operation, place) => refusals?.get(place) ?? this.#write(operation));
    if (batch.forgetBelow !== undefined) this.#forget(batch.forgetBelow);
    const isRefused = results.some(({ outcome }) => outcome === 'retry' || outcome === 'poison');
    if (this.#storage.atomicCursor && !isRefused) this.#moveCursor(Math.max(this.#kept.cursor ?? 0, batch.cursor));
    return results;
  }

  #write(operation: Operation): ItemResult {
    const { id, version } = operation;
    const before = this.#kept.documents.get(id);
    const document = operation.kind === 'put' ? operation.document : null;
    if (version < this.#kept.floor || (before !== undefined && !winsOver(before, version, document))) return { outcome: 'stale' };
    if (document !== null && !isJson(document)) return { outcome: 'poison', code: 'TGT_REJECTED', reason: 'The document is not JSON.' };
    this.#set(id, { version, document });
    return { outcome: 'applied' };
  }

  #clear(version: bigint): number {
    let cleared = 0;
    for (const [id, kept] of this.#kept.documents) {
      if (kept.version >= version || kept.document === null) continue;
      this.#set(id, undefined);
      cleared += 1;
    }
    if (this.#storage.atomicCursor && version > this.#kept.floor) {
      const { floor } = this.#kept;
      this.#kept.floor = version;
      this.#kept.unanswered.push(() => (this.#kept.floor = floor));
    }
    return cleared;
  }

  #forget(version: bigint): void {
    for (const [id, kept] of this.#kept.documents) if (kept.document === null && kept.version < version) this.#set(id, undefined);
  }

  #moveCursor(cursor: Seq): void {
    const before = this.#kept.cursor;
    this.#kept.cursor = cursor;
    this.#kept.unanswered.push(() => (this.#kept.cursor = before));
  }

  #set(id: string, kept: Kept | undefined): void {
    const { documents, unanswered } = this.#kept;
    const before = documents.get(id);
    if (kept === undefined) documents.delete(id);
    else documents.set(id, kept);
    unanswered.push(() => {
      if (before === undefined) documents.delete(id);
      else documents.set(id, before);
    });
  }
}

/** A delete wins over a document of its own version, too. */
function winsOver(before: Kept, version: bigint, document: string | null): boolean {
  return before.version < version || (before.version === version && document === null && before.document !== null);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // The question was whether it parses.
    return false;
  }
}

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : [];
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}
