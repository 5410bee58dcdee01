/** One opened generation: everything goes through its write alias, and to no index but the one that was opened. */
import type { Seq } from '../../../src/change/seq.ts';
import type { Batch, FieldPlan, GenerationPlan, ItemResult, Operation, Seen, StoredDocument, TargetGeneration, TargetStats } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import type { BulkSender } from './bulk.ts';
import { parsed, pathOf, type Cluster } from './cluster.ts';
import type { Dialect } from './dialect.ts';
import { failureOf, rebuilding, serverErrorOf } from './failure.ts';
import { bringFields } from './fields.ts';
import { incarnationOf, indexState, type IndexState } from './index-state.ts';
import { assertOwn, newMeta, overwrittenMeta } from './meta.ts';
import { writeAliasNumber } from './names.ts';
import type { OpenedIndex } from './opening.ts';
import { promote, seenFrom } from './promotion.ts';
import { fetchPhysical } from './reading.ts';
import { removeAndForget, sweepBelow, type RemovalDeps } from './removal.ts';
import { scanPages } from './scan.ts';

/** An index that is put back from a snapshot has its aliases again: that it is the one that was opened is looked at this often. */
const LOOK_EVERY_MS = 10_000;

export interface GenerationDeps {
  readonly plan: GenerationPlan;
  readonly opened: OpenedIndex;
  readonly cluster: Cluster;
  readonly dialect: Dialect;
  readonly sender: BulkSender;
  readonly clock: Clock;
  /** It is used no more. */
  readonly onClosed: (generation: OpenSearchGeneration) => void;
}

export class OpenSearchGeneration implements TargetGeneration {
  readonly incarnation: string;
  readonly #deps: GenerationDeps;
  /** Fields that the index has, each with what it was asked to be. */
  readonly #known: Set<string>;
  #isDropped = false;
  #lookedAtMs: number;

  constructor(deps: GenerationDeps) {
    this.#deps = deps;
    this.incarnation = deps.opened.incarnation;
    this.#known = new Set(deps.plan.fields.map(identityOf));
    this.#lookedAtMs = deps.clock.monotonicMs();
  }

  get physical(): string {
    return this.#deps.opened.physical;
  }

  /** Its index was deleted by this process: whatever is asked of it from now on ends with TGT_IDENTITY. */
  markDropped(): void {
    this.#isDropped = true;
  }

  /** The engine keeps it. */
  async cursor(): Promise<Seq | null> {
    return null;
  }

