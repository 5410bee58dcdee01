/**
 * Reading rows again: all of an index, in another generation beside the one that readers see; or some rows of its table, in place. What is asked for
 * is durable as a job before it is answered; the rows are read by the snapshots of capture, which go on after a restart.
 */
import { keysWithin } from '../capture/selected-keys.ts';
import { isOver, snapshotsIn, type Snapshot } from '../capture/snapshot-state.ts';
import type { SnapshotRequest } from '../capture/snapshot-runner.ts';
import { parseTableReference } from '../config/names.ts';
import { sentence, suggestion } from '../config/nearest.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { Selection } from '../connector/source.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { Notifier, within } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type JobRecord, type StateStore } from '../state/state-store.ts';
import { isFed } from './generations.ts';
import type { IndexRunner } from './index-runner.ts';
import { beginJob, endJob, runningJobs, type JobEnd } from './jobs.ts';
import { statusError } from './pipeline-status.ts';
import { asJson, jobOfReason, reasonOf, RESYNC, rowsEnd, snapshotOf, whatOf, wholeEnd, type JobSnapshot, type RowsResync } from './resync-job.ts';
import { keysFrom } from './resync-keys.ts';
import { resyncStatus } from './resync-progress.ts';
import type { SourceRunner } from './source-runner.ts';
import type { JobStatus, ResyncPlan, RowsResyncPlan } from './status.ts';

/** While rows are read or applied for a job, it is looked at this often. */
const SETTLE_POLL_MS = 250;

/** Between two attempts to ask for rows, when a connection ended in the middle of one. */
const ASK_AGAIN_MS = 500;

/** Which rows of an index's table are read again in place. */
export type WantedRows =
  /** JSON texts, see `keysFrom`. */
  | { readonly kind: 'keys'; readonly keys: readonly string[] }
  /** In the source's own language. */
  | { readonly kind: 'where'; readonly predicate: string };

/** What somebody asks for: an index, or all that are made from a table. */
export type ResyncRequest =
  | { readonly index: string; readonly held: boolean; /** Null: all. */ readonly wanted: WantedRows | null }
  | { readonly index?: undefined; readonly table: string; readonly held: boolean; readonly wanted: null };

/** A snapshot that was told to wait, or to go on. */
export interface SteeredSnapshot {
  readonly source: string;
  readonly table: string;
  readonly snapshot: number;
  readonly paused: boolean;
  /** All indices that get its rows. */
  readonly indices: readonly string[];
}

export interface ResyncsDeps {
  readonly indices: () => readonly IndexRunner[];
  /** By its name; undefined when no index is made from it. */
  readonly source: (name: string) => SourceRunner | undefined;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
  /** Something that is being read is given up. */
  readonly onGivenUp: () => void;
}

export class Resyncs {
  readonly #deps: ResyncsDeps;
  /** Jobs whose rows this process has yet to ask for. */
  readonly #asking = new Set<number>();
  readonly #changed = new Notifier();
  /** What looking after a job has failed with: it ends the process. */
  #failure: { readonly error: unknown } | null = null;
  /** Ends with the pipeline. */
  readonly #ended = new AbortController();

  constructor(deps: ResyncsDeps) {
    this.#deps = deps;
  }

  /** Builds an index again in another generation. `held`: readers get to see it only when it is promoted. Throws USAGE. */
  whole(name: string, held: boolean): JobRecord {
    return this.#begin(this.#index(name), held);
  }

