/**
 * What the data directory and the targets say while no daemon runs. Nothing in them is changed. What only a running daemon knows is null: the
 * source's head, and how fast everything goes.
 */
import { existsSync } from 'node:fs';
import { isOver, snapshotsIn } from '../../src/capture/snapshot-state.ts';
import { newCounters } from '../../src/apply/counters.ts';
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import type { SearchRequest } from '../../src/connector/target.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLogReadOnly, type ReadOnlyLog } from '../../src/log/read-only.ts';
import { logEntries, type LogEntriesRequest } from '../../src/observe/log-entries.ts';
import { DEAD_LETTERS_MAX, deadLetterPage, deadLetterPlace, searchReport, type DeadLetterPage } from '../../src/observe/reports.ts';
import { Scrubber, secretsIn } from '../../src/observe/logging/scrub.ts';
import { logReport, logStatReport, type IndexReport, type LogStatReport, type SourceReport, type StatusReport } from '../../src/observe/status-report.ts';
import { layoutOf } from '../../src/pipeline/layout.ts';
import { isFed, recordOfIndex, recordsOf, targetOf } from '../../src/pipeline/generations.ts';
import { recordStatus, statusError } from '../../src/pipeline/pipeline-status.ts';
import { indexPositions, sourcePosition, type PositionReport } from '../../src/pipeline/positions.ts';
import { refuseWithoutLog, refuseWithoutState } from '../../src/pipeline/whole-directory.ts';
import { runningJobs } from '../../src/pipeline/jobs.ts';
import { RESYNC, snapshotOf, whatOf } from '../../src/pipeline/resync-job.ts';
import { resyncStatus } from '../../src/pipeline/resync-progress.ts';
import type { GenerationStatus, JobStatus, StatusError } from '../../src/pipeline/status.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { generationName, type DeadLetterFilter, type GenerationRecord, type StateStore } from '../../src/state/state-store.ts';
import { packageVersion } from '../version.ts';
import { openPositionFormats, rowFormats, type PositionFormats } from './daemon.ts';
import { fileBytes } from './file-bytes.ts';
import type { Reading } from './reading.ts';
import { openTarget, TargetStandings } from './target-standings.ts';

/** Errors: NOT_RUNNING when no daemon has ever run with this data directory; STATE_*, LOG_CORRUPT. */
export async function openOfflineReading(config: TailraceConfig): Promise<Reading> {
  const layout = layoutOf(config.data_directory);
  const runtime = nodeRuntime(silentLogger);
  await refuseWithoutState(layout, runtime.disk);
  const noneHasRun = (): TailraceError => new TailraceError('NOT_RUNNING', { message: `No daemon runs, and none has run yet: there is nothing in ${layout.directory}.` });
  if (!existsSync(layout.state)) throw noneHasRun();
  await using opened = new AsyncDisposableStack();
  const state = opened.use(openSqliteState({ path: layout.state, readOnly: { bytesOf: fileBytes } }));
  await refuseWithoutLog(layout, state.logId, runtime.disk);
  if (!existsSync(layout.log)) throw noneHasRun();
  const log = opened.use(await openLogReadOnly(layout.log, runtime));
  const formats = opened.use(openPositionFormats(config, runtime));
  return new OfflineReading({ config, runtime, state, log, formats, resources: opened.move() });
}

interface OfflineDeps {
  readonly config: TailraceConfig;
  readonly runtime: Runtime;
  readonly state: StateStore;
  readonly log: ReadOnlyLog;
  readonly formats: PositionFormats;
  readonly resources: AsyncDisposable;
}

class OfflineReading implements Reading {
  readonly #deps: OfflineDeps;

  constructor(deps: OfflineDeps) {
    this.#deps = deps;
  }