  async apply({ operations, clearBelow }: Batch, signal: AbortSignal): Promise<ItemResult[]> {
    await this.#look(signal);
    return await this.#troubled(async () => {
      if (clearBelow !== undefined) await this.#sweep(clearBelow, signal);
      return await this.#send(operations, signal);
    });
  }

  async prepare(fields: readonly FieldPlan[], signal: AbortSignal): Promise<void> {
    const { plan, cluster, dialect, opened } = this.#deps;
    const added = fields.filter((field) => !this.#known.has(identityOf(field)));
    if (added.length === 0) return;
    await this.#look(signal);
    await this.#troubled(() => bringFields(added, { cluster, dialect, plan, physical: this.physical, settings: opened.settings }, signal));
    for (const field of added) this.#known.add(identityOf(field));
  }

  async *scan(signal: AbortSignal): AsyncGenerator<readonly StoredDocument[], void, undefined> {
    const { cluster, dialect } = this.#deps;
    await this.#lookNow(signal);
    yield* scanPages({ physical: this.physical, shards: await this.#shards(signal), idsOnly: false }, cluster, dialect, signal);
  }

  async *ids(signal: AbortSignal): AsyncGenerator<readonly string[], void, undefined> {
    const { cluster, dialect } = this.#deps;
    await this.#lookNow(signal);
    const pages = scanPages({ physical: this.physical, shards: await this.#shards(signal), idsOnly: true }, cluster, dialect, signal);
    for await (const page of pages) yield page.map(({ id }) => id);
  }

  async fetch(ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    await this.#look(signal);
    const documents = await fetchPhysical(this.physical, ids, this.#deps.cluster, signal);
    return documents ?? (await this.#gone(signal));
  }

  async remove(ids: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#lookNow(signal);
    await this.#troubled(() => removeAndForget(ids, this.physical, this.#deps.opened.alias, this.#removal(), (s) => this.#gone(s), signal));
  }

  async sweep(version: bigint, signal: AbortSignal): Promise<number> {
    await this.#lookNow(signal);
    return await this.#troubled(() => this.#sweep(version, signal));
  }

  async promote(signal: AbortSignal): Promise<void> {
    const { plan, cluster, opened } = this.#deps;
    await this.#lookNow(signal);
    if (!(await promote({ plan, physical: opened.physical, alias: opened.alias, settings: opened.settings }, cluster, signal))) await this.#gone(signal);
  }

  async seen(signal: AbortSignal): Promise<Seen> {
    const { plan, cluster, opened } = this.#deps;
    const state = await this.#lookNow(signal);
    if (state.meta === undefined) return overwrittenMeta(state, newMeta(plan, opened.settings), 'What is written to this index goes on; after a restart it would not.');
    return await seenFrom(this.physical, plan.index, cluster, signal);
  }

  async stats(): Promise<TargetStats> {
    const { signal } = new AbortController();
    const answer = await this.#deps.cluster.request({ method: 'GET', path: `${pathOf(this.physical)}/_stats/docs,store?filter_path=_all.primaries.docs.count,_all.primaries.store.size_in_bytes` }, signal);
    if (answer.status === 404) await this.#gone(signal);
    const what = `asking for the size of ${this.physical}`;
    if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), what);
    const { _all: all } = parsed(answer, what) as { readonly _all?: { readonly primaries?: { readonly docs?: { readonly count?: number }; readonly store?: { readonly size_in_bytes?: number } } } };
    return { documents: all?.primaries?.docs?.count ?? 0, bytes: all?.primaries?.store?.size_in_bytes ?? null };
  }

  /** Connections belong to the target, and the write alias stays until the next opening takes it away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#deps.onClosed(this);
  }

  async #sweep(version: bigint, signal: AbortSignal): Promise<number> {
    return await sweepBelow(version, { physical: this.physical, shards: await this.#shards(signal) }, this.#removal(), signal);
  }

  #removal(): RemovalDeps {
    const { cluster, dialect, clock } = this.#deps;
    return { cluster, dialect, clock, send: (operations, signal) => this.#send(operations, signal) };
  }

  async #send(operations: readonly Operation[], signal: AbortSignal): Promise<ItemResult[]> {
    const { sender, opened } = this.#deps;
    return await sender.send({ operations, alias: opened.alias, physical: opened.physical, onGone: (s) => this.#gone(s) }, signal);
  }

  async #shards(signal: AbortSignal): Promise<number> {
    const state = await indexState(this.#deps.cluster, this.physical, signal);
    if (state === undefined) return await this.#gone(signal);
    return Number(state.settings['number_of_shards'] ?? 1);
  }

  /** After trouble the index is looked at before anything else is written. */
  async #troubled<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#lookedAtMs = -Infinity;
      throw error;
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#isDropped || this.#deps.clock.monotonicMs() - this.#lookedAtMs >= LOOK_EVERY_MS) await this.#lookNow(signal);
  }

  /** Rejects unless the index is there, is the one that was opened, with the same past, and is still ours to write. */
  async #lookNow(signal: AbortSignal): Promise<IndexState> {
    const { cluster, plan, clock } = this.#deps;
    signal.throwIfAborted();
    if (this.#isDropped) return await this.#gone(signal);
    const startMs = clock.monotonicMs();
    const state = await indexState(cluster, this.physical, signal);
    if (state === undefined || !state.aliases.includes(this.#deps.opened.alias)) return await this.#gone(signal);
    if (state.isClosed) throw new TailraceError('TGT_BLOCKED', { message: `The index ${this.physical} is closed.`, entity: plan.index, hint: `POST /${this.physical}/_open` });
    const incarnation = await incarnationOf(cluster, state, signal);
    if (incarnation !== this.incarnation) throw this.#another('was put back to an earlier time, or made anew, while tailrace wrote to it');
    // Who has overwritten it has not taken the way of writing away: that is said by `seen`, and is no reason to stand still.
    if (state.meta !== undefined) assertOwn(this.physical, state.meta, plan);
    this.#lookedAtMs = startMs;
    return state;
  }

  #another(why: string): TailraceError {
    return new TailraceError('TGT_IDENTITY', { message: `The index ${this.physical} ${why}.`, entity: this.#deps.plan.index, hint: rebuilding(this.#deps.plan.index) });
  }

  /** Says why the index does not take what comes through the alias. */
  async #gone(signal: AbortSignal): Promise<never> {
    const { cluster, plan, opened } = this.#deps;
    const { index } = plan;
    if (this.#isDropped) throw new TailraceError('TGT_IDENTITY', { message: `Generation ${plan.generation} of ${index} was dropped.`, entity: index });
    const state = await indexState(cluster, opened.physical, signal);
    if (state === undefined) throw new TailraceError('TGT_MISSING', { message: `The index ${opened.physical} is not there any more.`, entity: index, hint: rebuilding(index) });
    if (state.uuid !== opened.uuid) throw this.#another('was deleted and made anew while tailrace wrote to it');
    if (state.aliases.includes(opened.alias)) throw new TailraceError('TGT_CONN', { message: `The index ${opened.physical} did not take a write, and is there again.`, entity: index });
    const newer = state.aliases.find((name) => writeAliasNumber(opened.physical, name) !== undefined);
    throw new TailraceError('TGT_FENCED', {
      message: newer === undefined ? `The write alias ${opened.alias} was taken away.` : `Another process has opened ${opened.physical} since (${newer}); what this one writes is refused.`,
      entity: index,
    });
  }
}

function identityOf({ name, kind, element, searched }: FieldPlan): string {
  return `${kind} ${element ?? ''} ${searched ?? ''} ${name}`;
}
