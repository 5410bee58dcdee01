/**
 * The generations of one index, each with its record and its runner, fed side by side from the log. Whoever changes a record does it here: it is
 * durable when that returns, and its runner knows it.
 */
import type { RowSchema } from '../change/schema.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { Target } from '../connector/target.ts';
import { definitionProblems } from '../document/builder.ts';
import { invariant } from '../errors/invariant.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { Notifier } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type GenerationRecord, type StateStore } from '../state/state-store.ts';
import { feedOf, type FeedDeps } from './generation-feed.ts';
import { GenerationRunner, type GenerationHooks } from './generation-runner.ts';
import { isFed, isPending, isUnserved, recordsOf, standingFor, targetOf } from './generations.ts';

export interface IndexGenerationsDeps extends FeedDeps {
  /** By its name; undefined when the config has no such target. */
  readonly target: (name: string) => Target | undefined;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
  /** A generation was begun, and needs a snapshot; or it is given up, and needs none any more. */
  readonly onNeedChanged: () => void;
}

type TableShape = Pick<RowSchema, 'table' | 'columns'>;

export class IndexGenerations {
  readonly definition: IndexDefinition;
  /** Wakes whoever decides what is to be done with them. */
  readonly changed = new Notifier();
  readonly #deps: IndexGenerationsDeps;
  readonly #hooks: Pick<GenerationHooks, 'onWhole' | 'onMappingRefused'>;
  #runners: readonly GenerationRunner[] = [];
  /** Of runners that are at work. */
  readonly #work = new Map<GenerationRunner, { readonly stop: AbortController; readonly ended: Promise<void> }>();
  #failed = new AbortController();
  #running: AbortSignal | null = null;

  constructor(records: readonly GenerationRecord[], deps: IndexGenerationsDeps, hooks: Pick<GenerationHooks, 'onWhole' | 'onMappingRefused'>) {
    this.definition = deps.definition;
    this.#deps = deps;
    this.#hooks = hooks;
    const isFirst = records.every((record) => record.phase === 'building' && record.incarnation === '');
    this.#runners = records.map((record) => this.#make(record, isFirst));
  }

