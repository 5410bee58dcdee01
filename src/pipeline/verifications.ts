/**
 * The verifications of a pipeline: those that somebody asks for, the one that a new generation passes before readers get it, and those that go on
 * and on where the config says so. Of one index one goes on at a time; what goes on and on steps aside for what somebody waits for.
 */
import type { IndexDefinition } from '../config/index-settings.ts';
import type { LogStore } from '../connector/log-store.ts';
import { dispositionOf } from '../errors/policy.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { together, untilAborted } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type GenerationRecord, type StateStore } from '../state/state-store.ts';
import type { Difference } from '../verify/difference.ts';
import type { VerifyProgress } from '../verify/progress.ts';
import { newProgress, verify, type Extent, type Verified } from '../verify/verify.ts';
import type { GenerationRunner } from './generation-runner.ts';
import type { IndexRunner } from './index-runner.ts';
import { beginJob, endJob, runningJobs } from './jobs.ts';
import type { SourceRunner } from './source-runner.ts';
import { progressStatus, verifyReport, type VerifyProgressStatus, type VerifyReason, type VerifyReport, type VerifyStart, type VerifyStatus } from './verify-status.ts';
import { verifySubject } from './verify-subject.ts';

/** Kind of its jobs. */
const VERIFY = 'verify';

/** A generation of more rows than this is shown to readers when a sample of so many is right, where the config asks for no more. */
export const SWAP_SAMPLE_ROWS = 1_000_000;

/** Between two verifications of what is verified again and again, and before one that failed is tried again. */
const PASS_PAUSE_MS = 10_000;
const FAILED_PAUSE_MS = 60_000;

export interface VerifyRequest {
  readonly index: string;
  /** The one that stands for the index, when it is not said. */
  readonly generation?: number | undefined;
  readonly extent: Extent;
  readonly repair: boolean;
  readonly rowsPerSecond: number | null;
}

export interface VerificationsDeps {
  readonly indices: () => readonly IndexRunner[];
  readonly source: (name: string) => SourceRunner;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
}

/** One that goes on. */
export interface RunningVerification {
  /** `found`: what the report counts, most of it one by one; of what was repaired too. */
  readonly ended: Promise<{ readonly report: VerifyReport; readonly found: readonly Difference[] }>;
  readonly progress: () => VerifyProgressStatus;
}

interface Running {
  readonly start: VerifyStart;
  readonly progress: VerifyProgress;
  readonly source: string;
  readonly stop: AbortController;
  /** Resolves when it has let go of everything. */
  readonly over: Promise<void>;
}

interface Told {
  readonly verified: Verified;
  readonly report: VerifyReport;
}

interface Totals {
  passes: number;
  rows: number;
  differences: number;
  repaired: number;
  last: VerifyReport | null;
}

export class Verifications {
  readonly #deps: VerificationsDeps;
  /** By index. */
  readonly #running = new Map<string, Running>();
  readonly #totals = new Map<string, Totals>();
  /** Generations that were kept from their readers for what was found: who promotes them has seen it. */
  readonly #held = new Set<string>();

  constructor(deps: VerificationsDeps) {
    const { state, runtime } = deps;
    this.#deps = deps;
    // It lives no longer than the daemon that does it.
    for (const job of runningJobs(state, VERIFY)) endJob(state, job, { phase: 'failed', outcome: 'The daemon ended before it was done.' }, runtime.clock.nowMs());
  }