  async status(): Promise<StatusReport> {
    const { config, runtime, log } = this.#deps;
    const nowMs = runtime.clock.nowMs();
    const standings = await this.#standings();
    return {
      running: false,
      version: packageVersion(),
      pid: null,
      started_ms: null,
      now_ms: nowMs,
      ready: false,
      problems: ['tailrace is not running.'],
      log: logReport(log.stats()),
      sources: config.sources.map((source) => this.#source(source)),
      indices: config.indices.map((index) => this.#index(index, standings)),
      jobs: this.#jobs(standings),
    };
  }

  async positions(): Promise<PositionReport> {
    const { config, log, formats } = this.#deps;
    const standings = await this.#standings();
    return {
      log: { id: log.logId, epoch: log.epoch, first_seq: log.firstSeq, durable_seq: log.durableSeq },
      sources: config.sources.map(({ name }) => sourcePosition(name, log.registers, (position) => formats.format(name, position))),
      indices: config.indices.flatMap(({ name, to }) => {
        return indexPositions(recordsOf(this.#deps.state, name).map((record) => ({ record, cursor: standings.of(record, this.#targetOf(record, to)).cursor })));
      }),
    };
  }

  async *deadLetters(filter: DeadLetterFilter, from?: string): AsyncGenerator<DeadLetterPage> {
    const { state } = this.#deps;
    let next: string | null = from ?? null;
    do {
      const after = next === null ? undefined : deadLetterPlace(next);
      const page = deadLetterPage(state.deadLetterTotal(filter), state.someDeadLetters({ ...filter, after, limit: DEAD_LETTERS_MAX }), DEAD_LETTERS_MAX);
      yield page;
      ({ next } = page);
    } while (next !== null);
  }

  /** What holds the log back is what the daemon will need when it starts again. */
  async logStat(): Promise<LogStatReport> {
    const { config, log } = this.#deps;
    const standings = await this.#standings();
    const holds = config.indices.flatMap(({ name, to }) => {
      const fed = recordsOf(this.#deps.state, name).filter((record) => isFed(record));
      return fed.map((record) => ({ name: generationName(name, record.generation), seq: standings.of(record, this.#targetOf(record, to)).cursor ?? record.startSeq }));
    });
    return logStatReport({ ...log.stats(), holds });
  }

  logEntries(request: LogEntriesRequest, signal: AbortSignal): AsyncIterable<string> {
    const { log, formats } = this.#deps;
    return logEntries(request, { log, formats: rowFormats(), formatPosition: formats.format }, signal);
  }

  async search(request: SearchRequest): Promise<string> {
    const { config, runtime } = this.#deps;
    const index = config.indices.find(({ name }) => name === request.index);
    await using opened = await openTarget(config, index?.to ?? '', runtime);
    return searchReport(request, await opened.search(request, new AbortController().signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#deps.resources[Symbol.asyncDispose]();
  }

  async #standings(): Promise<TargetStandings> {
    const { config, state, runtime } = this.#deps;
    return TargetStandings.look(config, state, runtime);
  }

  /** All generations of an index, as their records and targets say. */
  async generations(index?: string): Promise<GenerationStatus[]> {
    const standings = await this.#standings();
    return this.#deps.config.indices.filter(({ name }) => index === undefined || name === index).flatMap((definition) => this.#generations(definition, standings));
  }

  #generations(definition: IndexDefinition, standings: TargetStandings): GenerationStatus[] {
    const { config, log, state } = this.#deps;
    const scrubber = new Scrubber(secretsIn(config));
    return recordsOf(state, definition.name).map((record) => {
      const target = this.#targetOf(record, definition.to);
      const { cursor, error } = standings.of(record, target);
      const shown = scrubber.value(statusError(error, definition.from.source)) as StatusError | null;
      return { ...recordStatus(record, target, definition.rollback_hours, state), condition: null, error: shown, cursor, lag_changes: cursor === null ? null : Math.max(0, log.durableSeq - cursor) };
    });
  }

  /** What goes on when the daemon runs again. */
  #jobs(standings: TargetStandings): JobStatus[] {
    const { log, state } = this.#deps;
    const snapshots = snapshotsIn(log.registers);
    return runningJobs(state, RESYNC).map((job) => {
      const what = whatOf(job);
      const records = recordsOf(state, job.index);
      const record = what.rows === 'all' ? records.find(({ generation }) => generation === what.generation) : records.find(({ phase }) => phase === 'serving');
      const to = this.#deps.config.indices.find(({ name }) => name === job.index)?.to;
      const generation = record === undefined || to === undefined ? undefined : { record, cursor: standings.of(record, this.#targetOf(record, to)).cursor, changesPerSecond: 0, condition: 'idle' as const };
      return resyncStatus(job, { snapshot: snapshotOf(job, snapshots), live: undefined, generation, error: null, durableSeq: log.durableSeq });
    });
  }

  #targetOf(record: GenerationRecord, ofIndex: string): string {
    return targetOf(record, ofIndex, (target) => this.#deps.config.targets.some(({ name }) => name === target));
  }

  #source({ name, type }: TailraceConfig['sources'][number]): SourceReport {
    const { log, formats } = this.#deps;
    const unfinished = snapshotsIn(log.registers).filter((snapshot) => snapshot.source === name && !isOver(snapshot));
    return {
      name,
      type,
      phase: null,
      error: null,
      retry_in_ms: null,
      head: null,
      logged: sourcePosition(name, log.registers, (position) => formats.format(name, position)).position,
      lag_bytes: null,
      lag_seconds: null,
      retained_bytes: null,
      bytes_until_loss: null,
      seconds_until_loss: null,
      notes: [],
      transactions: 0,
      changes: 0,
      bytes: 0,
      changes_per_second: 0,
      in_flight_bytes: 0,
      snapshots: unfinished.map(({ number, table, reason, selection, phase, paused, rows, estimatedRows }) => ({ number, table, reason, selection: selection.kind, phase, paused, rows, estimated_rows: estimatedRows, rows_per_second: null, ranges_left: 0 })),
    };
  }

  #index(definition: IndexDefinition, standings: TargetStandings): IndexReport {
    const { config, log, state } = this.#deps;
    const { name, to: target, from } = definition;
    const record = recordOfIndex(state, name);
    const { cursor, error } = record === undefined ? { cursor: null, error: null } : standings.of(record, this.#targetOf(record, target));
    return {
      name,
      target,
      generation: record?.generation ?? 0,
      phase: record?.phase === 'building' ? 'building' : null,
      error: new Scrubber(secretsIn(config)).value(statusError(error, from.source)) as StatusError | null,
      cursor,
      lag_changes: cursor === null ? null : Math.max(0, log.durableSeq - cursor),
      lag_seconds: null,
      changes_per_second: 0,
      dead_letters: record === undefined ? 0 : state.deadLetterCount(name, record.generation),
      counters: newCounters(),
      verify: null,
      generations: this.#generations(definition, standings),
    };
  }
}
