/**
 * The simulator's target: the contract of `src/connector/target.ts` in memory, with faults where a real one has them. It knows no time
 * and no chance: what happens, and when, is what its caller says.
 */
import type { Seq } from '../../src/change/seq.ts';
import type { Finding } from '../../src/connector/finding.ts';
import type { Batch, FieldPlan, GenerationListing, GenerationPlan, ItemResult, Operation, SearchHit, SearchRequest, Seen, StoredDocument, Target, TargetGeneration, TargetStats } from '../../src/connector/target.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { invariant } from '../../src/errors/invariant.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { MemoryStorage, statsOf, type Kept, type KeptGeneration } from './memory-storage.ts';

export { MemoryStorage } from './memory-storage.ts';

/** Documents per page of a scan. */
const SCAN_PAGE = 100;

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

  async open({ index, generation, binding, fields }: GenerationPlan, signal: AbortSignal): Promise<TargetGeneration> {
    signal.throwIfAborted();
    const { generations } = this.#storage.index(index);
    let kept = generations.get(generation);
    if (kept === undefined) {
      kept = this.#storage.make(binding);
      this.#storage.prepare(index, kept, fields);
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
    for (const [id, { document }] of this.#storage.promoted(index)?.searchable ?? []) {
      if (document === null || wanted.length === 0) continue;
      const words = wordsOf(stringsIn(JSON.parse(document)).join(' '));
      const score = words.filter((word) => wanted.includes(word)).length / words.length;
      if (wanted.every((word) => words.includes(word))) hits.push({ id, score, document });
    }
    return hits.toSorted((a, b) => b.score - a.score).slice(0, limit);
  }

  async fetch(index: string, ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    signal.throwIfAborted();
    const documents = this.#storage.promoted(index)?.documents;
    return ids.map((id) => {
      const kept = documents?.get(id);
      return kept === undefined || kept.document === null ? null : { id, document: kept.document, version: kept.version };
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

  get incarnation(): string {
    return this.#kept.incarnation;
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

  async prepare(fields: readonly FieldPlan[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#mustBeThere();
    this.#storage.prepare(this.#index, this.#kept, fields);
  }

  async *scan(signal: AbortSignal): AsyncGenerator<readonly StoredDocument[]> {
    signal.throwIfAborted();
    this.#mustBeThere();
    // What a scan has told may be built upon: a crash does not take it back.
    this.#kept.unanswered.length = 0;
    const all = [...this.#kept.documents].flatMap(([id, { version, document }]) => (document === null ? [] : [{ id, version, document }]));
    for (let at = 0; at < all.length; at += SCAN_PAGE) {
      signal.throwIfAborted();
      this.#mustBeThere();
      yield all.slice(at, at + SCAN_PAGE);
    }
  }

  async *ids(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    for await (const page of this.scan(signal)) yield page.map(({ id }) => id);
  }

  async fetch(ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    signal.throwIfAborted();
    this.#mustBeThere();
    return ids.map((id) => {
      const kept = this.#kept.documents.get(id);
      return kept === undefined || kept.document === null ? null : { id, document: kept.document, version: kept.version };
    });
  }

  async remove(ids: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#mustBeThere();
    for (const id of ids) if (this.#kept.documents.has(id)) this.#set(id, undefined);
    // A server like OpenSearch forgets single deletes only with all others that it remembers.
    if (ids.length > 0 && !this.#storage.atomicCursor) this.#forget(null);
    this.#kept.unanswered.length = 0;
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
    const index = this.#storage.index(this.#index);
    if (index.foreign) throw new TailraceError('TGT_IDENTITY', { message: `Readers of ${this.#index} see something foreign.`, entity: this.#index });
    this.#storage.refreshOne(this.#kept);
    index.promoted = this.#number;
  }

  async seen(signal: AbortSignal): Promise<Seen> {
    signal.throwIfAborted();
    this.#mustBeThere();
    const { promoted, foreign } = this.#storage.index(this.#index);
    if (foreign) return new TailraceError('TGT_IDENTITY', { message: `Readers of ${this.#index} see something foreign.`, entity: this.#index });
    return promoted === this.#number ? 'this' : promoted === null ? 'nothing' : 'another';
  }

  async stats(): Promise<TargetStats> {
    this.#mustBeThere();
    return statsOf(this.#kept);
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
    if (version < this.#kept.floor || (before !== undefined && !this.#winsOver(before, version, document))) return { outcome: 'stale' };
    if (document !== null && !isJson(document)) return { outcome: 'poison', code: 'TGT_REJECTED', reason: 'The document is not JSON.' };
    this.#set(id, { version, document });
    return { outcome: 'applied' };
  }

  /** A delete wins over a document of its own version, too; a server like OpenSearch does not tell one that it has from one that it did not have. */
  #winsOver(before: Kept, version: bigint, document: string | null): boolean {
    return before.version < version || (before.version === version && document === null && (before.document !== null || !this.#storage.atomicCursor));
  }

  #clear(version: bigint): number {
    let cleared = 0;
    for (const [id, kept] of this.#kept.documents) {
      if (kept.version >= version || kept.document === null) continue;
      // A server like OpenSearch deletes one by one, and remembers those deletes too.
      this.#set(id, this.#storage.atomicCursor ? undefined : { version: version - 1n, document: null });
      cleared += 1;
    }
    if (this.#storage.atomicCursor && version > this.#kept.floor) {
      const { floor } = this.#kept;
      this.#kept.floor = version;
      this.#kept.unanswered.push(() => (this.#kept.floor = floor));
    }
    return cleared;
  }

  /** Deletes below a version, or all. */
  #forget(version: bigint | null): void {
    for (const [id, kept] of this.#kept.documents) if (kept.document === null && (version === null || kept.version < version)) this.#set(id, undefined);
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