  /** The same with all indices that are made from a table, `source.schema.table`: one snapshot brings the rows of all. Throws USAGE, before anything begins. */
  table(reference: string, held: boolean): JobRecord[] {
    const indices = this.#indicesOf(reference);
    // Looked at together, before the first is begun.
    for (const index of indices) index.plan(held);
    return indices.map((index) => this.#begin(index, held));
  }

  /**
   * Has rows read again in place: keys that no row has become deletes. All generations of the index that are fed take them, so that neither a swap
   * nor going back brings back what was there before. Resolves when it is durable that they shall be read. Errors: SRC_SELECTION for rows that cannot
   * be asked for; what the source waits or stopped with.
   */
  async rows(name: string, wanted: WantedRows, signal: AbortSignal): Promise<JobRecord> {
    const { state, runtime } = this.#deps;
    const { selection, source, what } = await this.#look(name, wanted, signal);
    const job = beginJob(state, { index: name, kind: RESYNC, what: asJson(what) }, runtime.clock.nowMs());
    const names = what.generations.map((generation) => generationName(name, generation));
    this.#asking.add(job.id);
    // It goes on when whoever asked has gone; how it ends is in the job.
    this.#ask(job, source, { table: what.table, selection, for: names, reason: reasonOf(job), sweep: false }).catch((error: unknown) => {
      this.#failure = { error };
      this.#changed.notify();
    });
    this.#changed.notify();
    return job;
  }

  /** What any of these would do. Errors: the same. */
  async plan(request: ResyncRequest, signal: AbortSignal): Promise<ResyncPlan[]> {
    const { held, wanted } = request;
    if (wanted !== null && request.index !== undefined) return [await this.#rowsPlan(request.index, wanted, signal)];
    const indices = request.index === undefined ? this.#indicesOf(request.table) : [this.#index(request.index)];
    return Promise.all(indices.map(async (index) => ({ ...index.plan(held), estimated_rows: await this.#estimate(index, signal) })));
  }

  /** Begins what is asked for, as `whole`, `table` and `rows` do. */
  async begin(request: ResyncRequest, signal: AbortSignal): Promise<JobRecord[]> {
    const { held, wanted } = request;
    if (request.index === undefined) return this.table(request.table, held);
    return [wanted === null ? this.whole(request.index, held) : await this.rows(request.index, wanted, signal)];
  }

  /** Gives up every resync of the index that goes on: what is being built is dropped, what was read in place stays. Throws USAGE when there is none. */
  cancel(name: string): JobRecord[] {
    const { state, runtime, onGivenUp } = this.#deps;
    const index = this.#index(name);
    const jobs = runningJobs(state, RESYNC).filter((job) => job.index === name);
    if (jobs.length === 0) throw this.#nothing(name, `No \`tailrace resync\` of index ${name} goes on.`);
    for (const job of jobs) {
      const what = whatOf(job);
      if (what.rows === 'all') index.drop(what.generation);
      else endJob(state, job, { phase: 'cancelled', outcome: 'It was given up.' }, runtime.clock.nowMs());
    }
    this.settle();
    onGivenUp();
    this.#changed.notify();
    const ended = new Map(state.jobs().map((job) => [job.id, job]));
    return jobs.map((job) => ended.get(job.id) ?? job);
  }

  /**
   * Has whatever is read for the index wait, or go on: durable when it resolves. A snapshot that brings the rows of several indices is one: it waits
   * for all of them. Errors: USAGE when nothing is read; what the source waits or stopped with.
   */
  async steer(name: string, paused: boolean, signal: AbortSignal): Promise<SteeredSnapshot[]> {
    const own = new Set(this.#index(name).generations.map((generation) => generation.name));
    const reading = this.#snapshots().filter((snapshot) => !isOver(snapshot) && snapshot.for.some((one) => own.has(one)));
    if (reading.length === 0) throw this.#nothing(name, `Nothing is being read for index ${name} at the moment.`);
    const steered: SteeredSnapshot[] = [];
    for (const { source, table, number, for: names } of reading) {
      const connection = await this.#deps.source(source)?.connectedNow(signal);
      await (paused ? connection?.pauseSnapshot(number, signal) : connection?.resumeSnapshot(number, signal));
      steered.push({ source, table, snapshot: number, paused, indices: this.#indexNames(names) });
    }
    return steered;
  }

  /** True of a snapshot that nobody waits for any more: the job that it was asked for by has ended. */
  isGivenUp({ reason }: Pick<Snapshot, 'reason'>): boolean {
    const id = jobOfReason(reason);
    return id !== undefined && !runningJobs(this.#deps.state, RESYNC).some((job) => job.id === id);
  }

  /** Of the jobs that go on. */
  progress(): JobStatus[] {
    const indices = this.#deps.indices();
    return runningJobs(this.#deps.state, RESYNC).map((job) => {
      const index = indices.find(({ definition }) => definition.name === job.index);
      const what = whatOf(job);
      const snapshot = this.#snapshotOf(job);
      const live = snapshot === undefined || snapshot === 'asking' ? undefined : this.#deps.source(snapshot.source)?.capture.snapshots.find((one) => one.snapshot.number === snapshot.number);
      const generation = what.rows === 'all' ? index?.generations.find(({ record }) => record.generation === what.generation) : index?.main;
      return resyncStatus(job, { snapshot: snapshot === 'asking' ? undefined : snapshot, live, generation, error: statusError(generation?.error, index?.definition.from.source ?? ''), durableSeq: this.#deps.log.durableSeq });
    });
  }

  /** Ends the jobs that have come to their end, whatever it was that happened between. Done again it changes nothing. */
  settle(): void {
    const { state, runtime } = this.#deps;
    for (const job of runningJobs(state, RESYNC)) {
      const end = this.#endOf(job);
      if (end === null) continue;
      endJob(state, job, end, runtime.clock.nowMs());
      runtime.logger.info('resync_ended', { index: job.index, job: job.id, phase: end.phase });
    }
  }

  /** Looks after the jobs until the signal is aborted; rejects with what ends the process. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#ended.abort(signal.reason), { once: true });
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== null) throw this.#failure.error;
      const { times } = this.#changed;
      this.settle();
      if (runningJobs(this.#deps.state, RESYNC).length === 0) await this.#changed.wait(signal, times);
      else await within(SETTLE_POLL_MS, this.#deps.runtime.clock, async (either) => this.#changed.wait(either, times), signal);
    }
  }

  #begin(index: IndexRunner, held: boolean): JobRecord {
    const { state, runtime } = this.#deps;
    const { generation } = index.begin(RESYNC, held);
    // What was being built before has ended with that.
    this.settle();
    const job = beginJob(state, { index: index.definition.name, kind: RESYNC, what: asJson({ rows: 'all', generation, swap: !held }) }, runtime.clock.nowMs());
    this.#changed.notify();
    return job;
  }

  /** Looks whether the rows can be asked for, and what would take them. */
  async #look(name: string, wanted: WantedRows, signal: AbortSignal): Promise<{ selection: Selection; source: SourceRunner; what: RowsResync; estimatedRows: number | null }> {
    const { definition, generations } = this.#index(name);
    const { from } = definition;
    // One that is being built reads every row, but may have done so before whatever these are read again for.
    const takers = generations.filter((one) => isFed(one.record) && one.definition?.from.source === from.source && one.definition.from.table === from.table);
    const source = this.#deps.source(from.source);
    if (takers.length === 0 || source === undefined) throw this.#nothing(name, `No generation of index ${name} is fed from ${from.source}.${from.table}.`);
    const connection = await source.connectedNow(signal);
    const selection: Selection = wanted.kind === 'where' ? wanted : { kind: 'keys', keys: keysFrom(wanted.keys, connection.tables.find(({ table }) => table === from.table)?.schema ?? { table: from.table, columns: [] }) };
    // What waits already is looked at again when they are asked for: then it is the job that says so.
    if (selection.kind === 'keys') keysWithin(0, selection.keys);
    const estimatedRows = await connection.checkSelection(from.table, selection, signal);
    const what: RowsResync = {
      rows: selection.kind === 'keys' ? 'keys' : 'where',
      source: from.source,
      table: from.table,
      keys: selection.kind === 'keys' ? selection.keys.length : null,
      generations: takers.map(({ record }) => record.generation),
      snapshot: null,
    };
    return { selection, source, what, estimatedRows };
  }

  /** Until it is durable that the rows are to be read, over as many connections as that takes. */
  async #ask(job: JobRecord, source: SourceRunner, request: SnapshotRequest): Promise<void> {
    const { state, runtime, onGivenUp } = this.#deps;
    const { signal } = this.#ended;
    const current = (): JobRecord | undefined => runningJobs(state, RESYNC).find(({ id }) => id === job.id);
    while (!signal.aborted && current() !== undefined) {
      try {
        const connection = await source.connected(signal);
        const { number } = await connection.requestSnapshot(request, signal);
        const now = current();
        if (now === undefined) onGivenUp();
        else state.putJob({ ...now, what: { ...now.what, snapshot: number } });
        break;
      } catch (error) {
        if (signal.aborted) return;
        const code = codeOf(error);
        const now = current();
        if ((code === 'SRC_SELECTION' || code === 'USAGE') && now !== undefined) {
          endJob(state, now, { phase: 'failed', outcome: (error as TailraceError).message }, runtime.clock.nowMs());
          break;
        }
        // The connection ended, or the source waits for a person; what ends the process ends it without us.
        await runtime.clock.sleep(ASK_AGAIN_MS, signal).catch(() => {});
      }
    }
    this.#asking.delete(job.id);
    this.#changed.notify();
  }

  #endOf(job: JobRecord): JobEnd | null {
    const what = whatOf(job);
    const records = this.#deps.state.generations().filter(({ index }) => index === job.index);
    if (what.rows === 'all') return wholeEnd(records.find(({ generation }) => generation === what.generation));
    const runners = this.#deps.indices().find(({ definition }) => definition.name === job.index)?.generations ?? [];
    const takers = runners.filter(({ record }) => what.generations.includes(record.generation));
    return rowsEnd(what, this.#snapshotOf(job), takers.map(({ record, cursor, condition }) => ({ record, cursor, isStopped: condition === 'stopped' })));
  }

  #snapshotOf(job: JobRecord): JobSnapshot {
    return snapshotOf(job, this.#snapshots()) ?? (this.#asking.has(job.id) ? 'asking' : undefined);
  }

  #snapshots(): Snapshot[] {
    return snapshotsIn(this.#deps.log.registers);
  }

  /** The source's own; null while it is not connected. */
  async #estimate({ definition: { from } }: IndexRunner, signal: AbortSignal): Promise<number | null> {
    const source = this.#deps.source(from.source);
    if (source?.capture.phase !== 'streaming') return null;
    const { tables } = await source.connectedNow(signal);
    return tables.find(({ table }) => table === from.table)?.estimatedRows ?? null;
  }

  async #rowsPlan(name: string, wanted: WantedRows, signal: AbortSignal): Promise<RowsResyncPlan> {
    const { what, estimatedRows } = await this.#look(name, wanted, signal);
    return { index: name, table: `${what.source}.${what.table}`, rows: what.rows, generations: what.generations, estimated_rows: estimatedRows };
  }

  #indexNames(generations: readonly string[]): string[] {
    return this.#deps.indices().flatMap(({ definition, generations: own }) => (own.some(({ name }) => generations.includes(name)) ? [definition.name] : []));
  }

  #index(name: string): IndexRunner {
    const indices = this.#deps.indices();
    const index = indices.find(({ definition }) => definition.name === name);
    if (index !== undefined) return index;
    throw new TailraceError('USAGE', { message: `There is no index ${name}; there are: ${indices.map(({ definition }) => definition.name).join(', ')}.` });
  }

  #indicesOf(reference: string): IndexRunner[] {
    const parsed = parseTableReference(reference);
    const refused = (message: string): TailraceError => new TailraceError('USAGE', { message, did: 'Nothing was changed.', hint: 'Name a table as `from` of an index does: `--table shop.public.products`.' });
    if (typeof parsed === 'string') throw refused(`\`${reference}\` is no table: ${parsed}.`);
    const indices = this.#deps.indices();
    const found = indices.filter(({ definition: { from } }) => from.source === parsed.source && from.table === parsed.table);
    if (found.length > 0) return found;
    throw refused(sentence(`No index is made from \`${reference}\`${suggestion(reference, indices.map(({ definition: { from } }) => `${from.source}.${from.table}`))}`));
  }

  #nothing(entity: string, message: string): TailraceError {
    return new TailraceError('USAGE', { message, did: 'Nothing was changed.', hint: 'See `tailrace status`.', entity });
  }
}