  /** All that are known, in the order of their numbers. */
  get all(): readonly GenerationRunner[] {
    return this.#runners;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** The one that stands for the index. */
  get main(): GenerationRunner {
    const main = standingFor(this.#runners, ({ record }) => record) ?? this.#runners.at(-1);
    invariant(main !== undefined, `index ${this.definition.name} has a generation from its beginning on`);
    return main;
  }

  /** The one that readers see, where they look for it. */
  get serving(): GenerationRunner | undefined {
    return this.#runners.find(({ record, target }) => record.phase === 'serving' && target.name === this.definition.to);
  }

  /** The one that readers are to see as soon as it is in step. */
  get candidate(): GenerationRunner | undefined {
    const ready = this.#runners.filter(({ record, condition }) => record.phase === 'ready' && !record.held && isFed(record) && condition !== 'stopped');
    // Of the newest and one that somebody goes back to, the newest comes last, and stays.
    return ready.find(({ record }) => record.retiredAtMs !== null) ?? ready.at(-1);
  }

  /** The one that is on its way to its readers, if there is one that goes on. */
  get pending(): GenerationRunner | undefined {
    return this.#runners.findLast(({ record, condition }) => isPending(record) && isFed(record) && condition !== 'stopped');
  }

  /** The one that another one, begun now, would take the place of. */
  get unserved(): GenerationRunner | undefined {
    return this.#runners.find(({ record }) => isUnserved(record));
  }

  /** Tables that they are made from, by their sources; that of the config's own definition first. */
  get tables(): readonly { readonly source: string; readonly table: string; readonly key: readonly string[] | undefined }[] {
    const definitions = this.#runners.flatMap(({ record, definition }) => (definition !== null && isFed(record) ? [definition] : []));
    return [this.definition, ...definitions].map(({ from, key }) => ({ ...from, key }));
  }

  /** A source has said what a table looks like now, or the log what it looked like last. */
  learnShape(source: string, shape: TableShape, isCurrent: boolean): void {
    for (const runner of this.#runners) {
      const from = runner.definition?.from;
      if (from?.source !== source || from.table !== shape.table) continue;
      // What is being built waits for the source's word, and so does what cannot be made of the shape that the log knows: the table may have another by now.
      if (isCurrent || (runner.record.phase !== 'building' && definitionProblems(runner.definition as IndexDefinition, shape).length === 0)) runner.learnShape(shape);
    }
  }

  /** Takes in one that was begun: its record is durable, as are those of the ones that it takes the place of. */
  add(record: GenerationRecord): void {
    this.reload();
    const runner = this.#make(record, false);
    this.#runners = [...this.#runners, runner];
    this.#launch(runner);
    this.#deps.onNeedChanged();
    this.changed.notify();
  }

  put(record: GenerationRecord): GenerationRecord {
    this.#deps.state.putGenerations(record);
    this.reload();
    this.changed.notify();
    if (record.phase === 'dropping') this.#deps.onNeedChanged();
    return record;
  }

  /** Records were changed in the state store. */
  reload(): void {
    const records = new Map(recordsOf(this.#deps.state, this.definition.name).map((record) => [record.generation, record]));
    for (const runner of this.#runners) runner.noteRecord(records.get(runner.record.generation) ?? runner.record);
  }

  /** Nothing is left of it. */
  forget(runner: GenerationRunner): void {
    this.#deps.state.forgetGeneration(runner.record.index, runner.record.generation);
    this.#runners = this.#runners.filter((other) => other !== runner);
  }

  /** The log gave up what a generation needs next, to stay within its size. */
  evict(name: string): void {
    const { name: index } = this.definition;
    const error = new TailraceError('LOG_EVICTED', { message: `Index ${index} fell so far behind that the change log reached its size limit.`, entity: index });
    this.#runners.find((runner) => runner.name === name)?.end(error);
  }

  /** Feeds them while `manage` is at work. Resolves when the signal is aborted; rejects with errors that end the process. */
  async run(outer: AbortSignal, manage: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#failed = new AbortController();
    const signal = AbortSignal.any([outer, this.#failed.signal]);
    this.#running = signal;
    for (const runner of this.#runners) this.#launch(runner);
    try {
      await manage(signal);
    } catch (error) {
      if (outer.aborted) return;
      throw this.#failed.signal.aborted ? this.#failed.signal.reason : error;
    } finally {
      this.#failed.abort();
      this.#running = null;
      await Promise.all([...this.#work.values()].map(async ({ ended }) => ended));
    }
  }

  /** Resolves when nothing is at work on it any more. */
  async stop(runner: GenerationRunner): Promise<void> {
    const work = this.#work.get(runner);
    work?.stop.abort();
    await work?.ended;
    this.#work.delete(runner);
  }

  #make(record: GenerationRecord, isFirst: boolean): GenerationRunner {
    const { log, state, runtime } = this.#deps;
    const target = this.#deps.target(targetOf(record, this.definition.to, (name) => this.#deps.target(name) !== undefined));
    invariant(target !== undefined, `the config was checked: target ${this.definition.to} is there`);
    const hooks: GenerationHooks = {
      ...this.#hooks,
      assertsPromotion: (runner) => runner === this.serving && this.candidate === undefined,
      onChange: () => this.changed.notify(),
    };
    // Nothing that it needs may be removed before its applier has a cursor of its own.
    const name = generationName(record.index, record.generation);
    if (isFed(record)) log.hold(name, state.cursor(record.index, record.generation) ?? record.startSeq);
    // The log was opened with a hold of what was fed before; nobody moves it any more.
    else log.release(name);
    return new GenerationRunner({ record, feed: feedOf(record, this.#deps), target, isFirst, log, state, runtime, hooks });
  }

  #launch(runner: GenerationRunner): void {
    if (this.#running === null || !isFed(runner.record) || this.#work.has(runner)) return;
    const stop = new AbortController();
    const ended = runner.run(AbortSignal.any([this.#running, stop.signal])).catch((error: unknown) => this.#failed.abort(error));
    this.#work.set(runner, { stop, ended });
  }
}
