/** The embedded target: documents, full-text index, remembered deletes and cursor in one SQLite file, written in one transaction per batch. */
import type { Seq } from '../../../src/change/seq.ts';
import type { Finding } from '../../../src/connector/finding.ts';
import type { Batch, FieldPlan, GenerationListing, GenerationPlan, ItemResult, SearchHit, SearchRequest, Seen, StoredDocument, Target, TargetGeneration, TargetStats } from '../../../src/connector/target.ts';
import { Outcome, type BatchResult, type Exchanges, type PackedBatch, type ThreadStart } from './messages.ts';
import type { TextOptions } from './text.ts';
import { DatabaseThread } from './thread.ts';
import { takenError } from './views.ts';
import { walLimits } from './wal.ts';

/** After this long a lock of another program is reported (TGT_BLOCKED) instead of waited for. */
const LOCK_WAIT_MS = 10_000;

/** Ids that one transaction removes. */
const REMOVED_AT_ONCE = 1000;

export interface SqliteTargetOptions {
  readonly name: string;
  readonly path: string;
  readonly text: TextOptions;
  /** Limits other than the ones that the target comes with. */
  readonly limits?: Partial<Pick<ThreadStart, 'walLimits' | 'lockWaitMs'>>;
  /** Another file to run as the database threads. */
  readonly threadFile?: URL;
}

export class SqliteTarget implements Target {
  readonly name: string;
  readonly capabilities = { atomicCursor: true } as const;
  readonly #path: string;
  readonly #text: TextOptions;
  readonly #writer: DatabaseThread;
  readonly #reader: DatabaseThread;
  /** Compares what whole generations hold, and holds up no search. Its thread begins with the first request. */
  readonly #comparer: DatabaseThread;
  readonly #newScanner: () => DatabaseThread;

  constructor({ name, path, text, limits, threadFile }: SqliteTargetOptions) {
    this.name = name;
    this.#path = path;
    this.#text = text;
    const start = { path, walLimits, lockWaitMs: LOCK_WAIT_MS, ...limits };
    this.#writer = new DatabaseThread({ role: 'writer', ...start }, threadFile);
    this.#reader = new DatabaseThread({ role: 'reader', ...start }, threadFile);
    this.#comparer = new DatabaseThread({ role: 'reader', ...start }, threadFile);
    this.#newScanner = () => new DatabaseThread({ role: 'scanner', ...start }, threadFile);
  }

  check(signal: AbortSignal): Promise<Finding[]> {
    return this.#reader.request('check', null, signal);
  }

  async open(plan: GenerationPlan, signal: AbortSignal): Promise<TargetGeneration> {
    const { uid } = await this.#writer.request('open', { plan, text: this.#text }, signal);
    return new SqliteGeneration({ uid, index: plan.index, path: this.#path, writer: this.#writer, reader: this.#comparer, newScanner: this.#newScanner });
  }

  generations(signal: AbortSignal): Promise<GenerationListing[]> {
    return this.#reader.request('generations', null, signal);
  }

  async drop(index: string, generation: number, signal: AbortSignal): Promise<void> {
    await this.#writer.request('drop', { index, generation }, signal);
  }

  search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]> {
    return this.#reader.request('search', request, signal);
  }

  fetch(index: string, ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    return this.#reader.request('fetch', { index, ids }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The writer last: the last connection to close is the one that can empty the write-ahead log.
    await this.#writer.close(Promise.all([this.#reader.close(), this.#comparer.close()]).then(() => {}));
  }
}

interface OpenedGeneration {
  readonly uid: string;
  readonly index: string;
  readonly path: string;
  readonly writer: DatabaseThread;
  readonly reader: DatabaseThread;
  readonly newScanner: () => DatabaseThread;
}

class SqliteGeneration implements TargetGeneration {
  /** The file keeps the cursor. */
  readonly incarnation = '';
  readonly #opened: OpenedGeneration;