  /** Null for an index that was never verified since the daemon began. */
  status(index: string): VerifyStatus | null {
    const running = this.#running.get(index);
    const totals = this.#totals.get(index);
    if (running === undefined && totals === undefined) return null;
    const { passes = 0, rows = 0, differences = 0, repaired = 0, last = null } = totals ?? {};
    return { running: running === undefined ? null : this.#progressOf(running), last, passes, rows, differences, repaired };
  }

  /** Begins one that somebody asked for; it ends with the signal. Throws USAGE. */
  begin({ index: name, generation, extent, repair, rowsPerSecond }: VerifyRequest, signal: AbortSignal): RunningVerification {
    const { state, runtime } = this.#deps;
    const index = this.#index(name);
    const runner = generation === undefined ? index.main : this.#generation(index, generation);
    const before = this.#running.get(name);
    if (before !== undefined && before.start.reason !== 'continuous') throw busy(before.start);
    // Refused, it leaves everything as it is.
    const { verified, progress } = this.#verify(runner, 'command', { extent, repair, rowsPerSecond }, signal, before?.over);
    before?.stop.abort();
    const job = beginJob(state, { index: name, kind: VERIFY, what: { generation: runner.record.generation, repair } }, runtime.clock.nowMs());
    const ended = verified.then(
      ({ report, verified: { found } }) => {
        endJob(state, job, { phase: 'done', outcome: report.equal ? 'The index is what its table says.' : `${report.differences} differences were found${report.repair === null ? '' : `, ${report.repair.repaired} of them repaired`}.` }, runtime.clock.nowMs());
        return { report, found };
      },
      (error: unknown) => {
        endJob(state, job, signal.aborted ? { phase: 'cancelled', outcome: 'It was called off.' } : { phase: 'failed', outcome: error instanceof Error ? error.message : String(error) }, runtime.clock.nowMs());
        throw error;
      },
    );
    return { ended, progress };
  }

  /** For `SwapCheck`: rejects with GEN_DIFFERS when readers must not get the generation. */
  async beforeSwap(record: GenerationRecord, signal: AbortSignal): Promise<void> {
    const { runtime } = this.#deps;
    const index = this.#index(record.index);
    const { verify: settings, name } = index.definition;
    const own = generationName(name, record.generation);
    // Whoever goes back does so for a reason, and who promotes what was held has seen what was found.
    if (settings.before_swap === false || record.retiredAtMs !== null || this.#held.has(own)) return;
    const runner = this.#generation(index, record.generation);
    const source = runner.feed?.definition.from.source ?? index.definition.from.source;
    try {
      const look = async (extent: Extent): Promise<Verified> => (await this.#exclusive(runner, 'swap', { extent, repair: true, rowsPerSecond: null }, signal)).verified;
      const sampled = await look(settings.before_swap === true ? 'all' : { rows: SWAP_SAMPLE_ROWS });
      // Where there is one there may be others.
      const verified = sampled.share < 1 && sampled.differences > 0 ? await look('all') : sampled;
      if (sampled.differences > 0) runtime.logger.warn('generation_differed', { index: name, generation: record.generation, documents: verified.documents, differences: verified.differences, ...verified.kinds, repaired: verified.repair?.repaired ?? 0 });
      const remaining = verified.repair === null ? 0 : verified.repair.remaining.length + verified.repair.untried;
      if (remaining === 0) return;
      this.#held.add(own);
      throw new TailraceError('GEN_DIFFERS', { message: `Generation ${record.generation} of index ${name} is not what its table says: ${remaining} of ${verified.documents} documents differ.`, hint: `See them with \`tailrace verify ${name} --generation ${record.generation}\`; then \`tailrace generations promote ${name} ${record.generation}\`, or build the index again: \`tailrace resync ${name}\`.`, entity: name });
    } catch (error) {
      const { phase, error: stopped } = this.#deps.source(source).capture;
      if (signal.aborted || phase !== 'stopped' || error !== stopped) throw error;
      const isSeen = index.generations.some(({ record: { phase: shown } }) => shown === 'serving');
      // An index without readers' generation is not kept from them for a source that waits for a person.
      if (!isSeen) return runtime.logger.warn('swap_unverified', { index: name, generation: record.generation, error });
      throw new TailraceError('SRC_CONN', { message: `Generation ${record.generation} of index ${name} cannot be verified, because source ${source} has stopped.`, did: 'Readers keep the generation that they see; it is tried again with growing pauses.', hint: 'Look at `tailrace status` for what stopped the source.', entity: name, cause: error });
    }
  }

  /** What goes on and on, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await together(signal, [
        ...this.#deps.indices().map((index) => async (s: AbortSignal) => this.#again(index, s)),
        async (s) => untilAborted(new Promise<never>(() => {}), s),
      ]);
    } finally {
      // What was asked for ends with the daemon, and has let go of everything by then.
      const running = [...this.#running.values()];
      for (const { stop } of running) stop.abort();
      await Promise.all(running.map(async ({ over }) => over));
    }
  }

  async #again(index: IndexRunner, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps.runtime;
    const { name, verify: settings } = index.definition;
    if (settings.rate === undefined) return;
    while (!signal.aborted) {
      let pauseMs = PASS_PAUSE_MS;
      const { main } = index;
      const isFree = index.phase === 'serving' && !this.#running.has(name);
      if (isFree) {
        try {
          const { report } = await this.#exclusive(main, 'continuous', { extent: 'all', repair: settings.repair, rowsPerSecond: settings.rate }, signal);
          const { generation, rows, differences, kinds, repair, unsettled } = report;
          if (differences === 0 && unsettled === 0) logger.info('index_verified', { index: name, generation, rows });
          else logger.warn('index_differs', { index: name, generation, rows, differences, ...kinds, unsettled, repaired: repair?.repaired ?? 0 });
        } catch (error) {
          if (signal.aborted) return;
          if (dispositionOf(error) === 'exit') throw error;
          // Called off for one that somebody waits for, or it failed.
          if (!this.#running.has(name)) {
            logger.warn('verify_failed', { index: name, error });
            pauseMs = FAILED_PAUSE_MS;
          }
        }
      }
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  /** As soon as no other one of the index goes on. */
  async #exclusive(runner: GenerationRunner, reason: VerifyReason, options: VerifyArguments, signal: AbortSignal): Promise<Told> {
    const { index } = runner.record;
    for (let before = this.#running.get(index); before !== undefined; before = this.#running.get(index)) {
      if (before.start.reason === 'continuous') before.stop.abort();
      await before.over;
      signal.throwIfAborted();
    }
    return this.#verify(runner, reason, options, signal, undefined).verified;
  }

  #verify(runner: GenerationRunner, reason: VerifyReason, options: VerifyArguments, signal: AbortSignal, after: Promise<void> | undefined): { readonly verified: Promise<Told>; readonly progress: () => VerifyProgressStatus } {
    const { log, state, runtime, source: sourceOf } = this.#deps;
    const { index, generation } = runner.record;
    if (runner.feed === null) throw runner.error;
    const { source } = runner.feed.definition.from;
    const subject = verifySubject({ runner, source: sourceOf(source), log, state, runtime });
    const start: VerifyStart = { index, generation, reason, startedMs: runtime.clock.nowMs() };
    const progress = newProgress();
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const work = async (): Promise<Told> => {
      await after;
      const verified = await verify(subject, options, progress, either);
      const report = verifyReport(start, verified, runtime.clock.nowMs());
      this.#count(index, report);
      return { verified, report };
    };
    const verified = work();
    const over = verified.then(() => {}, () => {});
    const running: Running = { start, progress, source, stop, over };
    this.#running.set(index, running);
    const freed = verified.finally(() => {
      if (this.#running.get(index) === running) this.#running.delete(index);
    });
    return { verified: freed, progress: () => this.#progressOf(running) };
  }

  #progressOf({ start, progress, source }: Running): VerifyProgressStatus {
    return progressStatus(start, progress, source, this.#deps.runtime.clock.nowMs());
  }

  #count(index: string, report: VerifyReport): void {
    const totals = this.#totals.get(index) ?? { passes: 0, rows: 0, differences: 0, repaired: 0, last: null };
    totals.passes += 1;
    totals.rows += report.rows;
    totals.differences += report.differences;
    totals.repaired += report.repair?.repaired ?? 0;
    totals.last = report;
    this.#totals.set(index, totals);
  }

  #index(name: string): IndexRunner {
    const index = this.#deps.indices().find(({ definition }) => definition.name === name);
    if (index !== undefined) return index;
    throw new TailraceError('USAGE', { message: `There is no index ${name}.`, did: 'Nothing was looked at.' });
  }

  #generation(index: IndexRunner, generation: number): GenerationRunner {
    const runner = index.generations.find(({ record }) => record.generation === generation);
    if (runner !== undefined) return runner;
    const { name }: IndexDefinition = index.definition;
    throw new TailraceError('USAGE', { message: `Index ${name} has no generation ${generation}; it has: ${index.generations.map(({ record }) => record.generation).join(', ')}.`, did: 'Nothing was looked at.', hint: 'See `tailrace generations list`.', entity: name });
  }
}

interface VerifyArguments {
  readonly extent: Extent;
  readonly repair: boolean;
  readonly rowsPerSecond: number | null;
}

function busy({ index, generation, reason }: VerifyStart): TailraceError {
  const who = reason === 'swap' ? `Generation ${generation} of index ${index} is being verified, before readers get it` : `Index ${index} is being verified already (generation ${generation})`;
  return new TailraceError('USAGE', { message: `${who}: one verification of an index goes on at a time.`, did: 'Nothing was begun.', hint: 'See `tailrace status` for how far it is; try again when it is done.', entity: index });
}