  constructor(opened: OpenedGeneration) {
    this.#opened = opened;
  }

  async cursor(): Promise<Seq | null> {
    const { cursor } = await this.#opened.writer.request('state', { uid: this.#opened.uid });
    return cursor;
  }

  async apply(batch: Batch, signal: AbortSignal): Promise<ItemResult[]> {
    const packed = pack(batch);
    const result = await this.#opened.writer.request('apply', { uid: this.#opened.uid, batch: packed }, signal, [packed.versions.buffer]);
    return resultsOf(result);
  }

  async prepare(fields: readonly FieldPlan[], signal: AbortSignal): Promise<void> {
    if (fields.length > 0) await this.#opened.writer.request('prepare', { uid: this.#opened.uid, fields }, signal);
  }

  scan(signal: AbortSignal): AsyncGenerator<readonly StoredDocument[]> {
    return this.#pages('scan', signal);
  }

  ids(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    return this.#pages('ids', signal);
  }

  async fetch(ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    const { documents, versions } = await this.#opened.reader.request('documents', { uid: this.#opened.uid, ids }, signal);
    return documents.map((document, i) => (document === null ? null : { id: ids[i] as string, version: versions[i] as bigint, document }));
  }

  async *#pages<K extends 'scan' | 'ids'>(kind: K, signal: AbortSignal): AsyncGenerator<Exchanges[K]['reply']> {
    const scanner = this.#opened.newScanner();
    try {
      for (;;) {
        const page = await scanner.request(kind, { uid: this.#opened.uid }, signal);
        if (page.length === 0) return;
        yield page;
      }
    } finally {
      await scanner.close();
    }
  }

  async remove(ids: readonly string[], signal: AbortSignal): Promise<void> {
    for (let from = 0; from < ids.length; from += REMOVED_AT_ONCE) {
      await this.#opened.writer.request('remove', { uid: this.#opened.uid, ids: ids.slice(from, from + REMOVED_AT_ONCE) }, signal);
    }
  }

  async sweep(version: bigint, signal: AbortSignal): Promise<number> {
    let swept = 0;
    let after: number | null = 0;
    while (after !== null) {
      const { removed, next }: Exchanges['sweep']['reply'] = await this.#opened.writer.request('sweep', { uid: this.#opened.uid, version, after }, signal);
      swept += removed;
      after = next;
    }
    return swept;
  }

  async promote(signal: AbortSignal): Promise<void> {
    await this.#opened.writer.request('promote', { uid: this.#opened.uid }, signal);
  }

  async seen(signal: AbortSignal): Promise<Seen> {
    const found = await this.#opened.reader.request('seen', { uid: this.#opened.uid }, signal);
    return typeof found === 'string' ? found : takenError(found, this.#opened.index, this.#opened.path);
  }

  async stats(): Promise<TargetStats> {
    const { documents, bytes } = await this.#opened.writer.request('state', { uid: this.#opened.uid });
    return { documents, bytes };
  }

  /** Nothing to let go: the file belongs to the target. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

function pack({ operations, clearBelow, forgetBelow, cursor }: Batch): PackedBatch {
  const count = operations.length;
  const ids: string[] = [];
  const documents: (string | null)[] = [];
  const versions = new BigInt64Array(count);
  for (let i = 0; i < count; i += 1) {
    const operation = operations[i] as Batch['operations'][number];
    ids.push(operation.id);
    versions[i] = operation.version;
    documents.push(operation.kind === 'put' ? operation.document : null);
  }
  return { ids, versions, documents, clearBelow, forgetBelow, cursor };
}

const applied: ItemResult = { outcome: 'applied' };
const stale: ItemResult = { outcome: 'stale' };

function resultsOf({ outcomes, poison }: BatchResult): ItemResult[] {
  const results = Array.from(outcomes, (outcome) => (outcome === Outcome.stale ? stale : applied));
  for (const { at, code, reason } of poison) results[at] = { outcome: 'poison', code, reason };
  return results;
}
